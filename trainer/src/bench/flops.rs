//! Arithmetic of a step, counted from the shapes of its weights.
//!
//! A filter of m weights does m multiplications and additions in every cell of its output. Only
//! filters and matrices count, as is usual where a device's use is compared with its peak; the rest
//! (norms, attention, clusters) is below a percent of it. The online network passes forward and,
//! for its inputs and for its weights, backward; the target forward.

use model::ModelConfig;

use crate::config::RunConfig;
use crate::method::{Method, Symmetric};

/// Floating-point operations of one optimizer step; an addition and a multiplication are two.
pub(super) fn of_step(config: &RunConfig, method: &Method) -> f64 {
    let side = u64::from(config.augment.view_px);
    let cells = (side / config.model.cell_px() as u64).pow(2);
    let mut a_pair = 0.0;
    for (name, tensor) in method.state() {
        let Some((network, name)) = name.split_once('.').filter(|_| tensor.dim() > 1) else {
            continue;
        };
        let passes = match (network, name) {
            // Nobody wants the gradient of the pixels.
            ("online", "backbone.conv1.weight") => 2,
            ("online", _) => 3,
            ("target", _) => 1,
            _ => continue,
        };
        let mut outputs = outputs(name, &config.model, side, cells);
        if name.starts_with("projector.") && config.method.share_projector {
            outputs += cells;
        }
        a_pair += 2.0 * (passes * outputs) as f64 * tensor.numel() as f64;
    }
    let views = if config.method.symmetric == Symmetric::OneWay {
        1.0
    } else {
        2.0
    };
    views * a_pair * config.pairs_per_step(1) as f64
}

/// Cells of a view in which the weight called `name` is applied.
fn outputs(name: &str, model: &ModelConfig, side: u64, cells: u64) -> u64 {
    let Some(layer) = name.strip_prefix("backbone.") else {
        let branch = name.split('.').next().unwrap_or_default();
        return if branch.ends_with("_2d") { cells } else { 1 };
    };
    let stem = side.div_ceil(2);
    let strides = [
        2,
        1,
        2,
        model.layer3_stride as u64,
        model.layer4_stride as u64,
    ];
    // Sides of the map after the pooling and each stage.
    let sides = strides.iter().scan(stem, |side, stride| {
        *side = side.div_ceil(*stride);
        Some(*side)
    });
    let sides: Vec<u64> = sides.collect();
    let stage = layer
        .strip_prefix("layer")
        .and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
    let side = match stage {
        None => stem,
        // The stride is that of the 3 x 3 filter behind it.
        Some(stage) if model.arch.has_bottlenecks() && layer.ends_with(".0.conv1.weight") => {
            sides[stage - 1]
        }
        Some(stage) => sides[stage],
    };
    side * side
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method;
    use model::Arch;
    use tch::{Device, Kind};

    /// Multiplications and additions of one view's pass through the backbone, in billions.
    fn backbone_gmacs(arch: Arch) -> f64 {
        let mut config = RunConfig::default();
        (config.model.arch, config.model.hidden, config.model.dim) = (arch, 1, 1);
        config.data.batch = 1;
        let method =
            method::build(&config.method, &config.model, Device::Cpu, Kind::Float, 0).unwrap();
        let stem = 64.0 * 3.0 * 49.0 * 112.0 * 112.0;
        // Two views, three passes of one network and one of the other, two operations each.
        (of_step(&config, &method) / 4.0 + stem) / 4.0 / 1e9
    }

    #[test]
    fn backbones_cost_what_torchvision_publishes() {
        // torchvision's GFLOPS (which are multiplications with their additions); the classifier's 0.0005
        // or 0.002 among them.
        for (arch, published) in [
            (Arch::Resnet18, 1.81),
            (Arch::Resnet34, 3.66),
            (Arch::Resnet50, 4.09),
            (Arch::Resnet101, 7.80),
            (Arch::WideResnet50, 11.40),
        ] {
            let counted = backbone_gmacs(arch);
            assert!((counted - published).abs() < 0.011, "{arch}: {counted}");
        }
    }

    #[test]
    fn heads_of_maps_work_in_every_cell() {
        let mut config = RunConfig::default();
        config.model.arch = Arch::Resnet18;
        let of = |config: &RunConfig| {
            let method =
                method::build(&config.method, &config.model, Device::Cpu, Kind::Float, 0).unwrap();
            of_step(config, &method)
        };
        let both = of(&config);
        config.method.name = method::MethodName::Byol;
        let projector = 49.0 * (512.0 * 4096.0 + 4096.0 * 256.0);
        let predictor = 49.0 * (258.0 * 4096.0 + 4096.0 * 256.0);
        let expected = 1024.0 * 2.0 * 2.0 * (4.0 * projector + 3.0 * predictor);
        assert!(((both - of(&config)) / expected - 1.0).abs() < 1e-9);
    }
}
