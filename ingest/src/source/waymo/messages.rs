//! The few fields of Waymo's protobuf messages that a frame row needs.
//!
//! Field numbers are those of `waymo_open_dataset/{dataset,label}.proto` and
//! `protos/end_to_end_driving_data.proto`. A field that is not
//! declared here (lidar, labels, calibration) is skipped by its length when a message is decoded:
//! its bytes are never copied. JPEGs are [`Bytes`], so decoding from a shared buffer borrows them.

use prost::bytes::Bytes;

/// One time step of a drive: one TFRecord.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Frame {
    /// The drive it belongs to.
    #[prost(message, optional, tag = "1")]
    pub context: Option<Context>,
    /// Start of the time step in microseconds since 1970.
    #[prost(int64, optional, tag = "2")]
    pub timestamp_micros: Option<i64>,
    /// One image a camera.
    #[prost(message, repeated, tag = "4")]
    pub images: Vec<CameraImage>,
}

/// One moment of the end-to-end release: one TFRecord. Its other fields are states and intents.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EndToEndFrame {
    /// Context name (`SEQUENCE-INDEX`), images of eight cameras, and nothing else of a frame.
    #[prost(message, optional, tag = "1")]
    pub frame: Option<Frame>,
}

/// What holds for a whole drive.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Context {
    /// Unique name of the drive.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Circumstances of the drive.
    #[prost(message, optional, tag = "4")]
    pub stats: Option<Stats>,
}

/// Circumstances of a drive, in Waymo's words (`Day`, `location_sf`, `sunny`).
#[derive(Clone, PartialEq, prost::Message)]
pub struct Stats {
    /// `Day`, `Dawn/Dusk` or `Night`.
    #[prost(string, optional, tag = "2")]
    pub time_of_day: Option<String>,
    /// `location_sf`, `location_phx`, `location_other`, …
    #[prost(string, optional, tag = "3")]
    pub location: Option<String>,
    /// `sunny` or `rain`.
    #[prost(string, optional, tag = "4")]
    pub weather: Option<String>,
}

/// One JPEG and the camera that took it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CameraImage {
    /// `CameraName.Name`: 1 FRONT, 2 FRONT_LEFT, 3 FRONT_RIGHT, 4 SIDE_LEFT, 5 SIDE_RIGHT, 6
    /// REAR_LEFT, 7 REAR, 8 REAR_RIGHT.
    #[prost(int32, optional, tag = "1")]
    pub name: Option<i32>,
    /// The JPEG file.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub image: Option<Bytes>,
}
