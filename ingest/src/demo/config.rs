//! What is asked of `ingest demo`, and what it answers.

use std::path::PathBuf;

use serde::Serialize;

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
