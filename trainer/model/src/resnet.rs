//! A ResNet without pooling and classifier: a view goes in, the map of the last stage (C5) comes out.
//!
//! Layout and names are torchvision's: 7×7/2 stem, 3×3/2 max-pool, four stages, stride on the 3×3
//! filter of a bottleneck, shortcut filters where shape changes. Initial values: RECIPE 3.1,
//! Kaiming normal with fan-in, batch norms 1 and 0. Stages 3 and 4 may keep their resolution
//! (stride 1, no dilation): same weights, more cells for small views. He et al., "Deep Residual
//! Learning", 2016; <https://github.com/pytorch/vision/blob/main/torchvision/models/resnet.py>.

use std::array::from_fn;
use std::ops::Range;

use native::After;
use tch::Tensor;

use crate::arch::{Arch, Filters};
use crate::config::ModelConfig;
use crate::init::Init;
use crate::norm::BatchNorm;
use crate::params::{Role, Scope};

/// Filters without bias, and how they are applied.
#[derive(Debug)]
pub struct Conv {
    weight: Tensor,
    stride: i64,
    padding: i64,
    dilation: i64,
}

impl Conv {
    /// `size`×`size` filters that keep the resolution at stride 1.
    pub fn new(
        mut scope: Scope<'_>,
        channels_in: i64,
        channels_out: i64,
        size: i64,
        stride: i64,
    ) -> Self {
        let init = Init::kaiming_normal(channels_in * size * size);
        let shape = [channels_out, channels_in, size, size];
        Conv {
            weight: scope.parameter("weight", &shape, init, Role::Weight),
            stride,
            padding: size / 2,
            dilation: 1,
        }
    }

    /// The same filters with `rate - 1` pixels between their taps; 1×1 filters stay as they are.
    pub fn dilate(&mut self, rate: i64) {
        (self.padding, self.dilation) = (self.padding * rate, rate);
    }

    /// Maps `[n, channels_in, h, w]` to `[n, channels_out, h, w]` over the stride.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let (stride, padding, dilation) = ([self.stride; 2], [self.padding; 2], [self.dilation; 2]);
        x.conv2d(&self.weight, None::<&Tensor>, stride, padding, dilation, 1)
    }
}

/// Filters and the batch norm behind them.
#[derive(Debug)]
struct ConvNorm {
    conv: Conv,
    norm: BatchNorm,
}

impl ConvNorm {
    fn forward_all<const N: usize>(
        layers: [&Self; N],
        xs: [&Tensor; N],
        afters: [After<'_>; N],
        train: bool,
    ) -> [Tensor; N] {
        let maps: [Tensor; N] = from_fn(|ix| layers[ix].conv.forward(xs[ix]));
        let norms = layers.map(|layer| &layer.norm);
        BatchNorm::forward_all(norms, maps.each_ref(), afters, train)
    }
}

/// relu(layers(x) + shortcut(x)), with a ReLU between the layers.
#[derive(Debug)]
struct Block {
    layers: Vec<ConvNorm>,
    shortcut: Option<ConvNorm>,
}

impl Block {
    /// A block of `layers`, of which the last has `last_scale` in its batch norm.
    fn new(scope: &mut Scope<'_>, layers: &[Filters], stride: i64, last_scale: f64) -> Self {
        let [first, .., last] = layers else {
            unreachable!("a block has two or three layers")
        };
        let (channels_in, channels_out) = (first.channels_in, last.channels_out);
        let layers = layers.iter().zip(1..).map(|(filters, number)| {
            let stride = if filters.strided { stride } else { 1 };
            let (i, o, size) = (filters.channels_in, filters.channels_out, filters.size);
            let scale = if number == layers.len() {
                last_scale
            } else {
                1.0
            };
            ConvNorm {
                conv: Conv::new(scope.sub(format_args!("conv{number}")), i, o, size, stride),
                norm: BatchNorm::new(scope.sub(format_args!("bn{number}")), o, scale),
            }
        });
        let layers = layers.collect();
        let shortcut = (stride != 1 || channels_in != channels_out).then(|| {
            let mut scope = scope.sub("downsample");
            ConvNorm {
                conv: Conv::new(scope.sub(0), channels_in, channels_out, 1, stride),
                norm: BatchNorm::new(scope.sub(1), channels_out, 1.0),
            }
        });
        Block { layers, shortcut }
    }

    fn forward_all<const N: usize>(
        blocks: [&Self; N],
        xs: [Tensor; N],
        train: bool,
    ) -> [Tensor; N] {
        let layers = |ix: usize| blocks.map(|block| &block.layers[ix]);
        let last = blocks[0].layers.len() - 1;
        let mut out = xs.each_ref().map(Tensor::shallow_clone);
        for ix in 0..last {
            out = ConvNorm::forward_all(layers(ix), out.each_ref(), [After::Relu; N], train);
        }
        let residual = match blocks[0].shortcut {
            Some(_) => {
                let shortcuts = blocks.map(|block| {
                    let shortcut = block.shortcut.as_ref();
                    shortcut.expect("networks of one shape")
                });
                ConvNorm::forward_all(shortcuts, xs.each_ref(), [After::Nothing; N], train)
            }
            None => xs,
        };
        let afters = residual.each_ref().map(After::AddRelu);
        ConvNorm::forward_all(layers(last), out.each_ref(), afters, train)
    }
}

/// The trunk.
#[derive(Debug)]
pub struct ResNet {
    arch: Arch,
    stem: ConvNorm,
    blocks: Vec<Block>,
}

impl ResNet {
    /// Builds the trunk in `scope`; torchvision's names begin right below it.
    pub fn new(mut scope: Scope<'_>, config: &ModelConfig) -> Self {
        let arch = config.arch;
        let stem = ConvNorm {
            conv: Conv::new(scope.sub("conv1"), 3, 64, 7, 2),
            norm: BatchNorm::new(scope.sub("bn1"), 64, 1.0),
        };
        let strides = [1, 2, config.layer3_stride, config.layer4_stride];
        let last_scale = if config.zero_init_residual { 0.0 } else { 1.0 };
        let mut blocks = Vec::new();
        let mut channels = 64;
        for (stage, (num_blocks, stride)) in arch.blocks().into_iter().zip(strides).enumerate() {
            let mut scope = scope.sub(format_args!("layer{}", stage + 1));
            for block_ix in 0..num_blocks {
                let stride = if block_ix == 0 { stride } else { 1 };
                let mut scope = scope.sub(block_ix);
                let layers = arch.layers(stage, channels);
                blocks.push(Block::new(&mut scope, &layers, stride, last_scale));
                channels = arch.channels_of(stage);
            }
        }
        let mut net = ResNet { arch, stem, blocks };
        net.norms_mut()
            .for_each(|norm| norm.split(config.bn_splits));
        net
    }

    /// Which ResNet this is.
    pub fn arch(&self) -> Arch {
        self.arch
    }

    /// Dilates the 3×3 filters of stage 4, as dense prediction does where it has stride 1 (RECIPE
    /// 6).
    pub fn dilate_stage4(&mut self, rate: i64) {
        let first = self.first_block_of_stage4();
        for layer in self.blocks[first..]
            .iter_mut()
            .flat_map(|block| &mut block.layers)
        {
            layer.conv.dilate(rate);
        }
    }

    /// View `[n, 3, h, w]` to C5 map `[n, channels, h/32, w/32]` (rounded up; /16 or /8 with stages
    /// at stride 1). With `train`, batch norms use and record the batch's statistics.
    pub fn forward(&self, view: &Tensor, train: bool) -> Tensor {
        self.maps(view, train).1
    }

    /// As [`forward`](Self::forward), the C4 map (half the channels) before it: `(C4, C5)`.
    pub fn maps(&self, view: &Tensor, train: bool) -> (Tensor, Tensor) {
        let ([c4], [c5]) = ResNet::maps_all([self], [view], train);
        (c4, c5)
    }

    /// As [`forward`](Self::forward), of several networks of one shape, each on a view of its own, a
    /// layer at a time: see [`BatchNorm::forward_all`].
    pub fn forward_all<const N: usize>(
        nets: [&Self; N],
        views: [&Tensor; N],
        train: bool,
    ) -> [Tensor; N] {
        ResNet::maps_all(nets, views, train).1
    }

    fn maps_all<const N: usize>(
        nets: [&Self; N],
        views: [&Tensor; N],
        train: bool,
    ) -> ([Tensor; N], [Tensor; N]) {
        let stems = nets.map(|net| &net.stem);
        let x = ConvNorm::forward_all(stems, views, [After::Relu; N], train)
            .map(|x| x.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false));
        let run = |x: [Tensor; N], blocks: Range<usize>| {
            blocks.fold(x, |x, ix| {
                Block::forward_all(nets.map(|net| &net.blocks[ix]), x, train)
            })
        };
        let stage4 = nets[0].first_block_of_stage4();
        let c4 = run(x, 0..stage4);
        let c5 = run(
            c4.each_ref().map(Tensor::shallow_clone),
            stage4..nets[0].blocks.len(),
        );
        (c4, c5)
    }

    fn norms_mut(&mut self) -> impl Iterator<Item = &mut BatchNorm> {
        let inside = self
            .blocks
            .iter_mut()
            .flat_map(|block| block.layers.iter_mut().chain(&mut block.shortcut));
        std::iter::once(&mut self.stem)
            .chain(inside)
            .map(|layer| &mut layer.norm)
    }

    fn first_block_of_stage4(&self) -> usize {
        self.blocks.len() - self.arch.blocks()[3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Registry;
    use tch::{Device, Kind};

    fn image(side: i64) -> Tensor {
        (Tensor::arange(2 * 3 * side * side, (Kind::Double, Device::Cpu)) * 0.37)
            .sin()
            .view([2, 3, side, side])
    }

    #[track_caller]
    fn assert_near(found: &Tensor, expected: &Tensor) {
        assert_eq!(found.size(), expected.size());
        let gap = (found - expected).abs().max().double_value(&[]);
        assert!(gap < 1e-12, "{gap}");
    }

    /// `image` through filters with `size`² taps, and through as many dilated by 3; and the weights.
    fn plain_and_dilated(size: i64) -> [Tensor; 3] {
        let mut registry = Registry::default();
        let scope = Scope::root(&mut registry, 1, Kind::Double, Device::Cpu);
        let mut conv = Conv::new(scope, 3, 4, size, 1);
        let plain = conv.forward(&image(9));
        conv.dilate(3);
        [plain, conv.forward(&image(9)), conv.weight.detach()]
    }

    #[test]
    fn dilated_filters_are_larger_ones_with_zeros_between_their_taps() {
        let [_, dilated, weight] = plain_and_dilated(3);
        let wide = Tensor::zeros([4, 3, 7, 7], (Kind::Double, Device::Cpu));
        wide.slice(2, 0, 7, 3).slice(3, 0, 7, 3).copy_(&weight);
        let expected = image(9).conv2d(&wide, None::<&Tensor>, [1, 1], [3, 3], [1, 1], 1);
        assert_near(&dilated, &expected);
        let [plain, dilated, _] = plain_and_dilated(1);
        assert_eq!(plain, dilated, "1×1 filters have nothing between taps");
    }

    #[test]
    fn dilation_changes_stage_4_alone_and_no_size() {
        let config = ModelConfig {
            arch: Arch::Resnet18,
            layer4_stride: 1,
            ..ModelConfig::default()
        };
        let mut registry = Registry::default();
        let scope = Scope::root(&mut registry, 1, Kind::Double, Device::Cpu);
        let mut net = ResNet::new(scope, &config);
        let (c4, c5) = net.maps(&image(64), false);
        net.dilate_stage4(2);
        let (same_c4, dilated_c5) = net.maps(&image(64), false);
        assert_eq!(c4, same_c4);
        assert_eq!(c4.size(), [2, 256, 4, 4]);
        assert_eq!([c5.size(), dilated_c5.size()], [[2, 512, 4, 4]; 2]);
        assert_ne!(c5, dilated_c5);
    }

    #[test]
    fn every_norm_takes_the_parts_of_a_batch_on_their_own() {
        let c5 = |bn_splits, views: &Tensor| {
            let config = ModelConfig {
                arch: Arch::Resnet18,
                bn_splits,
                ..ModelConfig::default()
            };
            let mut registry = Registry::default();
            let scope = Scope::root(&mut registry, 1, Kind::Double, Device::Cpu);
            ResNet::new(scope, &config).forward(views, true)
        };
        let parts = [image(64), image(64) * 3.0 + 1.0];
        let expected = Tensor::cat(&parts.each_ref().map(|part| c5(1, part)), 0);
        assert_near(&c5(2, &Tensor::cat(&parts, 0)), &expected);
    }
}
