//! Which images a probe trains on, and which it is scored on.

use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::Result;
use console::usage;

use crate::segmentation::{Dataset, Unlabelled};

/// Two parts of a labelled set that share no image.
#[derive(Clone, Debug)]
pub struct Splits {
    /// Trained on.
    pub train: Dataset,
    /// Scored on.
    pub test: Dataset,
}

impl Splits {
    /// The splits `train` and `val` of the set in `data`.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn open(data: &Path, unlabelled: Unlabelled) -> Result<Self> {
        Ok(Splits {
            train: Dataset::open(data, "train", unlabelled)?,
            test: Dataset::open(data, "val", unlabelled)?,
        })
    }

    /// The split `train` alone, of which `held` images are scored on, in blocks of neighbours.
    ///
    /// # Errors
    /// As [`Dataset::open`]; if it has no more images than that.
    pub fn held_out(data: &Path, held: usize, unlabelled: Unlabelled) -> Result<Self> {
        let all = Dataset::open(data, "train", unlabelled)?;
        if held >= all.len() {
            return Err(usage(format!(
                "--holdout {held}: the training split has {} images",
                all.len()
            )));
        }
        let (train, test) = all.hold_out(held);
        Ok(Splits { train, test })
    }

    /// The first images of each, where there is a limit.
    pub fn limited(self, train: Option<NonZeroUsize>, test: Option<NonZeroUsize>) -> Self {
        let limited = |set: Dataset, limit: Option<NonZeroUsize>| {
            limit.map_or(set.clone(), |limit| set.first(limit.get()))
        };
        Splits {
            train: limited(self.train, train),
            test: limited(self.test, test),
        }
    }
}
