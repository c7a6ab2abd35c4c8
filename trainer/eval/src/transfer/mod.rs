//! A backbone fine-tuned for semantic segmentation, as the paper's tables measure it.
//!
//! `config` holds the recipe (RECIPE 6), `fcn` the network, `crops` what an image becomes in
//! training, `loss` what is made smaller, `tune` the loop, `folder` its files, `evaluate` the score. Reads from top to bottom: weights → network →
//! iterations → mIoU of the whole split at full size.
//!
//! Several ranks share the crops of every step and the images that are scored. Steps, losses and
//! weights are those of one process up to rounding: crops are a function of seed and iteration,
//! batch norms look at the crops of all ranks, and the loss is a mean over all. So a checkpoint says
//! nothing of ranks, and any number of them goes on from it.

mod config;
mod crops;
mod evaluate;
mod fcn;
mod folder;
mod loss;
mod tune;

pub use config::{BUILT_IN, TransferConfig, resolve};
pub use tune::{Request, TransferResult, Tuning};
