//! What a job would read, without reading it.

use std::path::Path;

use schemas::frame::FrameMeta;

use super::file_items;
use super::job::{Content, Job};

/// One file of a job.
#[derive(Clone, Debug)]
pub(crate) struct Glance {
    /// Path below the input's folder, or in the archive.
    pub path: String,
    /// What its path says; nothing of a file of many frames, or of a lost place.
    pub meta: Option<FrameMeta>,
}

impl Job {
    /// Folder or archive that the job's files are in.
    pub(crate) fn place(&self) -> &Path {
        match &self.content {
            Content::Files { files, .. } => files.path(),
            _ => self.path().parent().unwrap_or(Path::new("")),
        }
    }

    /// The job's files.
    pub(crate) fn glances(&self) -> Box<dyn Iterator<Item = Glance> + '_> {
        match &self.content {
            Content::Files {
                dataset,
                files,
                tags,
            } => {
                let end = self.id.end_item.unwrap_or(files.len());
                let glance = |place| Glance {
                    path: files.relative(place),
                    meta: (!files.is_lost(place))
                        .then(|| file_items::meta(*dataset, files, tags, &self.id.input, place)),
                };
                Box::new((self.id.first_item..end).map(glance))
            }
            _ => {
                let name = self.id.input.rsplit('/').next().unwrap_or_default();
                Box::new(std::iter::once(Glance {
                    path: name.to_owned(),
                    meta: None,
                }))
            }
        }
    }
}
