//! From an input to its jobs, and from a job to its items: which source reads which data set.

use std::path::Path;

use schemas::shard::Settings;

use super::dataset::Dataset;
use super::item::Items;
use super::job::{Content, Job};
use super::search::Search;
use super::{file_items, images, soda10m, waymo};
use crate::error::Result;

impl Dataset {
    /// Jobs of the input at `path`. What is found there and not read is counted in `search`.
    ///
    /// # Errors
    /// If it cannot be read, or is not of this data set.
    pub fn jobs(self, path: &Path, search: &mut Search) -> Result<Vec<Job>> {
        match self {
            Self::Waymo => waymo::jobs(path, search),
            Self::Soda10m => soda10m::jobs(path, search),
            Self::Images => images::jobs(path, search),
        }
    }

    /// Which of the jobs of all inputs are to be done: what several of them hold is read once.
    ///
    /// # Errors
    /// If there is nothing to do.
    pub fn settle(self, jobs: &[&Job], search: &mut Search) -> Result<Vec<bool>> {
        match self {
            Self::Waymo => waymo::twice::settle(jobs, search),
            Self::Soda10m | Self::Images => Ok(vec![true; jobs.len()]),
        }
    }
}

impl Job {
    /// Opens the job's items. Frames of cameras that `settings` leaves out do not appear.
    ///
    /// # Errors
    /// If the input cannot be opened.
    pub fn open<'a>(&'a self, settings: &'a Settings) -> Result<Items<'a>> {
        match &self.content {
            Content::TfRecord(file) => waymo::v1::items(file, &self.id.input, &settings.cameras),
            Content::CameraImages(file) => {
                waymo::v2::items(file, &self.id.input, &settings.cameras).map(Items::new)
            }
            Content::LostPlaces(lost) => Ok(waymo::v1::lost_places(lost, &self.id.input)),
            Content::Files {
                dataset,
                files,
                tags,
            } => file_items::items(*dataset, files, tags, &self.id),
        }
    }
}
