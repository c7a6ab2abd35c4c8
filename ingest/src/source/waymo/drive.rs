//! What the camera images of both versions have in common: drives and cameras.

use std::collections::BTreeSet;

use prost::bytes::Bytes;
use schemas::frame::FrameMeta;
use schemas::geom::Size;

use super::messages::Stats;
use crate::error::{Defect, Result};
use crate::source::item::{Data, SourceImage};

/// `CameraName.Name`; a camera's number is its place in this list, counted from 1.
pub const CAMERAS: [&str; 8] = [
    "FRONT",
    "FRONT_LEFT",
    "FRONT_RIGHT",
    "SIDE_LEFT",
    "SIDE_RIGHT",
    "REAR_LEFT",
    "REAR",
    "REAR_RIGHT",
];

/// What the images of one drive have in common, and which of them are wanted.
pub(super) struct Drive<'a> {
    pub(super) split: Option<&'a str>,
    /// Name that frames are called by.
    pub(super) context: &'a str,
    pub(super) segment: &'a str,
    pub(super) stats: &'a Stats,
    /// Names of the cameras; all if it is empty.
    pub(super) cameras: &'a BTreeSet<String>,
}

impl Drive<'_> {
    /// The image that `camera` took, if it is wanted; its `source` is left empty.
    pub(super) fn image(
        &self,
        timestamp_micros: Option<i64>,
        camera: &str,
        jpeg: Bytes,
    ) -> Option<SourceImage> {
        if !self.cameras.is_empty() && !self.cameras.contains(camera) {
            return None;
        }
        let known = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let meta = FrameMeta {
            frame_id: format!(
                "{}/{}/{camera}",
                self.context,
                timestamp_micros.unwrap_or(0)
            ),
            source: String::new(),
            dataset: "waymo".to_owned(),
            split: self.split.map(str::to_owned),
            segment: Some(self.segment.to_owned()),
            camera: Some(camera.to_owned()),
            timestamp_micros,
            size: Size::new(0, 0),
            time_of_day: known(&self.stats.time_of_day),
            weather: known(&self.stats.weather),
            location: known(&self.stats.location),
            city: None,
        };
        Some(SourceImage {
            meta,
            data: Data::Bytes(jpeg),
        })
    }
}

impl SourceImage {
    pub(super) fn at(mut self, source: &str) -> Self {
        source.clone_into(&mut self.meta.source);
        self
    }
}

/// The camera that a number, or a name, stands for.
pub(super) fn camera(given: &str) -> Result<&'static str, Defect> {
    let by_number = given
        .parse::<usize>()
        .ok()
        .and_then(|number| CAMERAS.get(number.checked_sub(1)?));
    let found = by_number.or_else(|| CAMERAS.iter().find(|&&name| name == given));
    found
        .copied()
        .ok_or_else(|| Defect::new("unknown-camera", format!("camera {given} is unknown")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cameras_have_numbers_and_names() {
        assert_eq!(camera("1"), Ok("FRONT"));
        assert_eq!(camera("8"), Ok("REAR_RIGHT"));
        assert_eq!(camera("SIDE_LEFT"), Ok("SIDE_LEFT"));
        for unknown in ["0", "9", "-1", "front", ""] {
            assert_eq!(
                camera(unknown).unwrap_err().reason,
                "unknown-camera",
                "{unknown}"
            );
        }
    }
}
