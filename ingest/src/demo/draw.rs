//! Renders and encodes one task of the plan.

use std::path::PathBuf;

use scenes::{Hour, Rng, Scene, Weather};

use super::cameras::{CITYSCAPES_MOUNT, WAYMO_CAMERAS, soda10m_mount};
use super::encode;
use super::plan::Task;

/// Seconds between the steps of a drive.
const STEP_SECS: f32 = 0.5;

/// What a thread has drawn.
pub(super) enum Drawn {
    /// A record of a drive.
    Step {
        drive_ix: usize,
        step: u32,
        record: Vec<u8>,
    },
    /// Whole files, with their paths in the output folder.
    Files(Vec<(PathBuf, Vec<u8>)>),
}

/// Renders and encodes.
pub(super) fn draw(task: Task) -> Drawn {
    match task {
        Task::Step {
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
                    encode::jpeg(&scene.photograph(mount, secs, shot, false)),
                )
            });
            let micros = i64::from(step) * (STEP_SECS * 1e6) as i64;
            Drawn::Step {
                drive_ix,
                step,
                record: encode::waymo_record(&drive, micros, jpegs.collect()),
            }
        }
        Task::Soda10m { path, seed } => {
            let photo = lone_scene(seed, 0.25).photograph(&soda10m_mount(seed), 0.0, 0, false);
            Drawn::Files(vec![(path, encode::jpeg(&photo))])
        }
        Task::Cityscapes {
            image,
            labels,
            seed,
        } => {
            let photo = lone_scene(seed, 0.1).photograph(&CITYSCAPES_MOUNT, 0.0, 0, true);
            let (color_png, labels_png) = encode::pngs(&photo);
            Drawn::Files(vec![(image, color_png), (labels, labels_png)])
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
