//! What is rendered: drives with five cameras, single photographs, and photographs with labels.
//!
//! Pure: the plan follows from the seed and the number of images, and every task can be drawn by
//! itself.

use super::layout::{self, Drawn};
use super::light::{Hour, Weather};
use super::noise::Rng;
use super::scene::{Mount, Scene};
use schemas::geom::Size;
use std::path::PathBuf;

/// Seconds between the steps of a drive.
const STEP_SECS: f32 = 0.5;
/// Percent of the images that go into Waymo drives and into Cityscapes.
const WAYMO_PERCENT: u32 = 45;
const CITYSCAPES_PERCENT: u32 = 15;
/// One in this many Cityscapes pictures is for validation.
const VAL_EVERY: u32 = 4;
const MAX_DRIVES: u32 = 4;

/// Name, number and mount of Waymo's cameras, in the order of its files.
pub const WAYMO_CAMERAS: [(&str, i32, Mount); 5] = [
    ("FRONT", 1, waymo_mount(1280, 620.0, 0.0)),
    ("FRONT_LEFT", 2, waymo_mount(1280, 620.0, -45.0)),
    ("SIDE_LEFT", 4, waymo_mount(886, 330.0, -90.0)),
    ("FRONT_RIGHT", 3, waymo_mount(1280, 620.0, 45.0)),
    ("SIDE_RIGHT", 5, waymo_mount(886, 330.0, 90.0)),
];

const fn waymo_mount(height: u32, horizon: f32, yaw_degrees: f32) -> Mount {
    Mount {
        size: Size {
            width: 1920,
            height,
        },
        focal: 2_050.0,
        horizon,
        height: 2.1,
        yaw_degrees,
    }
}

/// One drive: one TFRecord.
#[derive(Clone, Debug)]
pub struct Drive {
    pub name: String,
    pub location: &'static str,
    pub hour: Hour,
    pub weather: Weather,
    pub num_steps: u32,
    seed: u64,
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
pub struct Plan {
    seed: u64,
    pub drives: Vec<Drive>,
    num_soda10m: u32,
    num_cityscapes: u32,
}

/// A part of the plan that one thread draws.
#[derive(Clone, Debug)]
pub enum Task {
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
    pub fn new(seed: u64, num_frames: u32) -> Self {
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
    pub fn counts(&self) -> [u64; 3] {
        let steps: u32 = self.drives.iter().map(|d| d.num_steps).sum();
        [
            u64::from(steps) * WAYMO_CAMERAS.len() as u64,
            self.num_soda10m.into(),
            self.num_cityscapes.into(),
        ]
    }

    /// The tasks; the large ones come first.
    pub fn tasks(&self) -> Vec<Task> {
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
            path: layout::soda10m_path(self.seed, ix),
            seed: scene_seed(self.seed, 2, ix),
        });
        let cityscapes = (0..self.num_cityscapes).map(|ix| {
            let split = if ix % VAL_EVERY == 1 { "val" } else { "train" };
            let [image, labels] = layout::cityscapes_paths(split, ix);
            Task::Cityscapes {
                image,
                labels,
                seed: scene_seed(self.seed, 3, ix),
            }
        });
        steps.chain(soda10m).chain(cityscapes).collect()
    }

    /// Paths of all files, relative to the output folder.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = self
            .drives
            .iter()
            .map(|drive| layout::waymo_path(&drive.name))
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

impl Task {
    /// Renders and encodes.
    pub fn draw(self) -> Drawn {
        match self {
            Self::Step {
                drive_ix,
                drive,
                step,
            } => {
                let scene = Scene::new(drive.seed, drive.hour, drive.weather);
                let secs = step as f32 * STEP_SECS;
                let jpegs = WAYMO_CAMERAS.iter().map(|(_, number, mount)| {
                    let shot = u64::from(step) * 16 + *number as u64;
                    (
                        *number,
                        layout::jpeg(&scene.photograph(mount, secs, shot, false)),
                    )
                });
                let micros = i64::from(step) * (STEP_SECS * 1e6) as i64;
                Drawn::Step {
                    drive_ix,
                    step,
                    record: layout::waymo_record(&drive, micros, jpegs.collect()),
                }
            }
            Self::Soda10m { path, seed } => {
                let photo = lone_scene(seed, 0.25).photograph(&soda10m_mount(seed), 0.0, 0, false);
                Drawn::Files(vec![(path, layout::jpeg(&photo))])
            }
            Self::Cityscapes {
                image,
                labels,
                seed,
            } => {
                let photo = lone_scene(seed, 0.1).photograph(&CITYSCAPES_MOUNT, 0.0, 0, true);
                let (color_png, labels_png) = layout::pngs(&photo);
                Drawn::Files(vec![(image, color_png), (labels, labels_png)])
            }
        }
    }
}

/// A street in which one picture is taken: mostly by day.
fn lone_scene(seed: u64, rain: f32) -> Scene {
    let mut rng = Rng::new(seed).fork(9);
    let hour = rng.pick(&[Hour::Day, Hour::Day, Hour::Day, Hour::DawnDusk, Hour::Night]);
    let weather = if rng.chance(rain) {
        Weather::Rain
    } else {
        Weather::Sunny
    };
    Scene::new(seed, hour, weather)
}

/// SODA10M was taken with many cars' dashboard cameras.
fn soda10m_mount(seed: u64) -> Mount {
    let mut rng = Rng::new(seed).fork(8);
    Mount {
        size: Size {
            width: 1920,
            height: 1080,
        },
        focal: rng.range(1_150.0, 1_600.0),
        horizon: rng.range(470.0, 580.0),
        height: rng.range(1.35, 1.9),
        yaw_degrees: rng.range(-6.0, 6.0),
    }
}

/// The camera of Cityscapes, at half its resolution.
const CITYSCAPES_MOUNT: Mount = Mount {
    size: Size {
        width: 1024,
        height: 512,
    },
    focal: 1_131.0,
    horizon: 230.0,
    height: 1.25,
    yaw_degrees: 0.0,
};

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
