//! What to render, and where.

use std::path::PathBuf;

/// A request for scenes.
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
        Self {
            out: PathBuf::from("data"),
            num_frames: 160,
            seed: 0,
            threads: host::threads(0),
        }
    }
}
