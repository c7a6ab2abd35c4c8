//! Waymo Open Dataset, perception, version 1: TFRecord files whose records are `Frame` messages.
//!
//! A file is one drive and becomes one shard. Records are read whole, for their checksum; of the message only the
//! declared fields are decoded, and JPEGs stay where they were read.

pub mod messages;
pub mod tfrecord;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use prost::Message;
use prost::bytes::Bytes;
use schemas::frame::FrameMeta;
use schemas::geom::Size;
use schemas::shard::ShardId;

use super::listing::Listing;
use super::{Content, Data, Item, Job, SourceImage, short_name};
use crate::error::{Defect, Error, Result};
use messages::{CameraImage, Frame};
use tfrecord::{Event, Records};

/// `CameraName.Name`; a camera's number is its place in this list, counted from 1.
pub const CAMERAS: [&str; 8] =
    ["FRONT", "FRONT_LEFT", "FRONT_RIGHT", "SIDE_LEFT", "SIDE_RIGHT", "REAR_LEFT", "REAR", "REAR_RIGHT"];

/// Folder names of the set that are splits.
const SPLITS: [&str; 4] = ["training", "validation", "testing", "domain_adaptation"];

/// Jobs of `path`, a TFRecord file or a folder that holds some at any depth.
///
/// # Errors
/// If it cannot be read, is no TFRecord file, or holds none.
pub fn jobs(path: &Path) -> Result<Vec<Job>> {
    if !path.is_dir() {
        check_is_tfrecord(path)?;
        return Ok(vec![job(path.to_owned())?]);
    }
    let listing = Listing::with(path, &has_tfrecord_name)?;
    if listing.is_empty() {
        let advice = "`ingest waymo` looks for *.tfrecord files in it and its subfolders";
        return Err(Error::input("the folder holds no TFRecord files", path, advice));
    }
    (0..listing.len()).map(|ix| job(path.join(listing.relative(ix)))).collect()
}

fn job(path: PathBuf) -> Result<Job> {
    let metadata = path.metadata().map_err(Error::io("open", &path))?;
    // Folder and file name: the same however the path was given, and drives are named uniquely.
    let id = ShardId { input: short_name(&path, 2), first_item: 0, end_item: None };
    Ok(Job { id, content: Content::TfRecord(path), weight: metadata.len() })
}

fn has_tfrecord_name(name: &str) -> bool {
    !name.starts_with('.') && !name.ends_with(".gz") && name.contains(".tfrecord")
}

/// A file that is not called `*.tfrecord*` must at least begin like one. One that is called so is data: if it is
/// damaged, the report says where.
fn check_is_tfrecord(path: &Path) -> Result<()> {
    let name = short_name(path, 1);
    if has_tfrecord_name(&name) {
        return Ok(());
    }
    let mut header = [0; 12];
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    if file.read_exact(&mut header).is_ok() && tfrecord::parse_header(&header).is_some() {
        return Ok(());
    }
    let advice = "`ingest waymo` reads uncompressed TFRecord files of Waymo Open Dataset v1, and folders of them";
    Err(Error::input("this is not a TFRecord file", path, advice))
}

/// The images of the file at `path`, which is stored under the name `input`; only those of `cameras` unless empty.
pub(super) fn items<'a>(
    path: &'a Path,
    input: &'a str,
    cameras: &'a BTreeSet<String>,
) -> Result<impl Iterator<Item = Result<Item>> + 'a> {
    let records = Records::open(path).map_err(Error::io("open", path))?;
    let split = split_of(path);
    let mut offset_before = 0;
    Ok(records.flat_map(move |event| {
        let event = match event {
            Ok(event) => event,
            Err(error) => return vec![Err(Error::io("read", path)(error))],
        };
        let (offset, found) = match event {
            Event::Lost { offset, defect } => (offset, Err(defect)),
            Event::Record(record) => (record.offset, images(record.data, split.as_deref(), cameras)),
        };
        let source = format!("{input}@{offset}");
        let mut items: Vec<Item> = match found {
            Ok(images) => images
                .into_iter()
                .map(|content| Item {
                    source: source.clone(),
                    weight: 0,
                    content: content.map(|image| image.at(&source)),
                })
                .collect(),
            Err(defect) => vec![Item { source, weight: 0, content: Err(defect) }],
        };
        // All bytes up to this record are done with its first item.
        if let Some(first) = items.first_mut() {
            first.weight = offset - std::mem::replace(&mut offset_before, offset);
        }
        items.into_iter().map(Ok).collect()
    }))
}

impl SourceImage {
    fn at(mut self, source: &str) -> Self {
        source.clone_into(&mut self.meta.source);
        self
    }
}

fn split_of(path: &Path) -> Option<String> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folders = absolute.parent()?.iter().rev().map(|name| name.to_string_lossy());
    folders.into_iter().find(|name| SPLITS.contains(&name.as_ref())).map(std::borrow::Cow::into_owned)
}

/// The images of one `Frame` message.
fn images(
    record: Bytes,
    split: Option<&str>,
    cameras: &BTreeSet<String>,
) -> Result<Vec<Result<SourceImage, Defect>>, Defect> {
    let frame = Frame::decode(record).map_err(|error| Defect::new("bad-protobuf", error.to_string()))?;
    if frame.images.is_empty() {
        return Ok(Vec::new());
    }
    let context = frame.context.unwrap_or_default();
    let (Some(name), Some(timestamp)) = (context.name, frame.timestamp_micros) else {
        return Err(Defect::new("bad-protobuf", "the frame has images but no context name or timestamp"));
    };
    let stats = context.stats.unwrap_or_default();
    let known = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let meta_of = |camera: &str| FrameMeta {
        frame_id: format!("{name}/{timestamp}/{camera}"),
        source: String::new(),
        dataset: "waymo".to_owned(),
        split: split.map(str::to_owned),
        segment: Some(name.clone()),
        camera: Some(camera.to_owned()),
        timestamp_micros: Some(timestamp),
        size: Size::new(0, 0),
        time_of_day: known(&stats.time_of_day),
        weather: known(&stats.weather),
        location: known(&stats.location),
    };
    let is_wanted = |camera: &str| cameras.is_empty() || cameras.contains(camera);
    let images = frame.images.into_iter().filter_map(|CameraImage { name, image }| {
        let Some(camera) = camera_name(name) else {
            let detail = format!("camera number {} is unknown", name.unwrap_or_default());
            return Some(Err(Defect::new("unknown-camera", detail)));
        };
        let data = Data::Bytes(image.unwrap_or_default());
        is_wanted(camera).then(|| Ok(SourceImage { meta: meta_of(camera), data }))
    });
    Ok(images.collect())
}

fn camera_name(number: Option<i32>) -> Option<&'static str> {
    let ix = usize::try_from(number?).ok()?.checked_sub(1)?;
    CAMERAS.get(ix).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use messages::{Context, Stats};

    fn frame(cameras: &[i32]) -> Frame {
        let stats = Stats {
            time_of_day: Some("Day".into()),
            location: Some("location_sf".into()),
            weather: Some(String::new()),
        };
        let image = |&camera: &i32| CameraImage { name: Some(camera), image: Some(Bytes::from_static(b"jpeg")) };
        Frame {
            context: Some(Context { name: Some("drive".into()), stats: Some(stats) }),
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
        let ids: Vec<_> = images.iter().map(|image| image.as_ref().unwrap().meta.frame_id.as_str()).collect();
        assert_eq!(ids, CAMERAS.map(|camera| format!("drive/7/{camera}")));
        let meta = &images[2].as_ref().unwrap().meta;
        assert_eq!((meta.time_of_day.as_deref(), meta.weather.as_deref()), (Some("Day"), None));
        assert_eq!((meta.split.as_deref(), meta.segment.as_deref()), (Some("training"), Some("drive")));
    }

    #[test]
    fn only_wanted_cameras_appear() {
        let images = read(&frame(&[1, 2, 3]), &["FRONT_RIGHT", "FRONT"]).unwrap();
        let cameras = images.into_iter().map(|image| image.unwrap().meta.camera.unwrap());
        assert_eq!(cameras.collect::<Vec<_>>(), ["FRONT", "FRONT_RIGHT"]);
    }

    #[test]
    fn unknown_cameras_and_nameless_frames_are_defects() {
        let images = read(&frame(&[9, 1]), &[]).unwrap();
        assert_eq!(images[0].as_ref().unwrap_err().reason, "unknown-camera");
        assert!(images[1].is_ok());
        let nameless = Frame { context: None, ..frame(&[1]) };
        assert_eq!(read(&nameless, &[]).unwrap_err().reason, "bad-protobuf");
        assert_eq!(read(&Frame { context: None, ..frame(&[]) }, &[]).unwrap().len(), 0);
    }

    #[test]
    fn jpegs_are_slices_of_the_record() {
        let record = Bytes::from(frame(&[1]).encode_to_vec());
        let images = images(record.clone(), None, &BTreeSet::new()).unwrap();
        let Data::Bytes(jpeg) = &images[0].as_ref().unwrap().data else { panic!("not bytes") };
        assert!(record.as_ptr_range().contains(&jpeg.as_ptr()));
    }

    #[test]
    fn the_split_is_the_nearest_folder_that_names_one() {
        assert_eq!(split_of(Path::new("/w/training/a.tfrecord")).as_deref(), Some("training"));
        assert_eq!(split_of(Path::new("/w/a.tfrecord")), None);
    }
}
