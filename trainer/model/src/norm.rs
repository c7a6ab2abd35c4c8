//! Batch normalisation, on vectors `[n, c]` and maps `[n, c, h, w]` alike, and the addition and
//! ReLU that follow it: on a GPU they are one operation.
//!
//! Training normalises by the batch's own mean and biased variance and moves the running ones (with
//! the unbiased variance, as PyTorch does); evaluation uses the running ones. Every forward pass is
//! one batch: views pass separately. Among ranks the batch is that of all of them (SyncBN). Or it is
//! several: [`BatchNorm::split`] normalises parts of it on their own, as that many devices without
//! SyncBN would.

use std::array::from_fn;

use native::{After, Lane, NormTensors, Ranks, Team};
use tch::{Kind, Tensor, no_grad};

use crate::init::Init;
use crate::params::{Role, Scope};

/// PyTorch's defaults, which RECIPE 3.1 keeps.
const EPS: f64 = 1e-5;
/// Share of a batch's own statistics in the running ones after it.
pub const MOMENTUM: f64 = 0.1;

/// Scale, shift and running statistics of `c` channels, named as in PyTorch.
#[derive(Debug)]
pub struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    num_batches_tracked: Tensor,
    /// Parts of this rank's batch, each normalised by its own statistics.
    parts: i64,
    /// Who shares statistics.
    team: Option<Team>,
    ranks: Ranks,
}

impl BatchNorm {
    /// γ = `scale`, β = 0, running mean 0, running variance 1. The batch is that of all ranks of the
    /// scope.
    pub fn new(mut scope: Scope<'_>, channels: i64, scale: f64) -> Self {
        let ranks = scope.ranks().clone();
        BatchNorm {
            weight: scope.parameter(
                "weight",
                &[channels],
                Init::Constant(scale),
                Role::NormWeight,
            ),
            bias: scope.parameter("bias", &[channels], Init::Constant(0.0), Role::NormBias),
            running_mean: scope.buffer("running_mean", &[channels], 0.0),
            running_var: scope.buffer("running_var", &[channels], 1.0),
            num_batches_tracked: scope.counter("num_batches_tracked"),
            parts: 1,
            team: ranks.team(ranks.size()),
            ranks,
        }
    }

    /// From now on, training normalises `parts` equal parts of a batch, that of all ranks together, by
    /// their own statistics. `parts` divides every batch; it is a multiple of the number of ranks, or
    /// divides it.
    pub fn split(&mut self, parts: i64) {
        let size = self.ranks.size() as i64;
        self.parts = (parts / size).max(1);
        self.team = self.ranks.team((size / parts).max(1) as usize);
    }

    /// `x` normalised per channel (axis 1), and what follows: same shape. With `train`, the running
    /// statistics move.
    pub fn forward(&self, x: &Tensor, after: After<'_>, train: bool) -> Tensor {
        let [y] = BatchNorm::forward_all([self], [x], [after], train);
        y
    }

    /// As [`forward`](Self::forward), of a layer that several networks have, each on a batch of its
    /// own. Among ranks all of them share one call.
    pub fn forward_all<const N: usize>(
        norms: [&Self; N],
        xs: [&Tensor; N],
        afters: [After<'_>; N],
        train: bool,
    ) -> [Tensor; N] {
        if !train {
            return from_fn(|ix| norms[ix].normalise(xs[ix], afters[ix]));
        }
        no_grad(|| {
            for norm in norms {
                let _ = norm.num_batches_tracked.shallow_clone().g_add_scalar_(1);
            }
        });
        if norms.iter().any(|norm| norm.parts > 1) {
            return from_fn(|ix| norms[ix].train_parts(xs[ix], afters[ix]));
        }
        let lanes = from_fn(|ix| {
            let norm = norms[ix];
            norm.lane(xs[ix], afters[ix], [&norm.running_mean, &norm.running_var])
        });
        native::batch_norms(lanes, MOMENTUM, EPS)
    }

    /// Training on parts of the batch. The running statistics become the mean of what each part
    /// alone makes of them (`SplitBatchNorm` of MoCo's notebook:
    /// <https://github.com/facebookresearch/moco/tree/colab-notebook>).
    fn train_parts(&self, x: &Tensor, after: After<'_>) -> Tensor {
        let running = [&self.running_mean, &self.running_var];
        let inputs = x.chunk(self.parts, 0);
        let residuals = match after {
            After::AddRelu(residual) => residual.chunk(self.parts, 0),
            After::Nothing | After::Relu => Vec::new(),
        };
        let moved = inputs
            .iter()
            .map(|_| running.map(Tensor::copy))
            .collect::<Vec<_>>();
        let outputs = inputs
            .iter()
            .zip(&moved)
            .enumerate()
            .map(|(ix, (part, [mean, var]))| {
                let after = residuals.get(ix).map_or(after, After::AddRelu);
                native::batch_norm(self.lane(part, after, [mean, var]), MOMENTUM, EPS)
            });
        let out = Tensor::cat(&outputs.collect::<Vec<_>>(), 0);
        for (ix, running) in running.into_iter().enumerate() {
            let moved: Vec<&Tensor> = moved.iter().map(|statistics| &statistics[ix]).collect();
            running
                .shallow_clone()
                .copy_(&Tensor::stack(&moved, 0).mean_dim([0].as_slice(), false, None::<Kind>));
        }
        out
    }

    /// What training on `x` takes.
    fn lane<'a>(
        &'a self,
        x: &'a Tensor,
        after: After<'a>,
        [running_mean, running_var]: [&'a Tensor; 2],
    ) -> Lane<'a> {
        let norm = NormTensors {
            weight: &self.weight,
            bias: &self.bias,
            running_mean,
            running_var,
            team: self.team.as_ref(),
        };
        Lane { x, norm, after }
    }

    /// By the running statistics.
    fn normalise(&self, x: &Tensor, after: After<'_>) -> Tensor {
        let (weight, bias) = (Some(&self.weight), Some(&self.bias));
        let (mean, var) = (Some(&self.running_mean), Some(&self.running_var));
        let mut y = x.batch_norm(weight, bias, mean, var, false, MOMENTUM, EPS, true);
        match after {
            After::Nothing => y,
            After::Relu => y.relu_(),
            After::AddRelu(residual) => {
                y += residual;
                y.relu_()
            }
        }
    }
}
