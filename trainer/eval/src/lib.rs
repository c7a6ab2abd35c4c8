//! What a backbone has learned, measured and shown.
//!
//! ```no_run
//! use eval::probe::{Options, Request, Splits, measure};
//! use eval::segmentation::Unlabelled;
//! use model::Network;
//! use model::files::weights::Weights;
//! use native::Ranks;
//! use tch::Device;
//!
//! # fn main() -> anyhow::Result<()> {
//! let splits = Splits::open("data/cityscapes".as_ref(), Unlabelled::Refuse)?;
//! let weights = Weights::open("runs/multisiam_waymo".as_ref(), Network::Online)?;
//! let report = measure(&Request {
//!     weights: &weights,
//!     splits: &splits,
//!     options: Options::default(),
//!     device: Device::Cpu,
//!     pictures: None,
//!     ranks: &Ranks::alone(),
//! })?;
//! if let Some(report) = report {
//!     println!("{report}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! * [`probe`]: a linear classifier on a frozen backbone.
//! * [`transfer`]: a backbone fine-tuned for semantic segmentation.
//! * [`segmentation`]: the labelled street scenes that both measure on.
//! * [`embed`]: a feature of every frame, as a Parquet file.
//! * [`visualize`]: K-means clusters of a backbone's last map, as a picture.
//! * [`cells`]: where the cells of a map lie on the picture.
//! * [`recalibrate`]: batch-norm statistics for other images than those of training.
//!
//! Each takes a request and returns a report; nothing here knows of a command line. Several ranks that
//! evaluate as one all call the same function; rank 0 alone writes files.
#![deny(missing_docs)]

mod agree;
pub mod cells;
pub mod embed;
pub mod frames;
pub mod probe;
pub mod recalibrate;
pub mod segmentation;
pub mod transfer;
pub mod visualize;

#[cfg(test)]
mod see_through;
