//! One optimizer step, the same whether a run takes it or a measurement.
//!
//! A step is [`begin`](Stepper::begin), for each of its batches [`upload`](Stepper::upload) and
//! [`pass`](Stepper::pass), then [`end`](Stepper::end). Nothing of it waits for the device; what
//! comes between (loading, logs, clocks) is the caller's.

use anyhow::Result;
use model::device::Precision;
use model::optim::Optimizer;
use tch::{Device, Kind};

use super::gate::Gate;
use super::host_batch::HostBatch;
use super::profile::{Phase, Profile};
use super::upload::Uploader;
use crate::config::RunConfig;
use crate::method::{self, Losses, Method, Views};

/// Everything that a step works with, and on.
pub struct Stepper {
    /// The networks and the loss.
    pub method: Method,
    /// The update rule and its state.
    pub optim: Optimizer,
    /// Lets no bad step through.
    pub gate: Gate,
    device: Device,
    uploader: Uploader,
    precision: Precision,
    /// Batches in a step.
    accumulate: f64,
}

impl Stepper {
    /// The networks of `config`, at their initial weights, on `device`, with parameters of `kind`
    /// (`Float`, or `Double` for tests).
    ///
    /// # Errors
    /// A configuration that cannot work, naming the key; a device that fails.
    pub fn new(config: &RunConfig, device: Device, kind: Kind) -> Result<Self> {
        let method = method::build(&config.method, &config.model, device, kind, config.seed)?;
        let optim = config.optim.build(method.params());
        let precision = config.optim.precision;
        Ok(Stepper {
            gate: Gate::new(&method, &optim, device),
            uploader: Uploader::new(device, precision, config.data.depth as usize)?,
            accumulate: config.data.accumulate as f64,
            method,
            optim,
            device,
            precision,
        })
    }

    /// Begins step `step` (1-based).
    pub fn begin(&mut self, step: u64) {
        self.gate.begin(step);
    }

    /// A batch's views on the device, normalised.
    pub fn upload(&mut self, batch: Box<dyn HostBatch>, profile: &mut Profile) -> Result<Views> {
        profile.time(Phase::Upload, || self.uploader.upload(batch))
    }

    /// Forward and backward of one of the step's batches, a direction at a time: its share of the
    /// gradients.
    pub fn pass(&mut self, views: &Views, profile: &mut Profile) -> Losses {
        let mut pass = self.method.pass(views);
        while let Some(share) = profile.time(Phase::Forward, || {
            let _autocast = (self.precision == Precision::Bf16)
                .then(|| native::autocast(self.device, Kind::BFloat16));
            pass.direction()
        }) {
            profile.time(Phase::Backward, || (share / self.accumulate).backward());
        }
        let losses = pass.losses();
        self.gate.add_losses(&losses);
        losses
    }

    /// Ends the step: behind the gate, the optimizer with learning rate `lr` and the target's move
    /// by `tau`.
    pub fn end(&mut self, (lr, tau): (f64, f64), profile: &mut Profile) {
        let Stepper {
            method,
            optim,
            gate,
            ..
        } = self;
        profile.time(Phase::Update, || {
            gate.end(|| {
                optim.step(lr);
                method.update_target(tau);
            });
        });
        method.params().drop_grads();
    }
}
