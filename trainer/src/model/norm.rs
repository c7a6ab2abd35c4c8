//! Batch normalisation, on vectors `[n, c]` and maps `[n, c, h, w]` alike.
//!
//! Training normalises by the batch's own mean and biased variance and moves the running ones (with the unbiased
//! variance, as PyTorch does); evaluation uses the running ones. Every forward pass is one batch: views pass separately.
//! Or it is several: [`BatchNorm::split`] normalises parts of it on their own, as that many devices without SyncBN would.

use tch::{Kind, Tensor, no_grad};

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
    /// Parts of a batch, each normalised by its own statistics.
    parts: i64,
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
            parts: 1,
        }
    }

    /// From now on, training normalises `parts` equal parts of a batch by their own statistics.
    pub fn split(&mut self, parts: i64) {
        self.parts = parts;
    }

    /// `x` normalised per channel (axis 1), same shape. With `train`, the running statistics move.
    pub fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        if train {
            no_grad(|| {
                let _ = self.num_batches_tracked.shallow_clone().g_add_scalar_(1);
            });
        }
        match train && self.parts > 1 {
            true => self.forward_parts(x),
            false => self.normalise(x, [&self.running_mean, &self.running_var], train),
        }
    }

    /// Training on parts of the batch. The running statistics become the mean of what each part alone makes of them
    /// (`SplitBatchNorm` of MoCo's notebook: <https://github.com/facebookresearch/moco/tree/colab-notebook>).
    fn forward_parts(&self, x: &Tensor) -> Tensor {
        let running = [&self.running_mean, &self.running_var];
        let inputs = x.chunk(self.parts, 0);
        let moved = inputs.iter().map(|_| running.map(Tensor::copy)).collect::<Vec<_>>();
        let outputs = inputs.iter().zip(&moved).map(|(part, [mean, var])| self.normalise(part, [mean, var], true));
        let out = Tensor::cat(&outputs.collect::<Vec<_>>(), 0);
        for (ix, running) in running.into_iter().enumerate() {
            let moved: Vec<&Tensor> = moved.iter().map(|statistics| &statistics[ix]).collect();
            running.shallow_clone().copy_(&Tensor::stack(&moved, 0).mean_dim([0].as_slice(), false, None::<Kind>));
        }
        out
    }

    fn normalise(&self, x: &Tensor, [mean, var]: [&Tensor; 2], train: bool) -> Tensor {
        let (weight, bias) = (Some(&self.weight), Some(&self.bias));
        x.batch_norm(weight, bias, Some(mean), Some(var), train, MOMENTUM, EPS, true)
    }
}
