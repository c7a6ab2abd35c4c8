//! What is rendered: drives with five cameras, single photographs, and photographs with labels.
//!
//! Pure: the plan follows from the seed and the number of images, and every task can be drawn by
//! itself.

use std::path::PathBuf;

use scenes::{Hour, Rng, Weather};

use super::cameras::WAYMO_CAMERAS;
use super::paths;

/// Percent of the images that go into Waymo drives and into Cityscapes.
const WAYMO_PERCENT: u32 = 45;
const CITYSCAPES_PERCENT: u32 = 15;
/// One in this many Cityscapes pictures is for validation.
const VAL_EVERY: u32 = 4;
const MAX_DRIVES: u32 = 4;

/// One drive: one TFRecord.
#[derive(Clone, Debug)]
pub(super) struct Drive {
    pub(super) name: String,
    pub(super) location: &'static str,
    pub(super) hour: Hour,
    pub(super) weather: Weather,
    pub(super) num_steps: u32,
    pub(super) seed: u64,
}

/// Hour, weather and place of the drives: every value of Waymo's statistics occurs.
const DRIVES: [(Hour, Weather, &str); MAX_DRIVES as usize] = [
    (Hour::Day, Weather::Sunny, "location_sf"),
    (Hour::Night, Weather::Sunny, "location_phx"),
    (Hour::DawnDusk, Weather::Sunny, "location_other"),
    (Hour::Day, Weather::Rain, "location_sf"),
];

/// Everything that is rendered.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    seed: u64,
    pub(super) drives: Vec<Drive>,
    num_soda10m: u32,
    num_cityscapes: u32,
}

/// A part of the plan that one thread draws.
#[derive(Clone, Debug)]
pub(super) enum Task {
    /// All cameras of one step of a drive.
    Step {
        drive_ix: usize,
        drive: Drive,
        step: u32,
    },
    /// One photograph in SODA10M's layout.
    Soda10m { path: PathBuf, seed: u64 },
    /// One picture with labels in Cityscapes' layout.
    Cityscapes {
        image: PathBuf,
        labels: PathBuf,
        seed: u64,
    },
}

impl Plan {
    /// At least one step of a drive, two labelled pictures and one photograph.
    pub(super) fn new(seed: u64, num_frames: u32) -> Self {
        let cameras = WAYMO_CAMERAS.len() as u32;
        let num_steps = (num_frames * WAYMO_PERCENT / 100 / cameras).max(1);
        let num_drives = num_steps.min(MAX_DRIVES);
        let num_cityscapes = (num_frames * CITYSCAPES_PERCENT / 100).max(2);
        let drives = (0..num_drives).map(|ix| {
            let (hour, weather, location) = DRIVES[ix as usize];
            let num_steps = num_steps / num_drives + u32::from(ix < num_steps % num_drives);
            let seed = scene_seed(seed, 1, ix);
            Drive {
                name: format!("demo-{seed:016x}-{ix}"),
                location,
                hour,
                weather,
                num_steps,
                seed,
            }
        });
        let drives: Vec<Drive> = drives.collect();
        let num_soda10m = num_frames
            .saturating_sub(num_steps * cameras + num_cityscapes)
            .max(1);
        Self {
            seed,
            drives,
            num_soda10m,
            num_cityscapes,
        }
    }

    /// Images for Waymo, SODA10M and Cityscapes.
    pub(super) fn counts(&self) -> [u64; 3] {
        let steps: u32 = self.drives.iter().map(|d| d.num_steps).sum();
        [
            u64::from(steps) * WAYMO_CAMERAS.len() as u64,
            self.num_soda10m.into(),
            self.num_cityscapes.into(),
        ]
    }

    /// The tasks; the large ones come first.
    pub(super) fn tasks(&self) -> Vec<Task> {
        let steps = self
            .drives
            .iter()
            .enumerate()
            .flat_map(|(drive_ix, drive)| {
                (0..drive.num_steps).map(move |step| Task::Step {
                    drive_ix,
                    drive: drive.clone(),
                    step,
                })
            });
        let soda10m = (0..self.num_soda10m).map(|ix| Task::Soda10m {
            path: paths::soda10m_path(self.seed, ix),
            seed: scene_seed(self.seed, 2, ix),
        });
        let cityscapes = (0..self.num_cityscapes).map(|ix| {
            let split = if ix % VAL_EVERY == 1 { "val" } else { "train" };
            let [image, labels] = paths::cityscapes_paths(split, ix);
            Task::Cityscapes {
                image,
                labels,
                seed: scene_seed(self.seed, 3, ix),
            }
        });
        steps.chain(soda10m).chain(cityscapes).collect()
    }

    /// Paths of all files, relative to the output folder.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = self
            .drives
            .iter()
            .map(|drive| paths::waymo_path(&drive.name))
            .collect();
        for task in self.tasks() {
            match task {
                Task::Step { .. } => {}
                Task::Soda10m { path, .. } => files.push(path),
                Task::Cityscapes { image, labels, .. } => files.extend([image, labels]),
            }
        }
        files
    }
}

/// The seed of one scene; `kind` keeps the layouts apart.
fn scene_seed(seed: u64, kind: u64, ix: u32) -> u64 {
    Rng::new(seed).fork(kind).fork(u64::from(ix)).bits()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_number_of_frames_is_met_and_every_layout_has_some() {
        for num_frames in 8..400 {
            let plan = Plan::new(0, num_frames);
            let counts = plan.counts();
            assert_eq!(counts.iter().sum::<u64>(), u64::from(num_frames));
            assert!(counts.iter().all(|&n| n > 0), "{num_frames}: {counts:?}");
        }
    }

    #[test]
    fn no_two_files_share_a_path() {
        let files = Plan::new(3, 160).files();
        assert_eq!(files.iter().collect::<BTreeSet<_>>().len(), files.len());
    }

    #[test]
    fn both_cityscapes_splits_occur_in_the_smallest_plan() {
        let files = Plan::new(0, 8).files();
        for split in ["train", "val"] {
            assert!(
                files
                    .iter()
                    .any(|f| f.components().any(|c| c.as_os_str() == split))
            );
        }
    }
}
