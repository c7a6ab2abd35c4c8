//! Batches of crop pairs in, a pre-trained backbone out.
//!
//! `run` (one training run) reads from top to bottom: [`cli`] → [`layers`] → [`session`] →
//! [`train`]. The mathematics of the paper lies in [`method`], [`align`], [`cluster`] and
//! [`attention`]; what tch lacks of libtorch in [`native`].
#![deny(missing_docs)]

pub mod align;
pub mod attention;
pub mod bench;
pub mod check;
pub mod checkpoint;
pub mod checkpoint_writer;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod detectron2;
pub mod device;
pub mod diagnostics;
pub mod dry_run;
pub mod embed;
pub mod embedded;
pub mod error;
pub mod events;
pub mod export;
pub mod frames;
pub mod gate;
pub mod host_batch;
pub mod import;
pub mod layers;
pub mod length;
pub mod memory;
pub mod method;
pub mod metrics;
pub mod model;
pub mod native;
pub mod optim;
pub mod pickle;
pub mod pictures;
pub mod plot;
pub mod probe;
pub mod profile;
pub mod progress;
pub mod pth;
pub mod random;
pub mod recalibrate;
pub mod run;
pub mod run_dir;
pub mod segmentation;
pub mod session;
pub mod signals;
pub mod state_dict;
pub mod step;
pub mod tensor_file;
pub mod train;
pub mod transfer;
pub mod unpickle;
pub mod visualize;
pub mod watch;
pub mod weights;
