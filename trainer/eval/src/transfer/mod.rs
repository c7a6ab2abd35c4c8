//! A backbone fine-tuned for semantic segmentation, as the paper's tables measure it.
//!
//! `config` holds the recipe (RECIPE 6), `fcn` the network, `crops` what an image becomes in
//! training, `tune` the loop, `evaluate` the score. Reads from top to bottom: weights → network →
//! iterations → mIoU of the whole split at full size.

mod config;
mod crops;
mod evaluate;
mod fcn;
mod tune;

pub use config::{BUILT_IN, TransferConfig, resolve};
pub use tune::{Request, TransferResult, Tuning};
