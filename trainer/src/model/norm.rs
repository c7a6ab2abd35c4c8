//! Batch normalisation, on vectors `[n, c]` and maps `[n, c, h, w]` alike.
//!
//! Training normalises by the batch's own mean and biased variance and moves the running ones (with the unbiased
//! variance, as PyTorch does); evaluation uses the running ones. Every forward pass is one batch: views pass separately.

use tch::{Tensor, no_grad};

use super::init::Init;
use super::params::{Role, Scope};

/// PyTorch's defaults, which RECIPE 3.1 keeps.
const EPS: f64 = 1e-5;
pub(crate) const MOMENTUM: f64 = 0.1;

/// Scale, shift and running statistics of `c` channels, named as in PyTorch.
#[derive(Debug)]
pub struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    num_batches_tracked: Tensor,
}

impl BatchNorm {
    /// γ = `scale`, β = 0, running mean 0, running variance 1.
    pub fn new(mut scope: Scope<'_>, channels: i64, scale: f64) -> Self {
        BatchNorm {
            weight: scope.parameter("weight", &[channels], Init::Constant(scale), Role::NormWeight),
            bias: scope.parameter("bias", &[channels], Init::Constant(0.0), Role::NormBias),
            running_mean: scope.buffer("running_mean", &[channels], 0.0),
            running_var: scope.buffer("running_var", &[channels], 1.0),
            num_batches_tracked: scope.counter("num_batches_tracked"),
        }
    }

    /// `x` normalised per channel (axis 1), same shape. With `train`, the running statistics move.
    pub fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        if train {
            no_grad(|| {
                let _ = self.num_batches_tracked.shallow_clone().g_add_scalar_(1);
            });
        }
        x.batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            Some(&self.running_mean),
            Some(&self.running_var),
            train,
            MOMENTUM,
            EPS,
            true,
        )
    }
}
