//! How many steps a run has, and what learning rate and EMA coefficient each of them has.
//!
//! Everything is a function of the optimizer step and of the number of batches in an epoch (RECIPE
//! 4): accumulation crosses the ends of epochs, and stopping early changes nothing.

use anyhow::Result;
use console::usage;
use model::optim::schedule::{Epochs, LrConfig, TauShape, lr, scaled_lr, tau_accumulated};

use crate::config::RunConfig;

/// Steps and schedules of one run.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Batches in an epoch (the tail that fills no batch is dropped).
    batches_per_epoch: u64,
    accumulate: u64,
    lr: LrConfig,
    tau: f64,
    tau_shape: TauShape,
}

impl Schedule {
    /// The schedule of `config` over an epoch of `batches_per_epoch` batches.
    pub fn new(config: &RunConfig, batches_per_epoch: u64) -> Result<Self> {
        Self::among(1, config, batches_per_epoch)
    }

    /// The same for `ranks` ranks: an epoch is then of batches of all of them together.
    pub(crate) fn among(ranks: u64, config: &RunConfig, batches_per_epoch: u64) -> Result<Self> {
        let pairs_per_step = config.pairs_per_step(ranks);
        let s = &config.schedule;
        let accumulate = config.data.accumulate;
        let steps =
            |epochs: f64| (epochs * batches_per_epoch as f64 / accumulate as f64).floor() as u64;
        let (total_steps, warmup_steps) = match s.total_steps {
            0 => (steps(s.epochs), steps(s.warmup_epochs)),
            total => (total, s.warmup_steps),
        };
        if total_steps == 0 {
            return Err(usage(format!(
                "schedule.epochs = {} is less than one optimizer step of {} pairs; set schedule.total_steps",
                s.epochs, pairs_per_step
            )));
        }
        Ok(Schedule {
            batches_per_epoch,
            accumulate,
            lr: LrConfig {
                shape: s.lr_shape,
                peak: scaled_lr(config.optim.base_lr, pairs_per_step),
                warmup_steps,
                total_steps,
                epochs: Epochs {
                    batches: batches_per_epoch,
                    accumulate,
                    total: match s.total_steps {
                        0 => s.epochs,
                        total => (total * accumulate) as f64 / batches_per_epoch as f64,
                    },
                },
                drops: s.lr_drops,
            },
            tau: s.tau,
            tau_shape: s.tau_shape,
        })
    }

    /// Optimizer steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        self.lr.total_steps
    }

    /// Optimizer steps of warm-up.
    pub fn warmup_steps(&self) -> u64 {
        self.lr.warmup_steps
    }

    /// Learning rate of a step, counted from 0.
    pub fn lr(&self, step: u64) -> f64 {
        lr(step, &self.lr)
    }

    /// EMA coefficient of a step, counted from 0.
    pub fn tau(&self, step: u64) -> f64 {
        match self.tau_shape {
            TauShape::Cosine => {
                tau_accumulated(step, self.lr.total_steps, self.accumulate, self.tau)
            }
            TauShape::Constant => self.tau,
        }
    }

    /// Epochs consumed after `steps` optimizer steps.
    pub fn epoch(&self, steps: u64) -> f64 {
        (steps * self.accumulate) as f64 / self.batches_per_epoch as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::optim::schedule::{LrShape, half_cosine};

    #[test]
    fn the_papers_run_on_waymo_has_its_published_size() {
        // 790 thousand images in batches of 1024, 325 epochs: RECIPE 4.
        let schedule = Schedule::new(&RunConfig::default(), 790_000 / 1024).unwrap();
        assert_eq!(
            (schedule.total_steps(), schedule.warmup_steps()),
            (771 * 325, 7710)
        );
        assert_eq!(schedule.lr(7710), 4.0, "base 1.0 per 256 pairs");
        assert_eq!(schedule.tau(0), 0.996);
    }

    #[test]
    fn accumulation_crosses_the_ends_of_epochs() {
        let mut config = RunConfig::default();
        config.data.accumulate = 4;
        config.schedule.epochs = 6.0;
        config.schedule.warmup_epochs = 0.0;
        let schedule = Schedule::new(&config, 3).unwrap();
        assert_eq!(schedule.total_steps(), 4, "18 batches are 4 whole steps");
        assert_eq!(schedule.epoch(3), 4.0);
        assert_eq!(schedule.lr(0), 16.0, "4096 pairs a step");
    }

    #[test]
    fn openselfsups_stairs_follow_the_loader_to_the_last_step() {
        let mut config = RunConfig::default();
        config.schedule.lr_shape = LrShape::OpenSelfSup;
        config.schedule.warmup_epochs = 0.0;
        config.data.accumulate = 4;
        let schedule = Schedule::new(&config, 771).unwrap();
        let of_epoch = |epoch: f64| schedule.lr(0) * half_cosine(epoch / 325.0);
        // Batches 771 x 200 - 1 and 771 x 200 are the last of step 38,549, and one of the next.
        assert_eq!(schedule.lr(38_549), of_epoch(199.0));
        assert_eq!(schedule.lr(38_550), of_epoch(200.0));
        assert_eq!(schedule.total_steps(), 62_643);
        assert_eq!(schedule.lr(62_642), of_epoch(324.0));
    }

    #[test]
    fn ranks_share_the_schedule_of_one_process() {
        let whole = Schedule::new(&RunConfig::default(), 771).unwrap();
        for ranks in [2, 4, 8] {
            let mut config = RunConfig::default();
            config.data.batch /= ranks;
            let shared = Schedule::among(ranks, &config, 771).unwrap();
            assert_eq!(shared.total_steps(), whole.total_steps());
            for step in [0, 100, 7710, 200_000] {
                assert_eq!(shared.lr(step), whole.lr(step));
                assert_eq!(shared.tau(step), whole.tau(step));
            }
        }
    }

    #[test]
    fn a_run_without_a_step_is_refused() {
        let mut config = RunConfig::default();
        config.schedule.epochs = 0.1;
        config.schedule.warmup_epochs = 0.0;
        assert!(
            Schedule::new(&config, 5)
                .unwrap_err()
                .to_string()
                .contains("schedule.epochs")
        );
    }
}
