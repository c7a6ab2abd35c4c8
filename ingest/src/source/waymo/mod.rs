//! Waymo Open Dataset, perception: camera images of both versions.
//!
//! `v1` are TFRecord files, `v2` Parquet files of the component `camera_image`; which one a file is
//! shows in its name. Either way a file is one drive and becomes one shard, and a frame has the
//! same name in both.

pub mod messages;
mod table;
pub mod tfrecord;
pub(super) mod v1;
pub(super) mod v2;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use prost::bytes::Bytes;
use schemas::frame::FrameMeta;
use schemas::geom::Size;
use schemas::shard::ShardId;

use super::listing::Listing;
use super::{Content, Data, Job, SourceImage, short_name};
use crate::error::{Defect, Error, Result};
use messages::Stats;

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

/// Folder names of the set that are splits.
const SPLITS: [&str; 4] = ["training", "validation", "testing", "domain_adaptation"];

/// Jobs of `path`: a TFRecord or Parquet file, or a folder that holds some at any depth. Of the
/// Parquet files in a folder only those of the component `camera_image` are taken.
///
/// # Errors
/// If it cannot be read, is no file of the data set, or holds none.
pub fn jobs(path: &Path) -> Result<Vec<Job>> {
    if !path.is_dir() {
        check_is_waymo(path)?;
        return Ok(vec![job(path.to_owned())?]);
    }
    let listing = Listing::with(path, &|name| {
        has_tfrecord_name(name) || v2::has_parquet_name(name)
    })?;
    let files = (0..listing.len()).map(|ix| path.join(listing.relative(ix)));
    let files: Vec<PathBuf> = files
        .filter(|file| !v2::is_parquet(file) || v2::is_camera_image(file))
        .collect();
    if files.is_empty() {
        let advice = "`ingest waymo` looks for *.tfrecord and camera_image/*.parquet in it and its subfolders";
        return Err(Error::input(
            "the folder holds no TFRecord files and no camera images as Parquet",
            path,
            advice,
        ));
    }
    files.into_iter().map(job).collect()
}

fn job(path: PathBuf) -> Result<Job> {
    let metadata = path.metadata().map_err(Error::io("open", &path))?;
    // Folder and file name where links lead: the same however the path was given, and drives are
    // named uniquely.
    let real = path.canonicalize().map_err(Error::io("open", &path))?;
    let id = ShardId {
        input: short_name(&real, 2),
        first_item: 0,
        end_item: None,
    };
    let content = if v2::is_parquet(&path) {
        Content::CameraImages(path)
    } else {
        Content::TfRecord(path)
    };
    Ok(Job {
        id,
        content,
        weight: metadata.len(),
    })
}

fn has_tfrecord_name(name: &str) -> bool {
    !name.starts_with('.')
        && !name.ends_with(".gz")
        && name.contains(".tfrecord")
        && !v2::has_parquet_name(name)
}

/// A file whose name does not say what it holds must at least begin like it. One that is called so
/// is data: if it is damaged, the report says where.
fn check_is_waymo(path: &Path) -> Result<()> {
    if v2::is_parquet(path) {
        return v2::check_is_camera_image(path);
    }
    if has_tfrecord_name(&short_name(path, 1)) {
        return Ok(());
    }
    let mut header = [0; 12];
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    if file.read_exact(&mut header).is_ok() && tfrecord::parse_header(&header).is_some() {
        return Ok(());
    }
    let advice = "`ingest waymo` reads uncompressed TFRecord files of Waymo Open Dataset v1, camera_image/*.parquet of \
                  v2, and folders of them";
    Err(Error::input("this is not a TFRecord file", path, advice))
}

fn split_of(path: &Path) -> Option<String> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folders = absolute
        .parent()?
        .iter()
        .rev()
        .map(|name| name.to_string_lossy());
    folders
        .into_iter()
        .find(|name| SPLITS.contains(&name.as_ref()))
        .map(std::borrow::Cow::into_owned)
}

/// What the images of one drive have in common, and which of them are wanted.
struct Drive<'a> {
    split: Option<&'a str>,
    segment: &'a str,
    stats: &'a Stats,
    /// Names of the cameras; all if it is empty.
    cameras: &'a BTreeSet<String>,
}

impl Drive<'_> {
    /// The image that `camera` took, if it is wanted; its `source` is left empty.
    fn image(&self, timestamp_micros: i64, camera: &str, jpeg: Bytes) -> Option<SourceImage> {
        if !self.cameras.is_empty() && !self.cameras.contains(camera) {
            return None;
        }
        let known = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let meta = FrameMeta {
            frame_id: format!("{}/{timestamp_micros}/{camera}", self.segment),
            source: String::new(),
            dataset: "waymo".to_owned(),
            split: self.split.map(str::to_owned),
            segment: Some(self.segment.to_owned()),
            camera: Some(camera.to_owned()),
            timestamp_micros: Some(timestamp_micros),
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
    fn at(mut self, source: &str) -> Self {
        source.clone_into(&mut self.meta.source);
        self
    }
}

/// The camera that a number, or a name, stands for.
fn camera(given: &str) -> Result<&'static str, Defect> {
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
    fn the_split_is_the_nearest_folder_that_names_one() {
        assert_eq!(
            split_of(Path::new("/w/training/a.tfrecord")).as_deref(),
            Some("training")
        );
        assert_eq!(
            split_of(Path::new("/w/validation/camera_image/a.parquet")).as_deref(),
            Some("validation")
        );
        assert_eq!(split_of(Path::new("/w/a.tfrecord")), None);
    }

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

    #[test]
    fn of_a_folder_only_camera_images_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        for file in [
            "camera_image/a.parquet",
            "camera_image/b.txt",
            "lidar/a.parquet",
            "v1/a.tfrecord",
            "c.parquet",
        ] {
            let path = dir.path().join("training").join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let inputs = |folder: &str| -> Vec<String> {
            jobs(&dir.path().join(folder))
                .unwrap()
                .into_iter()
                .map(|job| job.id.input)
                .collect()
        };
        assert_eq!(inputs(""), ["camera_image/a.parquet", "v1/a.tfrecord"]);
        assert_eq!(inputs("training/camera_image"), ["camera_image/a.parquet"]);
        let message = jobs(&dir.path().join("training/lidar"))
            .unwrap_err()
            .to_string();
        assert!(message.contains("no camera images as Parquet"), "{message}");
    }
}
