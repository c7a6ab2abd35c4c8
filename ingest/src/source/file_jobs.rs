//! Image files, cut into jobs.

use std::path::Path;
use std::sync::Arc;

use schemas::shard::ShardId;

use super::dataset::Dataset;
use super::files::Files;
use super::found::FoundArchive;
use super::job::{Content, Job};
use super::passed_over::PassedOver;
use super::tags::Tags;
use crate::error::Error;

/// Consecutive items of one shard.
const ITEMS_PER_SHARD: u64 = 2048;

/// Jobs of the `input` that is made of `files`.
pub(super) fn cut(dataset: Dataset, files: Files, input: &str, tags: &Arc<Tags>) -> Vec<Job> {
    let files = Arc::new(files);
    let starts = (0..files.len()).step_by(ITEMS_PER_SHARD as usize);
    let job = |first_item: u64| {
        let end = (first_item + ITEMS_PER_SHARD).min(files.len());
        Job {
            id: ShardId {
                input: input.to_owned(),
                first_item,
                end_item: Some(end),
            },
            content: Content::Files {
                dataset,
                files: files.clone(),
                tags: tags.clone(),
            },
            weight: end - first_item,
        }
    };
    starts.map(job).collect()
}

/// Jobs of an archive: it is an input of its own.
pub(super) fn of_archive(dataset: Dataset, found: FoundArchive, tags: &Arc<Tags>) -> Vec<Job> {
    let input = found.input;
    let files = Files::of_archive(found.archive, found.chosen, input.clone());
    cut(dataset, files, &input, tags)
}

/// Nothing is to be read at `path`: what was looked for, and what was passed over.
pub(super) fn no_images(dataset: Dataset, path: &Path, passed_over: &PassedOver) -> Error {
    let name = dataset.name();
    let files = passed_over.files();
    let most = files
        .iter()
        .filter(|files| matches!(&*files.reason, "label-picture" | "excluded" | "hidden"))
        .max_by_key(|files| files.count);
    let others = most.map_or_else(String::new, |files| {
        format!(
            "; {} are passed over ({} {}), --include reads files that a pattern names",
            files.count, files.reason, files.kind
        )
    });
    let advice = format!(
        "`ingest {name}` looks for .jpg and .png files in it, and for .tar and .zip that hold some{others}"
    );
    Error::input("it holds no images", path, advice)
}
