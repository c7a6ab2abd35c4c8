//! Synthetic street scenes in the layouts of Waymo, SODA10M and Cityscapes, so that everything runs
//! offline.
//!
//! Waymo's five cameras look at neighbouring parts of one scene, and the steps of a drive move
//! through it. The same seed gives the same bytes on any machine and with any number of threads.
//! The pictures exercise the programs; they do not replace data. Crate `scenes` paints them.

mod cameras;
mod claim;
mod config;
mod draw;
mod encode;
mod paths;
mod plan;
mod render;
mod report;
#[cfg(test)]
mod tests;
mod write;

pub use config::{DemoConfig, MIN_FRAMES};
pub use render::render;
pub use report::DemoReport;
