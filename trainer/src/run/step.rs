//! One optimizer step, the same whether a run takes it or a measurement.
//!
//! A step is [`begin`](Stepper::begin), for each of its batches [`upload`](Stepper::upload) and
//! [`pass`](Stepper::pass), then [`end`](Stepper::end). Nothing of it waits for the device; what
//! comes between (loading, logs, clocks) is the caller's.

use anyhow::Result;
use model::device::Precision;
use model::optim::Optimizer;
use native::{Gradients, Ranks};
use tch::{Device, Kind, Tensor};

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
    /// Of all ranks.
    gradients: Gradients,
    /// Batches in a step.
    accumulate: u64,
    /// Those of the present step that have passed.
    passed: u64,
}

impl Stepper {
    /// The networks of `config`, at their initial weights, on `device`, with parameters of `kind`
    /// (`Float`, or `Double` for tests).
    ///
    /// # Errors
    /// A configuration that cannot work, naming the key; a device that fails.
    pub fn new(config: &RunConfig, device: Device, kind: Kind) -> Result<Self> {
        Self::among(&Ranks::alone(), config, device, kind)
    }

    /// The same for one of several ranks, which make each step together.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn among(ranks: &Ranks, config: &RunConfig, device: Device, kind: Kind) -> Result<Self> {
        let RunConfig { method, model, .. } = config;
        let method = method::build_among(ranks, method, model, device, kind, config.seed)?;
        let optim = config.optim.build(method.params());
        let precision = config.optim.precision;
        let gate = Gate::among(ranks, &method, &optim, device);
        let others: Vec<Tensor> = gate
            .shared()
            .into_iter()
            .chain(method.statistics_apart())
            .map(Tensor::shallow_clone)
            .collect();
        let params = method.params().trainable_tensors();
        Ok(Stepper {
            gradients: Gradients::new(ranks, &params, &others, config.run.bucket_bytes()),
            gate,
            uploader: Uploader::new(device, precision, config.data.depth as usize)?,
            accumulate: config.data.accumulate,
            passed: 0,
            method,
            optim,
            device,
            precision,
        })
    }

    /// Begins step `step` (1-based).
    pub fn begin(&mut self, step: u64) {
        self.gate.begin(step);
        self.passed = 0;
    }

    /// A batch's views on the device, normalised.
    pub fn upload(&mut self, batch: Box<dyn HostBatch>, profile: &mut Profile) -> Result<Views> {
        profile.time(Phase::Upload, || self.uploader.upload(batch))
    }

    /// Forward and backward of one of the step's batches, a direction at a time: its share of the
    /// gradients.
    pub fn pass(&mut self, views: &Views, profile: &mut Profile) -> Losses {
        self.passed += 1;
        let mut pass = self.method.pass(views);
        while let Some(share) = profile.time(Phase::Forward, || {
            let _autocast = (self.precision == Precision::Bf16)
                .then(|| native::autocast(self.device, Kind::BFloat16));
            pass.direction()
        }) {
            if self.passed == self.accumulate && pass.was_last() {
                self.gradients.arm();
            }
            let share = share / self.accumulate as f64;
            profile.time(Phase::Backward, || share.backward());
        }
        let losses = pass.losses();
        self.gate.add_losses(&losses);
        losses
    }

    /// Ends the step: the mean of all ranks' gradients; behind the gate, the optimizer with learning
    /// rate `lr` and the target's move by `tau`.
    pub fn end(&mut self, (lr, tau): (f64, f64), profile: &mut Profile) {
        let Stepper {
            method,
            optim,
            gate,
            gradients,
            ..
        } = self;
        if gate.shared().is_some() {
            profile.time(Phase::Ranks, || {
                gate.share();
                gradients.finish();
            });
        }
        profile.time(Phase::Update, || {
            gate.end(|| {
                optim.step(lr);
                method.update_target(tau);
            });
        });
        method.params().drop_grads();
    }
}
