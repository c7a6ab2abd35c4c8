//! Raw data sets as streams of encoded images, one file per data set.
//!
//! A source turns an input into [`Job`]s (one per shard) and opens a job as an iterator over its
//! items in a fixed order. What a source cannot read of an item is a [`Defect`] at that item's
//! place.

pub mod archive;
pub mod files;
mod images;
pub mod listing;
pub mod names;
pub mod soda10m;
pub mod tags;
pub mod waymo;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::bytes::Bytes;
use schemas::frame::FrameMeta;
use schemas::shard::{Settings, ShardId};

use crate::error::{Defect, Error, Result};
use archive::{MemberImage, parts};
use files::Files;
use tags::Tags;

/// Which data set the inputs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dataset {
    /// Waymo Open Dataset.
    Waymo,
    /// SODA10M.
    Soda10m,
    /// Any tree of images.
    Images,
}

impl Dataset {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Waymo, Self::Soda10m, Self::Images];

    /// Its name in the `dataset` column and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waymo => "waymo",
            Self::Soda10m => "soda10m",
            Self::Images => "images",
        }
    }

    /// Jobs of the input at `path`. `tag_files` say more of SODA10M's images, besides those that
    /// lie with them.
    ///
    /// # Errors
    /// If it cannot be read, or is not of this data set.
    pub fn jobs(self, path: &Path, tag_files: &[PathBuf]) -> Result<Vec<Job>> {
        match self {
            Self::Waymo => waymo::jobs(path),
            Self::Soda10m => soda10m::jobs(path, tag_files),
            Self::Images => files::jobs(path),
        }
    }
}

/// What one shard is made of.
#[derive(Clone, Debug)]
pub struct Job {
    /// Name and item range of the shard.
    pub id: ShardId,
    /// Where its items come from.
    pub content: Content,
    /// How much there is to do: bytes of a file, or a number of images.
    pub weight: u64,
}

/// Where the items of a job come from.
#[derive(Clone, Debug)]
pub enum Content {
    /// All of one TFRecord file.
    TfRecord(PathBuf),
    /// All of one Parquet file of camera images.
    CameraImages(PathBuf),
    /// The job's range of the image files of a folder or archive.
    Files {
        /// How names become metadata.
        dataset: Dataset,
        /// All files of the input.
        files: Arc<Files>,
        /// What is known of some of them.
        tags: Arc<Tags>,
    },
}

/// One item of an input.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its place, for reports: `training/a.tfrecord@1234`, `street/0001.jpg`.
    pub source: String,
    /// Share of [`Job::weight`] that is done with it.
    pub weight: u64,
    /// What stands there.
    pub content: Result<SourceImage, Defect>,
}

/// An image that was found, not yet decoded.
#[derive(Clone, Debug)]
pub struct SourceImage {
    /// What the source knows of it. `size` is 0 × 0 until it is decoded.
    pub meta: FrameMeta,
    /// The encoded image.
    pub data: Data,
}

/// An encoded image.
#[derive(Clone, Debug)]
pub enum Data {
    /// Read already.
    Bytes(Bytes),
    /// To be read by whoever decodes it.
    File(PathBuf),
    /// In an archive; likewise.
    Member(MemberImage),
}

/// The items of a job. An `Err` is an I/O error, which ends the run.
pub type Items<'a> = Box<dyn Iterator<Item = Result<Item>> + 'a>;

impl Job {
    /// Opens the job's items. Frames of cameras that `settings` leaves out do not appear.
    ///
    /// # Errors
    /// If the input cannot be opened.
    pub fn open<'a>(&'a self, settings: &'a Settings) -> Result<Items<'a>> {
        match &self.content {
            Content::TfRecord(path) => Ok(Box::new(waymo::v1::items(
                path,
                &self.id.input,
                &settings.cameras,
            )?)),
            Content::CameraImages(path) => Ok(Box::new(waymo::v2::items(
                path,
                &self.id.input,
                &settings.cameras,
            )?)),
            Content::Files {
                dataset,
                files,
                tags,
            } => files::items(*dataset, files, tags, &self.id),
        }
    }
}

/// The files and folders that the arguments `inputs` name; patterns (`*`, `?`, `[…]`) are expanded.
/// Of the parts of an archive one is enough, and is all that is returned.
///
/// # Errors
/// If one does not exist, or is neither a file nor a folder, or a pattern matches nothing.
pub fn expand(inputs: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for input in inputs {
        if let Ok(metadata) = input.metadata() {
            if !metadata.is_dir() && !metadata.is_file() {
                let advice = "pipes and devices cannot be read again after an interruption: store the data as a file";
                return Err(Error::input(
                    "this is neither a file nor a folder",
                    input,
                    advice,
                ));
            }
            found.push(input.clone());
            continue;
        }
        let pattern = input.to_string_lossy();
        let is_pattern = pattern.contains(['*', '?', '[']);
        let matches = glob::glob(&pattern).ok().filter(|_| is_pattern);
        let before = found.len();
        found.extend(
            matches
                .into_iter()
                .flatten()
                .filter_map(std::result::Result::ok),
        );
        if found.len() == before {
            let detail = if is_pattern {
                "no file matches"
            } else {
                "there is no such file or folder"
            };
            return Err(Error::input(
                detail,
                input,
                "check the path; `ingest demo --out data/` renders data to try with",
            ));
        }
    }
    let mut archives = HashSet::new();
    found.retain(|path| parts::path_of_whole(path).is_none_or(|whole| archives.insert(whole)));
    Ok(found)
}

/// The last `count` components of `path`, joined by `/`: how an input is named in a shard, whatever
/// folder it is given relative to.
pub fn short_name(path: &Path, count: usize) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut names: Vec<String> = Vec::new();
    for component in absolute.components() {
        match component {
            std::path::Component::Normal(name) => names.push(name.to_string_lossy().into_owned()),
            std::path::Component::ParentDir => drop(names.pop()),
            _ => {}
        }
    }
    names[names.len().saturating_sub(count)..].join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_do_not_depend_on_how_a_path_is_given() {
        assert_eq!(
            short_name(Path::new("/data/waymo/training/a.tfrecord"), 2),
            "training/a.tfrecord"
        );
        assert_eq!(
            short_name(Path::new("/data/waymo/../waymo/./training/"), 1),
            "training"
        );
        let here = std::env::current_dir().unwrap();
        assert_eq!(short_name(Path::new("x/y"), 1), "y");
        assert_eq!(
            short_name(Path::new("."), 1),
            here.file_name().unwrap().to_string_lossy()
        );
    }

    #[test]
    fn patterns_expand_and_missing_inputs_are_named() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.tfrecord", "b.tfrecord", "c.txt"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let found = expand(&[dir.path().join("*.tfrecord")]).unwrap();
        assert_eq!(found.len(), 2);
        let message = expand(&[dir.path().join("nothing")])
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("no such file or folder") && message.contains("nothing"),
            "{message}"
        );
        assert!(
            expand(&[dir.path().join("*.jpg")])
                .unwrap_err()
                .to_string()
                .contains("no file matches")
        );
    }
}
