//! Which steps have a row in the log, and which rows stay when a run is resumed.
//!
//! A call that ends between two rows of the grid adds one, so that its last state is told. A run
//! that never stops has no such row: who goes on under the same grid drops it. Under another grid
//! the past stays as it was written.

use anyhow::Result;
use model::files::checkpoint::Header;

use super::schedule::Schedule;
use crate::config::{self, RunConfig};

/// The first step, every n-th, those with a probe, the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogGrid {
    every: u64,
    /// 0: no probes.
    probe_every: u64,
    total: u64,
}

impl LogGrid {
    pub(super) fn new(config: &RunConfig, schedule: &Schedule) -> Self {
        LogGrid {
            every: config.run.log_every_steps,
            probe_every: config.probe.every,
            total: schedule.total_steps(),
        }
    }

    /// The grid under which a checkpoint was made.
    ///
    /// # Errors
    /// A config that this build does not read.
    pub(super) fn of_checkpoint(header: &Header) -> Result<Self> {
        let config = config::parse_resolved(&header.config, "the checkpoint's config")?;
        let batches = header.data.frames / (config.data.batch * header.world);
        let schedule = Schedule::among(header.world, &config, batches)?;
        Ok(Self::new(&config, &schedule))
    }

    /// Steps of the whole run.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn is_due(&self, step: u64) -> bool {
        let has_probe = self.probe_every > 0 && step.is_multiple_of(self.probe_every);
        step == 1 || step == self.total || step.is_multiple_of(self.every) || has_probe
    }

    /// The last step whose row stays when a run goes on after `step` steps that were made under the
    /// grid `before`.
    pub(super) fn last_kept(&self, step: u64, before: Option<Self>) -> u64 {
        match before == Some(*self) && !self.is_due(step) {
            true => step.saturating_sub(1),
            false => step,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: LogGrid = LogGrid {
        every: 10,
        probe_every: 4,
        total: 25,
    };

    #[test]
    fn rows_lie_on_one_grid() {
        let due: Vec<u64> = (1..=25).filter(|s| GRID.is_due(*s)).collect();
        assert_eq!(due, [1, 4, 8, 10, 12, 16, 20, 24, 25]);
    }

    #[test]
    fn only_a_row_beside_the_unchanged_grid_goes() {
        let finer = LogGrid { every: 3, ..GRID };
        let longer = LogGrid { total: 50, ..GRID };
        for step in 0..=25 {
            let same = GRID.last_kept(step, Some(GRID));
            let is_leftover = step > 0 && !GRID.is_due(step);
            assert_eq!(same, step - u64::from(is_leftover), "{step}");
            for before in [finer, longer] {
                assert_eq!(GRID.last_kept(step, Some(before)), step);
            }
        }
        assert_eq!(GRID.last_kept(0, None), 0);
    }
}
