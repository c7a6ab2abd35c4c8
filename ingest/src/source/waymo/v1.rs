//! Version 1: TFRecord files whose records are `Frame` messages, one a time step.
//!
//! Records are read whole, for their checksum; of the message only the declared fields are decoded,
//! and JPEGs stay where they were read.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::vec;

use prost::Message;
use prost::bytes::Bytes;

use super::drive::{Drive, camera, split_of};
use super::messages::{CameraImage, Frame};
use super::tfrecord::{Event, Records};
use crate::cpu_time::{Stage, lap};
use crate::error::{Defect, Error, Result};
use crate::source::item::{Checksum, Item, Items, SourceImage};

/// The images of the file at `path`, which is stored under the name `input`; only those of
/// `cameras` unless empty.
pub(crate) fn items<'a>(
    path: &'a Path,
    input: &'a str,
    cameras: &'a BTreeSet<String>,
) -> Result<Items<'a>> {
    let records = Records::open(path).map_err(Error::io("open", path))?;
    let checksum = Checksum::default();
    let frames = Frames {
        path,
        input,
        split: split_of(path),
        cameras,
        records,
        checksum: checksum.clone(),
        is_empty: true,
        offset_before: 0,
        ready: Vec::new().into_iter(),
    };
    Ok(Items::with_checksum(frames, checksum))
}

/// The images of one file, record by record.
struct Frames<'a> {
    path: &'a Path,
    input: &'a str,
    split: Option<String>,
    cameras: &'a BTreeSet<String>,
    records: Records<File>,
    checksum: Checksum,
    /// Whether nothing stood in the file so far.
    is_empty: bool,
    /// Where the record began whose items came last.
    offset_before: u64,
    /// Items of that record.
    ready: vec::IntoIter<Item>,
}

impl Iterator for Frames<'_> {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.ready.next() {
                return Some(Ok(item));
            }
            let is_empty = std::mem::replace(&mut self.is_empty, false);
            match self.records.next() {
                None if is_empty => return Some(Ok(Item::of_empty_file(self.input))),
                None => {
                    self.checksum.set(self.records.checksum());
                    return None;
                }
                Some(Ok(event)) => self.ready = self.items(event).into_iter(),
                Some(Err(error)) => return Some(Err(Error::io("read", self.path)(error))),
            }
        }
    }
}

impl Frames<'_> {
    fn items(&mut self, event: Event) -> Vec<Item> {
        let (offset, record_bytes, found) = match event {
            Event::Lost {
                offset,
                unread_bytes,
                defect,
            } => (offset, unread_bytes, Err(defect)),
            Event::Record(record) => (
                record.offset,
                record.framed_bytes(),
                images(record.data, self.split.as_deref(), self.cameras),
            ),
        };
        lap(Stage::Parse);
        let source = format!("{}@{offset}", self.input);
        let item = |content: Result<SourceImage, Defect>, unread_bytes| Item {
            content: content.map(|image| image.at(&source)),
            source: source.clone(),
            weight: 0,
            unread_bytes,
        };
        let mut items: Vec<Item> = match found {
            Ok(images) => images.into_iter().map(|image| item(image, 0)).collect(),
            Err(defect) => vec![item(Err(defect), record_bytes)],
        };
        // All bytes up to this record are done with its first item.
        if let Some(first) = items.first_mut() {
            first.weight = offset - std::mem::replace(&mut self.offset_before, offset);
        }
        items
    }
}

/// The images of one `Frame` message.
fn images(
    record: Bytes,
    split: Option<&str>,
    cameras: &BTreeSet<String>,
) -> Result<Vec<Result<SourceImage, Defect>>, Defect> {
    let frame =
        Frame::decode(record).map_err(|error| Defect::new("bad-protobuf", error.to_string()))?;
    if frame.images.is_empty() {
        return Ok(Vec::new());
    }
    let context = frame.context.unwrap_or_default();
    let (Some(segment), Some(timestamp)) = (context.name, frame.timestamp_micros) else {
        return Err(Defect::new(
            "bad-protobuf",
            "the frame has images but no context name or timestamp",
        ));
    };
    let stats = context.stats.unwrap_or_default();
    let drive = Drive {
        split,
        segment: &segment,
        stats: &stats,
        cameras,
    };
    let images = frame
        .images
        .into_iter()
        .filter_map(|CameraImage { name, image }| {
            let camera = camera(&name.unwrap_or_default().to_string());
            camera
                .map(|camera| drive.image(timestamp, camera, image.unwrap_or_default()))
                .transpose()
        });
    Ok(images.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Data;
    use crate::source::waymo::CAMERAS;
    use crate::source::waymo::messages::{Context, Stats};

    fn frame(cameras: &[i32]) -> Frame {
        let stats = Stats {
            time_of_day: Some("Day".into()),
            location: Some("location_sf".into()),
            weather: Some(String::new()),
        };
        let image = |&camera: &i32| CameraImage {
            name: Some(camera),
            image: Some(Bytes::from_static(b"jpeg")),
        };
        Frame {
            context: Some(Context {
                name: Some("drive".into()),
                stats: Some(stats),
            }),
            timestamp_micros: Some(7),
            images: cameras.iter().map(image).collect(),
        }
    }

    fn read(frame: &Frame, cameras: &[&str]) -> Result<Vec<Result<SourceImage, Defect>>, Defect> {
        let cameras = cameras.iter().map(|&camera| camera.to_owned()).collect();
        images(frame.encode_to_vec().into(), Some("training"), &cameras)
    }

    #[test]
    fn a_frame_yields_one_image_a_camera() {
        let images = read(&frame(&[1, 2, 3, 4, 5, 6, 7, 8]), &[]).unwrap();
        let ids: Vec<_> = images
            .iter()
            .map(|image| image.as_ref().unwrap().meta.frame_id.as_str())
            .collect();
        assert_eq!(ids, CAMERAS.map(|camera| format!("drive/7/{camera}")));
        let meta = &images[2].as_ref().unwrap().meta;
        assert_eq!(
            (meta.time_of_day.as_deref(), meta.weather.as_deref()),
            (Some("Day"), None)
        );
        assert_eq!(
            (meta.split.as_deref(), meta.segment.as_deref()),
            (Some("training"), Some("drive"))
        );
    }

    #[test]
    fn only_wanted_cameras_appear() {
        let images = read(&frame(&[1, 2, 3]), &["FRONT_RIGHT", "FRONT"]).unwrap();
        let cameras = images
            .into_iter()
            .map(|image| image.unwrap().meta.camera.unwrap());
        assert_eq!(cameras.collect::<Vec<_>>(), ["FRONT", "FRONT_RIGHT"]);
    }

    #[test]
    fn unknown_cameras_and_nameless_frames_are_defects() {
        let images = read(&frame(&[9, 1]), &[]).unwrap();
        assert_eq!(images[0].as_ref().unwrap_err().reason, "unknown-camera");
        assert!(images[1].is_ok());
        let nameless = Frame {
            context: None,
            ..frame(&[1])
        };
        assert_eq!(read(&nameless, &[]).unwrap_err().reason, "bad-protobuf");
        assert_eq!(
            read(
                &Frame {
                    context: None,
                    ..frame(&[])
                },
                &[]
            )
            .unwrap()
            .len(),
            0
        );
    }

    #[test]
    fn jpegs_are_slices_of_the_record() {
        let record = Bytes::from(frame(&[1]).encode_to_vec());
        let images = images(record.clone(), None, &BTreeSet::new()).unwrap();
        let Data::Bytes(jpeg) = &images[0].as_ref().unwrap().data else {
            panic!("not bytes")
        };
        assert!(record.as_ptr_range().contains(&jpeg.as_ptr()));
    }
}
