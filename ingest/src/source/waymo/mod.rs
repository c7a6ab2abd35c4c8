//! Waymo Open Dataset, perception: camera images of both versions.
//!
//! `v1` are TFRecord files, `v2` Parquet files of the component `camera_image`; which one a file is
//! shows in its name. Either way a file is one drive and becomes one shard, and a frame has the
//! same name in both.

mod damage;
mod drive;
pub mod messages;
mod table;
pub mod tfrecord;
pub(super) mod v1;
pub(super) mod v2;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use host::file_name::is_hidden;
use schemas::shard::ShardId;

use super::job::{Content, Job};
use super::listing::Listing;
use super::naming::short_name;
use super::search::Search;
use crate::error::{Error, Result};

pub use drive::CAMERAS;

/// Jobs of `path`: a TFRecord or Parquet file, or a folder that holds some at any depth. Of the
/// Parquet files in a folder only those of the component `camera_image` are taken.
///
/// # Errors
/// If it cannot be read, is no file of the data set, or holds none.
pub fn jobs(path: &Path, _search: &mut Search) -> Result<Vec<Job>> {
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
    !is_hidden(name)
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

#[cfg(test)]
mod tests {
    use super::*;

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
            jobs(&dir.path().join(folder), &mut Search::default())
                .unwrap()
                .into_iter()
                .map(|job| job.id.input)
                .collect()
        };
        assert_eq!(inputs(""), ["camera_image/a.parquet", "v1/a.tfrecord"]);
        assert_eq!(inputs("training/camera_image"), ["camera_image/a.parquet"]);
        let message = jobs(&dir.path().join("training/lidar"), &mut Search::default())
            .unwrap_err()
            .to_string();
        assert!(message.contains("no camera images as Parquet"), "{message}");
    }
}
