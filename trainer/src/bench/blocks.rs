//! Steps in blocks, each between two synchronisations with the device.

use std::path::Path;

use anyhow::{Result, bail};
use model::optim::schedule::scaled_lr;
use tch::{Cuda, Device, Kind, Tensor};

use super::source::Source;
use crate::config::RunConfig;
use crate::report::{Meter, Pace};
use crate::run::{Profile, Stepper};

/// A step that can be taken as often as one likes.
pub(super) struct Bench {
    pub(super) device: Device,
    pub(super) source: Source,
    pub(super) stepper: Stepper,
    /// Nothing is timed inside the steps: that would wait for the device.
    profile: Profile,
    step: u64,
    accumulate: u64,
    pub(super) pairs_per_step: u64,
    /// Learning rate and EMA coefficient of every step.
    rates: (f64, f64),
    /// Of the last batch; on the device.
    pub(super) loss: Option<Tensor>,
}

impl Bench {
    /// The step of `config`, with pairs of the set `shards` or of memory.
    ///
    /// # Errors
    /// A folder or a device that cannot be had.
    pub(super) fn new(shards: Option<&Path>, config: &RunConfig, device: Device) -> Result<Self> {
        let pairs_per_step = config.pairs_per_step(1);
        Ok(Bench {
            device,
            source: Source::new(shards, config, device)?,
            stepper: Stepper::new(config, device, Kind::Float)?,
            profile: Profile::new(false, device),
            step: 0,
            accumulate: config.data.accumulate,
            pairs_per_step,
            rates: (
                scaled_lr(config.optim.base_lr, pairs_per_step),
                config.schedule.tau,
            ),
            loss: None,
        })
    }

    /// Takes some steps between two synchronisations with the device, and says how fast; `None` for
    /// no steps.
    pub(super) fn steps(&mut self, number: u64) -> Result<Option<Pace>> {
        synchronise(self.device);
        let mut meter = Meter::start(self.device);
        for _ in 0..number {
            self.step(&mut meter)?;
        }
        synchronise(self.device);
        let pace = meter.read();
        match self.stepper.gate.first_bad() {
            Some((step, term)) => {
                bail!("{term} is not finite at step {step}: no step after it is a training step")
            }
            None => Ok(pace),
        }
    }

    fn step(&mut self, meter: &mut Meter) -> Result<()> {
        self.step += 1;
        self.stepper.begin(self.step);
        for _ in 0..self.accumulate {
            let batch = meter.data(|| self.source.next_batch())?;
            let views = self.stepper.upload(batch, &mut self.profile)?;
            let losses = self.stepper.pass(&views, &mut self.profile);
            self.loss = Some(losses.total.detach());
        }
        self.stepper.end(self.rates, &mut self.profile);
        meter.step(self.pairs_per_step);
        Ok(())
    }
}

/// Waits for everything that a GPU has to do.
fn synchronise(device: Device) {
    if let Device::Cuda(ordinal) = device {
        Cuda::synchronize(ordinal as i64);
    }
}
