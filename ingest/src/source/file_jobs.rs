//! Image files, cut into jobs.

use std::path::Path;
use std::sync::Arc;

use schemas::shard::ShardId;

use super::dataset::Dataset;
use super::files::{Files, Found};
use super::job::{Content, Job};
use super::naming::short_name;
use super::tags::Tags;
use crate::error::{Error, Result};

/// Consecutive items of one shard.
const ITEMS_PER_SHARD: u64 = 2048;

impl Found {
    /// Jobs of all that was found at `path`; its folder is stored under the name `input`.
    ///
    /// # Errors
    /// If there is no image.
    pub(super) fn into_jobs(
        self,
        dataset: Dataset,
        path: &Path,
        input: &str,
        tags: &Arc<Tags>,
    ) -> Result<Vec<Job>> {
        let archives = self.archives.into_iter().map(|archive| {
            let input = short_name(archive.path(), 2);
            cut(dataset, Files::Archive(archive), &input, tags)
        });
        let folder = cut(dataset, Files::Folder(self.folder), input, tags);
        let jobs: Vec<Job> = folder.into_iter().chain(archives.flatten()).collect();
        if jobs.is_empty() {
            let name = dataset.name();
            let advice = format!(
                "`ingest {name}` looks for .jpg and .png files in it, and for .tar and .zip that hold some"
            );
            return Err(Error::input("it holds no images", path, advice));
        }
        Ok(jobs)
    }
}

fn cut(dataset: Dataset, files: Files, input: &str, tags: &Arc<Tags>) -> Vec<Job> {
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
