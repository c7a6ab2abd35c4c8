//! Where a run is in its data.

use serde::{Deserialize, Serialize};

/// The next batch to deliver. With the same set, filter and config, everything from here on is the
/// same again: this is all that a checkpoint must hold of the loader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cursor {
    /// Pass through the set, from 0.
    pub epoch: u64,
    /// Batch within the epoch, from 0.
    pub step: u64,
}

impl Cursor {
    /// The cursor `batches` later, with `steps` steps (at least one) in an epoch.
    pub fn advanced(self, batches: u64, steps: u64) -> Self {
        let total = self.step + batches;
        Self {
            epoch: self.epoch + total / steps,
            step: total % steps,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_roll_over_at_the_end_of_an_epoch() {
        let start = Cursor { epoch: 2, step: 5 };
        assert_eq!(start.advanced(0, 7), start);
        assert_eq!(start.advanced(1, 7), Cursor { epoch: 2, step: 6 });
        assert_eq!(start.advanced(2, 7), Cursor { epoch: 3, step: 0 });
        assert_eq!(start.advanced(16, 7), Cursor { epoch: 5, step: 0 });
    }
}
