//! Renders synthetic street scenes in the layouts of Waymo, SODA10M and Cityscapes, so that
//! everything runs offline.
//!
//! A scene is a street with buildings, traffic, people and weather; a backdrop is cast pixel by
//! pixel, everything that stands before it is drawn with `tiny-skia`. Waymo's five cameras look at
//! neighbouring parts of one scene, and the steps of a drive move through it. The same seed gives
//! the same bytes on any machine and with any number of threads.
//!
//! What it does not do: look like a photograph to a trained network. The pictures exercise the
//! programs; they do not replace data.

mod actors;
mod args;
mod backdrop;
mod building;
mod camera;
mod canvas;
mod cast;
mod claim;
mod class;
mod layout;
mod light;
mod noise;
mod photo;
mod plan;
mod scene;
mod street;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Instant;

use serde::Serialize;

use crate::error::{Error, Result};
pub use args::{DemoArgs, run};
use claim::Claim;
use layout::Writer;
use plan::Plan;

/// What to render, and where.
#[derive(Clone, Debug)]
pub struct DemoConfig {
    /// Folder that gets `waymo/`, `soda10m/` and `cityscapes/`. It is new, empty, or was written by
    /// an earlier run.
    pub out: PathBuf,
    /// Images in all, shared out over the three layouts; at least [`MIN_FRAMES`].
    pub num_frames: u32,
    /// Decides every pixel.
    pub seed: u64,
    /// Threads that render.
    pub threads: usize,
}

/// The fewest images that fill all three layouts.
pub const MIN_FRAMES: u32 = 8;

impl Default for DemoConfig {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            out: PathBuf::from("data"),
            num_frames: 160,
            seed: 0,
            threads,
        }
    }
}

/// What was rendered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DemoReport {
    /// The folder.
    pub out: PathBuf,
    /// Images in all.
    pub frames: u64,
    /// Camera images in Waymo TFRecords.
    pub waymo_frames: u64,
    /// JPEGs in SODA10M's layout.
    pub soda10m_frames: u64,
    /// Pictures with labels in Cityscapes' layout.
    pub cityscapes_frames: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Whether an earlier run had made exactly this already, so that nothing was rendered.
    pub unchanged: bool,
    /// Time taken, in seconds.
    pub seconds: f64,
}

/// Renders everything; `progress` hears of finished and of all images, on the calling thread.
///
/// # Errors
/// If `num_frames` is below [`MIN_FRAMES`], the folder holds files of somebody else, or cannot be
/// written.
pub fn render(config: &DemoConfig, progress: &mut dyn FnMut(u64, u64)) -> Result<DemoReport> {
    let started = Instant::now();
    if config.num_frames < MIN_FRAMES {
        return Err(Error::Output {
            detail: format!("{} images do not fill the three layouts", config.num_frames),
            dir: config.out.clone(),
            advice: "ask for at least 8 with --frames",
        });
    }
    let plan = Plan::new(config.seed, config.num_frames);
    let claim = Claim::new(config, plan.files());
    let unchanged = claim.is_fulfilled()?;
    if !unchanged {
        claim.stake()?;
        draw_all(config, &plan, progress)?;
        claim.fulfil()?;
    }
    let [waymo, soda10m, cityscapes] = plan.counts();
    Ok(DemoReport {
        out: config.out.clone(),
        frames: waymo + soda10m + cityscapes,
        waymo_frames: waymo,
        soda10m_frames: soda10m,
        cityscapes_frames: cityscapes,
        bytes: claim.bytes()?,
        unchanged,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// Threads draw and encode; this one writes, in the order of the plan where files need it.
fn draw_all(config: &DemoConfig, plan: &Plan, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
    let tasks = Mutex::new(plan.tasks().into_iter());
    let next_task = || tasks.lock().unwrap_or_else(PoisonError::into_inner).next();
    let total: u64 = plan.counts().iter().sum();
    let mut writer = Writer::new(&config.out, plan);
    std::thread::scope(|scope| {
        let threads = config.threads.max(1);
        // Bounded: pictures wait for the disk, not in memory.
        let (send, receive) = mpsc::sync_channel(2 * threads);
        for _ in 0..threads {
            let (send, next_task) = (send.clone(), &next_task);
            scope.spawn(move || {
                while let Some(task) = next_task() {
                    // The receiver goes away when writing failed: then nobody needs the rest.
                    if send.send(task.draw()).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        let mut done = 0;
        for drawn in receive {
            done += writer.write(drawn)?;
            progress(done, total);
        }
        writer.finish()
    })
}

#[cfg(test)]
mod tests;
