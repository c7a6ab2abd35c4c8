//! The loss of a step over the crops of all ranks, and its gradients.
//!
//! It is the mean over the labelled pixels of the whole batch. A rank has some of its crops, and
//! they may have more labelled pixels than another's: each divides its own sum by the number of all
//! over the number of ranks, and the gradients of the whole are the means of theirs.

use native::{Gradients, Ranks};
use tch::{Device, Kind, Reduction, Tensor};

use crate::segmentation::IGNORED;

/// What a step adds to the loss that is shown.
pub(super) struct StepLoss {
    /// Cross-entropies of the labelled pixels of this rank's crops: their sum, double, on the device.
    sum: Tensor,
    /// Labelled pixels of all crops.
    labelled: i64,
}

impl StepLoss {
    /// That of a batch without a labelled pixel.
    pub(super) fn none(device: Device) -> Self {
        Self {
            sum: Tensor::zeros([], (Kind::Double, device)),
            labelled: 0,
        }
    }

    /// That of logits `[n, 19, h, w]` against labels `[n, h, w]` (bytes) of this rank's crops, where all
    /// crops have `labelled` pixels with a class.
    pub(super) fn of(logits: &Tensor, labels: &Tensor, labelled: i64) -> Self {
        Self {
            sum: cross_entropies(logits, labels),
            labelled,
        }
    }

    /// Leaves the gradients of the mean over all crops where `gradients` averages them, on every rank.
    pub(super) fn backward(&self, gradients: &mut Gradients, ranks: &Ranks) {
        let of_a_rank = self.labelled as f64 / ranks.size() as f64;
        (&self.sum / of_a_rank).backward();
        gradients.finish();
    }

    /// Without what leads to its gradients.
    pub(super) fn detach(self) -> Self {
        Self {
            sum: self.sum.detach(),
            ..self
        }
    }

    /// Mean over the steps that have labelled pixels, of the crops of all ranks. Waits for the device.
    pub(super) fn mean(steps: &[Self], ranks: &Ranks) -> f64 {
        let sums: Vec<&Tensor> = steps.iter().map(|step| &step.sum).collect();
        let sums = Tensor::stack(&sums, 0); // [steps]
        ranks.sum_(&sums);
        let sums = Vec::<f64>::try_from(sums.to_device(Device::Cpu)).expect("a row of doubles");
        let of_steps: Vec<f64> = (steps.iter().zip(sums))
            .filter(|(step, _)| step.labelled > 0)
            .map(|(step, sum)| sum / step.labelled as f64)
            .collect();
        of_steps.iter().sum::<f64>() / of_steps.len().max(1) as f64
    }
}

/// Sum of the cross-entropies of the labelled pixels: double. Where there is none it is 0, and so are
/// its gradients.
fn cross_entropies(logits: &Tensor, labels: &Tensor) -> Tensor {
    let sum = logits.cross_entropy_loss(
        &labels.to_kind(Kind::Int64),
        None::<Tensor>,
        Reduction::Sum,
        i64::from(IGNORED),
        0.0,
    );
    sum.to_kind(Kind::Double)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Init;

    #[test]
    fn pixels_without_a_class_contribute_nothing() {
        let logits = Init::Normal(1.0)
            .draw(1, "x", &[2, 19, 3, 4])
            .set_requires_grad(true);
        let labels = Tensor::full([2, 3, 4], 255, (Kind::Uint8, Device::Cpu));
        let none = cross_entropies(&logits, &labels);
        none.backward();
        assert_eq!(none.double_value(&[]), 0.0);
        assert_eq!(logits.grad().abs().max().double_value(&[]), 0.0);

        // Labelled pixels alone count, as libtorch's mean has it.
        let _ = labels.get(1).get(2).get(0).fill_(7);
        let _ = labels.get(0).get(0).get(3).fill_(2);
        let _ = labels.get(0).get(1).get(1).fill_(18);
        let expected = logits.cross_entropy_loss(
            &labels.to_kind(Kind::Int64),
            None::<Tensor>,
            Reduction::Mean,
            255,
            0.0,
        );
        let steps = [
            StepLoss::of(&logits, &labels, 3).detach(),
            StepLoss::none(Device::Cpu),
        ];
        let found = StepLoss::mean(&steps, &Ranks::alone());
        assert!((found - expected.double_value(&[])).abs() < 1e-12);
        assert_eq!(StepLoss::mean(&steps[1..], &Ranks::alone()), 0.0);
    }
}
