//! Projectors and predictors: linear, batch norm, ReLU, linear; and MoCo's projectors, which have no batch norm.
//!
//! [`Head`] has one shape in two forms: on pooled vectors (`Mlp`), and as 1×1 filters on maps (`Conv`), with the same number of
//! parameters (paper, section 3.2; RECIPE 3.2). Names are those of `nn.Sequential(Linear | Conv2d, BatchNorm, ReLU, …)`:
//! `0`, `1`, `3`. A head of vectors works on maps too, cell by cell with the same weights.

use tch::Tensor;

use super::HeadInit;
use super::init::Init;
use super::norm::BatchNorm;
use super::params::{Role, Scope};

/// What a head works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadForm {
    /// Vectors `[n, c]`.
    Mlp,
    /// Maps `[n, c, h, w]`, cell by cell; batch norm over all cells of the batch.
    Conv,
}

/// What a head is for; decides how its weights start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadPart {
    /// g: from the backbone.
    Projector,
    /// q: on top of a projection, online only.
    Predictor,
}

/// Widths of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadDims {
    /// Channels in.
    pub input: i64,
    /// Hidden channels.
    pub hidden: i64,
    /// Channels out.
    pub output: i64,
}

/// Linear, batch norm, ReLU, linear.
#[derive(Debug)]
pub struct Head {
    first: Affine,
    norm: BatchNorm,
    second: Affine,
}

#[derive(Debug)]
struct Affine {
    weight: Tensor,
    bias: Tensor,
}

impl Affine {
    fn new(mut scope: Scope<'_>, form: HeadForm, input: i64, output: i64, init: (Init, Init)) -> Self {
        let shape = match form {
            HeadForm::Mlp => vec![output, input],
            HeadForm::Conv => vec![output, input, 1, 1],
        };
        Affine {
            weight: scope.parameter("weight", &shape, init.0, Role::Weight),
            bias: scope.parameter("bias", &[output], init.1, Role::Bias),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let filters = |weight: &Tensor| x.conv2d(weight, Some(&self.bias), [1, 1], [0, 0], [1, 1], 1);
        match (x.dim(), self.weight.dim()) {
            (4, 4) => filters(&self.weight),
            (4, _) => filters(&self.weight.unsqueeze(-1).unsqueeze(-1)),
            _ => x.linear(&self.weight, Some(&self.bias)),
        }
    }
}

impl Head {
    /// Builds a head in `scope`.
    pub fn new(mut scope: Scope<'_>, form: HeadForm, part: HeadPart, dims: HeadDims, init: HeadInit) -> Self {
        let first = initial(part, init, dims.input);
        let second = initial(part, init, dims.hidden);
        Head {
            first: Affine::new(scope.sub(0), form, dims.input, dims.hidden, first),
            norm: BatchNorm::new(scope.sub(1), dims.hidden, 1.0),
            second: Affine::new(scope.sub(3), form, dims.hidden, dims.output, second),
        }
    }

    /// `[n, input]` to `[n, output]`, or `[n, input, h, w]` to `[n, output, h, w]`.
    pub fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        let hidden = self.norm.forward(&self.first.forward(x), train).relu_();
        self.second.forward(&hidden)
    }
}

/// MoCo's projector on vectors: one linear layer (v1), or linear, ReLU, linear (v2); no batch norm. Names are those of
/// `nn.Sequential`: `0`, `2`.
#[derive(Debug)]
pub struct PlainHead {
    layers: Vec<Affine>,
}

impl PlainHead {
    /// Builds a head in `scope` whose layers have these widths, input first: two for one layer, three for two.
    pub fn new(mut scope: Scope<'_>, widths: &[i64], init: HeadInit) -> Self {
        let pairs = widths.windows(2).enumerate();
        let layers = pairs.map(|(ix, width)| {
            let start = initial(HeadPart::Projector, init, width[0]);
            Affine::new(scope.sub(2 * ix), HeadForm::Mlp, width[0], width[1], start)
        });
        PlainHead { layers: layers.collect() }
    }

    /// `[n, first width]` to `[n, last width]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let (last, inner) = self.layers.split_last().expect("a head has a layer");
        last.forward(&inner.iter().fold(x.shallow_clone(), |x, layer| layer.forward(&x).relu_()))
    }
}

/// Weight and bias of a linear layer with this fan-in.
fn initial(part: HeadPart, init: HeadInit, fan_in: i64) -> (Init, Init) {
    match (init, part) {
        (HeadInit::OpenSelfSup, HeadPart::Projector) => (Init::kaiming_normal(fan_in), Init::Constant(0.0)),
        (HeadInit::OpenSelfSup, HeadPart::Predictor) => (Init::Normal(0.01), Init::Constant(0.0)),
        (HeadInit::Pytorch, _) => (Init::pytorch_default(fan_in), Init::pytorch_default(fan_in)),
    }
}
