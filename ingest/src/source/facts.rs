//! What names and tags say of a frame.

/// What is known of a frame before it is decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// `train`, `0` … `9` of SODA10M, …
    pub split: Option<String>,
    /// Sequence or class folder.
    pub segment: Option<String>,
    /// `CAM_FRONT`, …
    pub camera: Option<String>,
    /// Time of capture.
    pub timestamp_micros: Option<i64>,
    /// `Daytime`, `Night`.
    pub time_of_day: Option<String>,
    /// `Clear`, `Rainy`, …
    pub weather: Option<String>,
    /// Kind of place.
    pub location: Option<String>,
    /// Name or code of the city.
    pub city: Option<String>,
}
