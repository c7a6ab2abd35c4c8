//! FCN-16s: a ResNet whose stage 4 keeps its resolution with dilated filters, two dilated 3×3
//! layers, a classifier.
//!
//! MoCo, appendix "Semantic segmentation"; RECIPE 6. One output cell is 16 input pixels; logits are
//! enlarged bilinearly.

use model::files::weights::Weights;
use model::{BatchNorm, Conv, Init, ModelConfig, Registry, ResNet, Role, Scope};
use native::After;
use tch::{Device, Kind, Tensor};

use super::config::TransferConfig;
use crate::segmentation::NUM_CLASSES;

/// Dilation of stage 4, which makes up for its stride of 1.
const STAGE4_DILATION: i64 = 2;
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
    device: Device,
}

impl Fcn {
    /// A network with the backbone's weights and a new head.
    ///
    /// # Errors
    /// The first of the backbone's tensors that is missing or does not fit.
    pub(crate) fn new(
        weights: &Weights,
        config: &TransferConfig,
        device: Device,
    ) -> anyhow::Result<Self> {
        let model = ModelConfig {
            layer3_stride: 2,
            layer4_stride: 1,
            ..weights.model.clone()
        };
        let mut registry = Registry::default();
        let mut root = Scope::root(&mut registry, config.seed, Kind::Float, device);
        let mut backbone = ResNet::new(root.sub("backbone"), &model);
        backbone.dilate_stage4(STAGE4_DILATION);
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
            .collect();
        registry.load_part(&trained)?;
        Ok(Self {
            registry,
            backbone,
            layers,
            classifier: (weight, bias),
            device,
        })
    }

    /// Where it computes.
    pub(crate) fn device(&self) -> Device {
        self.device
    }

    /// Images `[n, 3, h, w]` to logits `[n, 19, h, w]`.
    pub(crate) fn forward(&self, images: &Tensor, train: bool) -> Tensor {
        let (_, _, height, width) = images.size4().expect("images have four axes");
        let mut x = self.backbone.forward(images, train);
        for (conv, norm) in &self.layers {
            x = norm.forward(&conv.forward(&x), After::Relu, train);
        }
        let (weight, bias) = &self.classifier;
        let logits = x.conv2d(weight, Some(bias), [1, 1], [0, 0], [1, 1], 1);
        logits
            .to_kind(Kind::Float)
            .upsample_bilinear2d([height, width], false, None, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Arch;

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
        let fcn = Fcn::new(&weights, &config, Device::Cpu).unwrap();
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
}
