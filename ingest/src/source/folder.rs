//! Jobs and items of folder trees: what SODA10M and other image sets have in common.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemas::frame::FrameMeta;
use schemas::geom::Size;
use schemas::shard::ShardId;

use super::listing::Listing;
use super::{Content, Data, Dataset, Item, Job, SourceImage, images, short_name, soda10m};
use crate::error::{Error, Result};

/// Consecutive items of one shard.
pub const ITEMS_PER_SHARD: u64 = 2048;

/// What folder and file names say of a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameFacts {
    /// `train`, `0` … `9` of SODA10M, …
    pub split: Option<String>,
    /// Sequence or class folder.
    pub segment: Option<String>,
    /// City code.
    pub location: Option<String>,
}

/// Cuts the image files below `path` into jobs.
///
/// # Errors
/// If `path` is not a folder, cannot be read, or holds no image.
pub fn jobs(dataset: Dataset, path: &Path) -> Result<Vec<Job>> {
    named_jobs(dataset, path, &short_name(path, 1))
}

/// As [`jobs`], stored under the name `input`.
pub(super) fn named_jobs(dataset: Dataset, path: &Path, input: &str) -> Result<Vec<Job>> {
    let command = dataset.name();
    if !path.is_dir() {
        let advice = format!("`ingest {command}` reads folders of JPEG and PNG files");
        return Err(Error::input("this is not a folder", path, advice));
    }
    let listing = Arc::new(Listing::of_images(path)?);
    if listing.is_empty() {
        let advice = format!("`ingest {command}` looks for .jpg and .png files in it and its subfolders");
        return Err(Error::input("the folder holds no images", path, advice));
    }
    let starts = (0..listing.len()).step_by(ITEMS_PER_SHARD as usize);
    Ok(starts
        .map(|first_item| {
            let end = (first_item + ITEMS_PER_SHARD).min(listing.len());
            Job {
                id: ShardId { input: input.to_owned(), first_item, end_item: Some(end) },
                content: Content::Files { dataset, listing: listing.clone() },
                weight: end - first_item,
            }
        })
        .collect())
}

/// Item `ix` of a folder that is stored under the name `input`.
pub(super) fn item(dataset: Dataset, listing: &Listing, input: &str, ix: u64) -> Item {
    let relative = listing.relative(ix);
    let path: PathBuf = listing.root().join(&relative);
    let NameFacts { split, segment, location } = match dataset {
        Dataset::Soda10m => soda10m::facts(input, &relative),
        Dataset::Waymo | Dataset::Images => images::facts(&relative),
    };
    let name = source_name(input, &relative);
    let meta = FrameMeta {
        frame_id: name.clone(),
        source: name.clone(),
        dataset: dataset.name().to_owned(),
        split,
        segment,
        camera: None,
        timestamp_micros: None,
        size: Size::new(0, 0),
        time_of_day: None,
        weather: None,
        location,
    };
    Item { source: name, weight: 1, content: Ok(SourceImage { meta, data: Data::File(path) }) }
}

/// How an item is named in rows and reports: the folder that was given, and the path below it.
pub fn source_name(input: &str, relative: &str) -> String {
    format!("{input}/{relative}")
}
