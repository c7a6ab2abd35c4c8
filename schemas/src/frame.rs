//! One frame: a camera image, what is known of it, and its stored levels.
//!
//! A frame is named by `frame_id` (unique within a set) and, where a number is needed, by its
//! [`key`](FrameMeta::key). All randomness of a sample hangs on that key, so a frame is cropped
//! alike whatever other frames lie beside it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::geom::Size;

/// What is known of a frame besides its pixels. A field that the data set does not state is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameMeta {
    /// Unique name: Waymo `context/timestamp/camera`, elsewhere the relative path.
    pub frame_id: String,
    /// Where it was read: file and offset, or folder and member.
    pub source: String,
    /// `waymo`, `soda10m`, `images`.
    pub dataset: String,
    /// Data-set split: `training`, `0` … `9` of SODA10M, …
    pub split: Option<String>,
    /// Drive, sequence or folder that the frame belongs to.
    pub segment: Option<String>,
    /// Camera name: `FRONT`, `SIDE_LEFT`, …
    pub camera: Option<String>,
    /// Time of capture in microseconds.
    pub timestamp_micros: Option<i64>,
    /// Size of level 0 in pixels, after any EXIF rotation.
    pub size: Size,
    /// `Day`, `Dawn/Dusk`, `Night`.
    pub time_of_day: Option<String>,
    /// `sunny`, `rain`, …
    pub weather: Option<String>,
    /// Region or kind of place: `location_sf`, `Citystreet`, …
    pub location: Option<String>,
    /// City, by name or by code: `Shanghai`, `BJ`, …
    pub city: Option<String>,
}

impl FrameMeta {
    /// The frame's number: XXH3-64 of `frame_id`.
    pub fn key(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(self.frame_id.as_bytes())
    }
}

/// How the bytes of a level came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// The original's own DCT coefficients, transcoded without loss.
    Lossless,
    /// Decoded and encoded again at this JPEG quality (1 to 100).
    Quality(u8),
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lossless => f.write_str("lossless"),
            Self::Quality(quality) => write!(f, "q{quality}"),
        }
    }
}

impl FromStr for Encoding {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "lossless" {
            return Ok(Self::Lossless);
        }
        text.strip_prefix('q')
            .and_then(|quality| quality.parse().ok())
            .map(Self::Quality)
            .ok_or_else(|| format!("encoding is {text:?}, not \"lossless\" or \"q1\" to \"q100\""))
    }
}

/// One stored resolution of a frame, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelImage {
    /// A tile-addressable JPEG with its index embedded ([`crate::tiled`]).
    pub jpeg: Vec<u8>,
    /// Its valid size in pixels. The JPEG itself may be wider (padding to a good tile grid).
    pub size: Size,
    /// How it was made.
    pub encoding: Encoding,
}

/// The encoded image that a frame was made of, as it was then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Its length.
    pub bytes: u64,
    /// Its CRC32C.
    pub crc32c: u32,
}

impl Origin {
    /// The origin that `bytes` are.
    pub fn of(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.len() as u64,
            crc32c: crc32c::crc32c(bytes),
        }
    }
}

/// A frame to be written: its metadata, and one entry per level of the set (`None`: too small to be
/// stored).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameRow {
    /// What is known of it.
    pub meta: FrameMeta,
    /// The image that it was made of, if that is known.
    pub origin: Option<Origin>,
    /// In the order of [`Settings::levels`](crate::shard::Settings::levels).
    pub levels: Vec<Option<LevelImage>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_reads_what_it_writes() {
        for encoding in [Encoding::Lossless, Encoding::Quality(93)] {
            assert_eq!(encoding.to_string().parse(), Ok(encoding));
        }
        assert!("high".parse::<Encoding>().is_err());
    }
}
