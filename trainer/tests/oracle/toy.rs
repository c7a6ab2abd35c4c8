//! Small methods and views to try them on.

use model::cluster::Seeds;
use model::{Arch, ModelConfig};
use tch::{Device, Kind, Tensor};
use trainer::method::{
    self, Align, Losses, Method, MethodConfig, MethodName, Symmetric, View, Views,
};

use super::golden::{formula, one_thread};

pub(crate) const BATCH: i64 = 8;
const SIDE: i64 = 36;
pub(crate) const METHODS: [MethodName; 5] = [
    MethodName::Multisiam,
    MethodName::MultisiamMoco,
    MethodName::Byol,
    MethodName::Moco,
    MethodName::Mocov2,
];

pub(crate) fn model() -> ModelConfig {
    ModelConfig {
        arch: Arch::Resnet18,
        layer4_stride: 1,
        hidden: 64,
        dim: 32,
        ..ModelConfig::default()
    }
}

pub(crate) fn build(config: &MethodConfig, kind: Kind) -> Method {
    one_thread();
    method::build(config, &model(), Device::Cpu, kind, 3).unwrap()
}

/// A method as in its paper, with a queue that fits the toy views.
pub(crate) fn named(name: MethodName) -> MethodConfig {
    let symmetric = match name {
        MethodName::Moco | MethodName::Mocov2 => Symmetric::OneWay,
        MethodName::Multisiam | MethodName::MultisiamMoco | MethodName::Byol => Symmetric::Sum,
    };
    MethodConfig {
        name,
        symmetric,
        queue: 40,
        moco_dim: 16,
        ..MethodConfig::default()
    }
}

/// Every method, and one that draws random seeds.
pub(crate) fn every_method() -> Vec<MethodConfig> {
    let random = MethodConfig {
        km_init: Seeds::Random,
        align: Align::Roi,
        ..named(MethodName::Multisiam)
    };
    METHODS.map(named).into_iter().chain([random]).collect()
}

/// Two shifted, noisy views of smooth colour patterns; every other second view is mirrored.
pub(crate) fn views(kind: Kind) -> Views {
    let view = |salt: i64, shift: i64| {
        let wide = formula(&[BATCH, 3, 8, 8], 5) * 4.0;
        let wide = wide.upsample_bilinear2d([SIDE + 16, SIDE + 16], false, None, None);
        let image = wide.narrow(2, shift, SIDE).narrow(3, shift, SIDE)
            + formula(&[BATCH, 3, SIDE, SIDE], salt) * 0.2;
        let flip = Tensor::arange(BATCH, (Kind::Int64, Device::Cpu))
            .remainder(2)
            .eq(salt % 2)
            .logical_and(&Tensor::from(salt > 11));
        let image = image
            .flip([-1])
            .where_self(&flip.view([-1, 1, 1, 1]), &image);
        let at = 40.0 + 480.0 / SIDE as f32 * shift as f32;
        let rows = |values: &[f32]| Tensor::from_slice(values).repeat([BATCH, 1]);
        View {
            image: image.to_kind(kind),
            crop: rows(&[at, at, 480.0, 480.0]),
            frame: rows(&[1280.0, 720.0]),
            flip,
        }
    };
    Views {
        a: view(11, 0),
        b: view(12, 6),
    }
}

pub(crate) fn value(scalar: &Tensor) -> f64 {
    scalar.double_value(&[])
}

/// Forward and backward of every direction.
pub(crate) fn forward_backward(method: &Method, views: &Views) -> Losses {
    let mut pass = method.pass(views);
    while let Some(share) = pass.direction() {
        share.backward();
    }
    pass.losses()
}

pub(crate) fn forward(method: &Method, views: &Views) -> Losses {
    let mut pass = method.pass(views);
    while pass.direction().is_some() {}
    pass.losses()
}
