//! Projectors and predictors: linear, batch norm, ReLU, linear; and MoCo's projectors, which have
//! no batch norm.
//!
//! [`Head`] has one shape in two forms: on pooled vectors (`Mlp`), and as 1×1 filters on maps
//! (`Conv`), with the same number of parameters (paper, section 3.2; RECIPE 3.2). Names are those
//! of `nn.Sequential(Linear | Conv2d, BatchNorm, ReLU, …)`: `0`, `1`, `3`. A head of vectors works
//! on maps too, cell by cell with the same weights.

use std::array::from_fn;

use native::After;
use tch::Tensor;

use crate::config::HeadInit;
use crate::init::Init;
use crate::norm::BatchNorm;
use crate::params::{Role, Scope, channels_last};

/// Channels of 16 bits come in multiples of this to tensor cores
/// (<https://docs.nvidia.com/deeplearning/performance/dl-performance-convolutional/index.html>).
const TENSOR_CORE_CHANNELS: i64 = 8;

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
    fn new(
        mut scope: Scope<'_>,
        form: HeadForm,
        input: i64,
        output: i64,
        init: (Init, Init),
    ) -> Self {
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
        match (x.dim(), self.weight.dim()) {
            (4, 4) => self.filter(x, &self.weight),
            (4, _) => self.filter(x, &self.weight.unsqueeze(-1).unsqueeze(-1)),
            _ => x.linear(&self.weight, Some(&self.bias)),
        }
    }

    /// 1×1 filters, channels innermost in memory: these weights lie the same in every layout, so
    /// libtorch would go by the map, and the norm behind them is far slower in the other one.
    ///
    /// In 16 bits, channels are filled up with zeros to a multiple of 8, without which a GPU's
    /// tensor cores are of no use: the predictor of the 2D branch has 258, two of them offsets.
    fn filter(&self, x: &Tensor, weight: &Tensor) -> Tensor {
        let x = &channels_last(x);
        let missing = missing_channels(x.size()[1]);
        let apply = |x: &Tensor, weight: &Tensor| {
            x.conv2d(weight, Some(&self.bias), [1, 1], [0, 0], [1, 1], 1)
        };
        if missing == 0 || native::autocast_dtype(x.device()).is_none() {
            return apply(x, weight);
        }
        let fill = |t: &Tensor| t.constant_pad_nd([0, 0, 0, 0, 0, missing]);
        apply(&fill(x), &fill(weight))
    }
}

/// How many channels fill these up for tensor cores.
fn missing_channels(channels: i64) -> i64 {
    (-channels).rem_euclid(TENSOR_CORE_CHANNELS)
}

impl Head {
    /// Builds a head in `scope`.
    pub fn new(
        mut scope: Scope<'_>,
        form: HeadForm,
        part: HeadPart,
        dims: HeadDims,
        init: HeadInit,
    ) -> Self {
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
        let [y] = Head::forward_all([self], [x], train);
        y
    }

    /// As [`forward`](Self::forward), of several networks; see [`BatchNorm::forward_all`].
    pub fn forward_all<const N: usize>(
        heads: [&Self; N],
        xs: [&Tensor; N],
        train: bool,
    ) -> [Tensor; N] {
        let first: [Tensor; N] = from_fn(|ix| heads[ix].first.forward(xs[ix]));
        let norms = heads.map(|head| &head.norm);
        let hidden = BatchNorm::forward_all(norms, first.each_ref(), [After::Relu; N], train);
        from_fn(|ix| heads[ix].second.forward(&hidden[ix]))
    }
}

/// MoCo's projector on vectors: one linear layer (v1), or linear, ReLU, linear (v2); no batch norm.
/// Names are those of `nn.Sequential`: `0`, `2`.
#[derive(Debug)]
pub struct PlainHead {
    layers: Vec<Affine>,
}

impl PlainHead {
    /// Builds a head in `scope` whose layers have these widths, input first: two for one layer,
    /// three for two.
    pub fn new(mut scope: Scope<'_>, widths: &[i64], init: HeadInit) -> Self {
        let pairs = widths.windows(2).enumerate();
        let layers = pairs.map(|(ix, width)| {
            let start = initial(HeadPart::Projector, init, width[0]);
            Affine::new(scope.sub(2 * ix), HeadForm::Mlp, width[0], width[1], start)
        });
        PlainHead {
            layers: layers.collect(),
        }
    }

    /// `[n, first width]` to `[n, last width]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let (last, inner) = self.layers.split_last().expect("a head has a layer");
        last.forward(
            &inner
                .iter()
                .fold(x.shallow_clone(), |x, layer| layer.forward(&x).relu_()),
        )
    }
}

/// Weight and bias of a linear layer with this fan-in.
fn initial(part: HeadPart, init: HeadInit, fan_in: i64) -> (Init, Init) {
    match (init, part) {
        (HeadInit::OpenSelfSup, HeadPart::Projector) => {
            (Init::kaiming_normal(fan_in), Init::Constant(0.0))
        }
        (HeadInit::OpenSelfSup, HeadPart::Predictor) => (Init::Normal(0.01), Init::Constant(0.0)),
        (HeadInit::Pytorch, _) => (Init::pytorch_default(fan_in), Init::pytorch_default(fan_in)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Registry;
    use tch::{Device, Kind};

    /// Numbers that look random, in double precision.
    fn values(shape: &[i64], salt: f64) -> Tensor {
        let index = Tensor::arange(shape.iter().product::<i64>(), (Kind::Double, Device::Cpu));
        (index * (0.7 + salt)).sin().view(shape)
    }

    /// A registry whose every parameter has such numbers.
    fn filled(make: impl FnOnce(Scope<'_>)) -> Registry {
        let mut registry = Registry::default();
        make(Scope::root(&mut registry, 3, Kind::Double, Device::Cpu));
        let _guard = tch::no_grad_guard();
        for (ix, entry) in registry.trainable().enumerate() {
            let new = values(&entry.tensor.size(), 0.1 * ix as f64);
            entry.tensor.shallow_clone().copy_(&new);
        }
        registry
    }

    #[track_caller]
    fn assert_near(found: &Tensor, expected: &Tensor) {
        assert_eq!(found.size(), expected.size());
        let gap = (found - expected).abs().max().double_value(&[]);
        assert!(gap < 1e-12, "{gap}");
    }

    #[test]
    fn a_head_is_linear_norm_relu_linear_for_vectors_and_for_cells() {
        let dims = HeadDims {
            input: 5,
            hidden: 7,
            output: 3,
        };
        for form in [HeadForm::Mlp, HeadForm::Conv] {
            let mut head = None;
            let registry = filled(|scope| {
                head = Some(Head::new(
                    scope,
                    form,
                    HeadPart::Projector,
                    dims,
                    HeadInit::Pytorch,
                ));
            });
            let head = head.unwrap();
            let get = |name: &str| registry.get(name).unwrap().shallow_clone();
            let matrix = |name: &str| get(name).flatten(1, -1).tr(); // [in, out]
            let map = values(&[2, 5, 3, 4], 0.5);
            let rows = map.permute([0, 2, 3, 1]).reshape([24, 5]);
            let hidden = rows.matmul(&matrix("0.weight")) + get("0.bias");
            let centred = &hidden - hidden.mean_dim([0].as_slice(), true, None::<Kind>);
            let var = centred
                .square()
                .mean_dim([0].as_slice(), true, None::<Kind>);
            let normed = centred / (var + 1e-5).sqrt() * get("1.weight") + get("1.bias");
            let expected = normed.relu().matmul(&matrix("3.weight")) + get("3.bias"); // [24, 3]

            let of_cells = head.forward(&map, true);
            assert_eq!(of_cells.size(), [2, 3, 3, 4]);
            assert_near(&of_cells.permute([0, 2, 3, 1]).reshape([24, 3]), &expected);
            if form == HeadForm::Mlp {
                assert_near(&head.forward(&rows, true), &expected);
            }
        }
    }

    #[test]
    fn a_plain_head_has_a_relu_between_its_layers_and_none_behind() {
        for widths in [vec![5, 3], vec![5, 6, 3]] {
            let mut head = None;
            let registry =
                filled(|scope| head = Some(PlainHead::new(scope, &widths, HeadInit::Pytorch)));
            let x = values(&[4, 5], 0.5);
            let layer = |x: &Tensor, ix: usize| {
                let get = |part: &str| registry.get(&format!("{ix}.{part}")).unwrap();
                x.matmul(&get("weight").tr()) + get("bias")
            };
            let expected = match widths.len() {
                2 => layer(&x, 0),
                _ => layer(&layer(&x, 0).relu(), 2),
            };
            assert!(expected.min().double_value(&[]) < 0.0);
            assert_near(&head.unwrap().forward(&x), &expected);
        }
    }

    #[test]
    fn the_predictors_channels_are_filled_up_to_a_multiple_of_eight() {
        let cases = [258, 256, 1, 7, 8, 9].map(missing_channels);
        assert_eq!(cases, [6, 0, 7, 1, 0, 7]);
    }

    #[test]
    fn filters_put_channels_innermost_whatever_comes() {
        let mut registry = Registry::default();
        let scope = Scope::root(&mut registry, 3, Kind::Float, Device::Cpu);
        let init = (Init::kaiming_normal(10), Init::Constant(0.5));
        let affine = Affine::new(scope, HeadForm::Conv, 10, 6, init);
        let x = Tensor::ones([2, 10, 3, 5], (Kind::Float, Device::Cpu));
        assert_eq!(affine.forward(&x).stride(), [90, 1, 30, 6]);
    }

    #[test]
    fn channels_that_fill_up_to_eight_change_nothing() {
        let mut registry = Registry::default();
        let scope = Scope::root(&mut registry, 3, Kind::Float, Device::Cpu);
        let init = (Init::kaiming_normal(10), Init::Constant(0.5));
        let affine = Affine::new(scope, HeadForm::Conv, 10, 6, init);
        let x = (Tensor::arange(2 * 10 * 3 * 3, (Kind::Float, Device::Cpu)) * 0.37)
            .sin()
            .view([2, 10, 3, 3]);
        let pass = |in_bf16: bool| {
            let x = x.copy().set_requires_grad(true);
            affine.weight.shallow_clone().zero_grad();
            let y = {
                let _autocast = in_bf16.then(|| native::autocast(Device::Cpu, Kind::BFloat16));
                affine.forward(&x)
            };
            y.to_kind(Kind::Float).square().sum(Kind::Float).backward();
            [
                y.to_kind(Kind::Float),
                x.grad(),
                affine.weight.grad().copy(),
            ]
        };
        for (padded, plain) in pass(true).iter().zip(&pass(false)) {
            assert_eq!(padded.size(), plain.size());
            let difference = ((padded - plain).abs().max() / plain.abs().max()).double_value(&[]);
            assert!(difference < 0.01, "{difference}");
        }
    }
}
