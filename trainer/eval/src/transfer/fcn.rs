//! FCN-16s: a ResNet whose stage 4 keeps its resolution with dilated filters, two dilated 3×3
//! layers, a classifier.
//!
//! MoCo, appendix "Semantic segmentation"; RECIPE 6. Cells are 16 input pixels apart, the first one
//! centred on the first pixel. Images are padded to 16 k + 1 pixels, so that the last one is centred on
//! the last pixel; logits are enlarged with aligned corners, and the padding is cut off.

use model::files::weights::Weights;
use model::{BatchNorm, Conv, Init, ModelConfig, Registry, ResNet, Role, Scope};
use native::{After, Ranks};
use tch::{Device, Kind, Tensor};

use super::config::TransferConfig;
use crate::cells;
use crate::segmentation::NUM_CLASSES;

/// Pixels between the centres of two cells.
const CELL_PX: i64 = 16;
/// Standard deviation of the classifier's initial filters (mmsegmentation's `init_cfg` of a decode
/// head).
const CLASSIFIER_STD: f64 = 0.01;

/// The network and its tensors.
pub(crate) struct Fcn {
    /// Tensors by name: `backbone.*`, `head.*`.
    pub registry: Registry,
    backbone: ResNet,
    layers: [(Conv, BatchNorm); 2],
    classifier: (Tensor, Tensor),
    kind: Kind,
    device: Device,
}

impl Fcn {
    /// A network with the backbone's weights and a new head. In training, its batch norms look at the
    /// images of all `ranks`. It is `Float`, or `Double` for comparisons.
    ///
    /// # Errors
    /// The first of the backbone's tensors that is missing or does not fit.
    pub(crate) fn new(
        weights: &Weights,
        config: &TransferConfig,
        ranks: &Ranks,
        (kind, device): (Kind, Device),
    ) -> anyhow::Result<Self> {
        let model = ModelConfig {
            layer3_stride: 2,
            layer4_stride: 1,
            ..weights.model.clone()
        };
        let mut registry = Registry::default();
        let root = Scope::root(&mut registry, config.seed, kind, device);
        let mut root = root.among(ranks);
        let mut backbone = ResNet::new(root.sub("backbone"), &model);
        backbone.dilate_stage4(stage4_dilation(&weights.model));
        let mut head = root.sub("head");
        let mut layer = |number: i64, channels_in: i64| {
            let mut conv = Conv::new(
                head.sub(format_args!("conv{number}")),
                channels_in,
                config.channels,
                3,
                1,
            );
            conv.dilate(config.dilation);
            (
                conv,
                BatchNorm::new(head.sub(format_args!("bn{number}")), config.channels, 1.0),
            )
        };
        let layers = [layer(1, model.arch.channels()), layer(2, config.channels)];
        let mut scope = head.sub("classifier");
        let classes = NUM_CLASSES as i64;
        let shape = [classes, config.channels, 1, 1];
        let weight = scope.parameter("weight", &shape, Init::Normal(CLASSIFIER_STD), Role::Weight);
        let bias = scope.parameter("bias", &[classes], Init::Constant(0.0), Role::Bias);

        let trained = weights
            .build(&model, device)?
            .registry
            .state("backbone.")
            .into_iter()
            .map(|(name, tensor)| (name, of_kind(tensor, kind)))
            .collect();
        registry.load_part(&trained)?;
        Ok(Self {
            registry,
            backbone,
            layers,
            classifier: (weight, bias),
            kind,
            device,
        })
    }

    /// What it computes in.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it computes.
    pub(crate) fn device(&self) -> Device {
        self.device
    }

    /// Images `[n, 3, h, w]` to logits `[n, 19, h, w]`, both of the network's kind.
    pub(crate) fn forward(&self, images: &Tensor, train: bool) -> Tensor {
        let (_, _, height, width) = images.size4().expect("images have four axes");
        let mut x = self.backbone.forward(&cells::pad(images, CELL_PX), train);
        for (conv, norm) in &self.layers {
            x = norm.forward(&conv.forward(&x), After::Relu, train);
        }
        let (weight, bias) = &self.classifier;
        let logits = x.conv2d(weight, Some(bias), [1, 1], [0, 0], [1, 1], 1);
        cells::enlarge(&logits.to_kind(self.kind), CELL_PX, [height, width])
    }
}

/// A weight or a statistic in `kind`; counters stay what they are.
fn of_kind(tensor: Tensor, kind: Kind) -> Tensor {
    match tensor.kind() {
        Kind::Int64 => tensor,
        _ => tensor.to_kind(kind),
    }
}

/// Dilation of stage 4 that keeps the pixels between its filters' taps as they were in pre-training:
/// 2 where its stride was 2 and now is 1; none where its cells were this near already.
fn stage4_dilation(pretrained: &ModelConfig) -> i64 {
    (pretrained.cell_px() / CELL_PX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::see_through::{self, Scene};
    use crate::segmentation::Confusion;
    use model::Arch;
    use model::device::normalised;
    use schemas::geom::Size;

    const ON_CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    #[test]
    fn an_fcn_starts_from_the_backbone_and_answers_for_every_pixel() {
        let weights = Weights::random(
            ModelConfig {
                arch: Arch::Resnet18,
                ..ModelConfig::default()
            },
            5,
        );
        let config = TransferConfig {
            channels: 8,
            ..TransferConfig::default()
        };
        let fcn = Fcn::new(&weights, &config, &Ranks::alone(), ON_CPU).unwrap();
        let name = "layer4.0.conv1.weight";
        assert_eq!(
            fcn.registry.get(&format!("backbone.{name}")),
            weights.tensors().get(name)
        );
        let images = Init::Normal(1.0)
            .draw(1, "x", &[2, 3, 65, 97])
            .to_kind(Kind::Float);
        assert_eq!(fcn.forward(&images, true).size(), [2, 19, 65, 97]);
        assert!(
            fcn.registry
                .trainable()
                .all(|entry| entry.tensor.requires_grad())
        );
    }

    /// An FCN that answers each cell with the class whose colour its centre has.
    fn seeing() -> Fcn {
        let config = TransferConfig {
            channels: 3,
            ..TransferConfig::default()
        };
        let weights = see_through::weights(2);
        let fcn = Fcn::new(&weights, &config, &Ranks::alone(), ON_CPU).unwrap();
        tch::no_grad(|| {
            for number in [1, 2] {
                let of = |name: String| fcn.registry.get(&name).unwrap();
                see_through::pass_through(of(format!("head.conv{number}.weight")));
                let variance = of(format!("head.bn{number}.running_var"));
                let _ = variance.shallow_clone().fill_(1.0 - 1e-5);
            }
            let (weight, bias) = see_through::nearest_class(3);
            fcn.classifier.0.shallow_clone().copy_(&weight);
            fcn.classifier.1.shallow_clone().copy_(&bias);
        });
        fcn
    }

    fn input(rgb: &[u8], size: Size) -> Tensor {
        let shape = [1, i64::from(size.height), i64::from(size.width), 3];
        normalised(&Tensor::from_slice(rgb).view(shape), Device::Cpu)
    }

    /// Fine-tuning sees crops of 16 k + 1 pixels, evaluation images of any size: an offset between
    /// both is learned in one and costs the score in the other (38.9 instead of 100 at 256 pixels).
    #[test]
    fn cells_answer_for_the_pixels_around_their_centres_at_any_size() {
        let fcn = seeing();
        for (number, (width, height)) in [
            (225, 225),
            (705, 705),
            (769, 769),
            (256, 256),
            (2048, 1024),
            (41, 33),
        ]
        .into_iter()
        .enumerate()
        {
            let size = Size::new(width, height);
            let scene = Scene::random(size, 16, 19, number as u64);
            let logits = tch::no_grad(|| fcn.forward(&input(&scene.rgb(), size), false));
            let classes = logits.argmax(1, false).to_kind(Kind::Uint8).view([-1]);
            let mut confusion = Confusion::default();
            confusion.add(&scene.labels(), &Vec::<u8>::try_from(classes).unwrap());
            let scores = confusion.scores();
            assert_eq!(
                (scores.miou, scores.pixel_accuracy),
                (100.0, 100.0),
                "{size}"
            );
        }
    }

    #[test]
    fn a_tile_at_a_multiple_of_16_has_the_logits_of_the_whole() {
        let fcn = seeing();
        let size = Size::new(160, 128);
        let scene = Scene::random(size, 16, 19, 3);
        let image = input(&scene.rgb(), size);
        let run = |image: &Tensor| tch::no_grad(|| fcn.forward(image, false));
        let whole = run(&image);
        for (y, x, height, width) in [(0, 0, 65, 81), (32, 48, 49, 33), (64, 16, 64, 144)] {
            let tile = |t: &Tensor| t.narrow(2, y, height).narrow(3, x, width);
            let off = (run(&tile(&image)) - tile(&whole)).abs().max();
            assert!(off.double_value(&[]) < 1e-3, "{y}, {x}: {off:?}");
        }
    }

    #[test]
    fn stage_4_is_dilated_by_what_its_stride_was() {
        for (layer3_stride, layer4_stride, dilation) in [(2, 2, 2), (2, 1, 1), (1, 2, 1), (1, 1, 1)]
        {
            let pretrained = ModelConfig {
                layer3_stride,
                layer4_stride,
                ..ModelConfig::default()
            };
            assert_eq!(stage4_dilation(&pretrained), dilation);
        }
    }
}
