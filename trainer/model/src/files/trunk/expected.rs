//! The tensors that a ResNet has, by torchvision's names.

use crate::arch::Arch;

/// What a tensor holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Floating-point numbers.
    Values,
    /// The number of batches that a batch norm has seen; PyTorch before 0.4.1 had none.
    Counter,
}

/// A tensor that a ResNet has.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) role: Role,
}

/// All tensors of a ResNet, in the order of its layers.
pub(super) fn tensors(arch: Arch) -> Vec<Expected> {
    let mut all = Vec::new();
    add_layer(&mut all, ["conv1", "bn1"], [64, 3, 7]);
    let mut channels_in = 64;
    for (stage, blocks) in arch.blocks().into_iter().enumerate() {
        for block in 0..blocks {
            let scope = format!("layer{}.{block}.", stage + 1);
            for (filters, number) in arch.layers(stage, channels_in).iter().zip(1..) {
                let names = [format!("{scope}conv{number}"), format!("{scope}bn{number}")];
                let shape = [filters.channels_out, filters.channels_in, filters.size];
                add_layer(&mut all, names.each_ref().map(String::as_str), shape);
            }
            let channels_out = arch.channels_of(stage);
            // The first block of a stage has a stride, but for the first stage.
            if block == 0 && (stage > 0 || channels_in != channels_out) {
                let names = [
                    format!("{scope}downsample.0"),
                    format!("{scope}downsample.1"),
                ];
                let shape = [channels_out, channels_in, 1];
                add_layer(&mut all, names.each_ref().map(String::as_str), shape);
            }
            channels_in = channels_out;
        }
    }
    all
}

/// Filters and their batch norm.
fn add_layer(all: &mut Vec<Expected>, [conv, norm]: [&str; 2], [out, input, size]: [i64; 3]) {
    let [out, input, size] = [out, input, size].map(|n| n as usize);
    let mut add = |name: String, shape: Vec<usize>, role| all.push(Expected { name, shape, role });
    add(
        format!("{conv}.weight"),
        vec![out, input, size, size],
        Role::Values,
    );
    for part in ["weight", "bias", "running_mean", "running_var"] {
        add(format!("{norm}.{part}"), vec![out], Role::Values);
    }
    add(
        format!("{norm}.num_batches_tracked"),
        Vec::new(),
        Role::Counter,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ModelConfig;
    use crate::params::{Registry, Scope};
    use crate::resnet::ResNet;
    use tch::{Device, Kind};

    #[test]
    fn they_are_those_of_the_network_that_is_built() {
        for arch in [
            Arch::Resnet18,
            Arch::Resnet34,
            Arch::Resnet50,
            Arch::Resnet101,
            Arch::WideResnet50,
        ] {
            let config = ModelConfig {
                arch,
                ..ModelConfig::default()
            };
            let mut registry = Registry::default();
            ResNet::new(
                Scope::blank(&mut registry, Kind::Float, Device::Cpu),
                &config,
            );
            let built = registry.entries().iter().map(|entry| {
                let shape = entry.tensor.size().iter().map(|n| *n as usize).collect();
                (entry.name.clone(), shape)
            });
            let expected = tensors(arch)
                .into_iter()
                .map(|tensor| (tensor.name, tensor.shape));
            assert!(built.eq(expected), "{arch}");
        }
    }
}
