//! What the batches of one optimizer step add up to.

use native::Ranks;
use sampler::Batch;
use tch::{Kind, Tensor};

use super::schedule::Schedule;
use crate::method::Losses;
use crate::report::{BetweenRanks, Diagnostics, Pace, Row, Sample};

/// Of the batches of this rank; losses stay on the device until a row is due.
#[derive(Default)]
pub(super) struct Sums {
    /// `[total, 1D, z_std]`, and `[.., 2D, z2d_std]` for methods with a 2D branch; summed over the
    /// batches.
    losses: Option<Tensor>,
    /// Of the last batch.
    sample: Option<Sample>,
    batches: u32,
    iou: f64,
    pairs: u64,
}

impl Sums {
    pub(super) fn add_pairs(&mut self, batch: &Batch) {
        self.pairs += batch.len() as u64;
        self.iou += batch.pairs().iter().map(|p| f64::from(p.iou)).sum::<f64>();
    }

    pub(super) fn add_losses(&mut self, losses: Losses) {
        let Losses {
            total,
            loss_1d,
            loss_2d,
            z_std,
            z2d_std,
            z,
            clusters,
        } = losses;
        let scalars = [Some(total), Some(loss_1d), Some(z_std), loss_2d, z2d_std]
            .into_iter()
            .flatten();
        let scalars: Vec<Tensor> = scalars.map(|t| t.detach().to_kind(Kind::Float)).collect();
        let now = Tensor::stack(&scalars, 0);
        self.losses = Some(match self.losses.take() {
            None => now,
            Some(before) => before + now,
        });
        self.sample = Some(Sample { z, clusters });
        self.batches += 1;
    }

    pub(super) fn sample(&self) -> &Sample {
        self.sample.as_ref().expect("a step has at least one batch")
    }

    /// Means over the batches of all ranks. Waits for the device.
    pub(super) fn row(
        &self,
        ranks: &Ranks,
        step: u64,
        schedule: &Schedule,
        (lr, tau): (f64, f64),
        pace: Pace,
    ) -> Row {
        let losses = self.losses.as_ref().expect("a step has at least one batch");
        let sums = Vec::<f32>::try_from(ranks.mean(losses)).expect("a vector of floats");
        let iou = ranks.mean(&Tensor::from(self.iou / self.pairs as f64));
        let means: Vec<f64> = sums
            .iter()
            .map(|sum| f64::from(*sum) / f64::from(self.batches))
            .collect();
        Row {
            step,
            epoch: schedule.epoch(step),
            loss: means[0],
            loss_1d: means[1],
            loss_2d: means.get(3).copied(),
            z_std: means[2],
            z2d_std: means.get(4).copied(),
            lr,
            tau,
            iou: iou.double_value(&[]),
            probe_miou: None,
            fused_kernels: None,
            diagnostics: Diagnostics::default(),
            pairs_per_s: pace.pairs_per_s,
            step_s: pace.step_s,
            data_wait_s: pace.data_wait_s,
            loader_cpu: pace.loader_cpu,
            between_ranks: BetweenRanks::default(),
        }
    }
}
