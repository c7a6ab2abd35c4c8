//! LARS: SGD with momentum whose rate is scaled per tensor by ‖p‖ over ‖g‖ (You et al., 2017;
//! RECIPE 4).
//!
//! Implementations differ in whether weight decay is inside the norm and whether the learning rate
//! is inside the momentum; [`Arithmetic`] has the three that matter here. Biases and norms take
//! neither decay nor trust ratio: the raw learning rate. A tensor or gradient of norm zero takes
//! trust 1 in all three (OpenSelfSup itself divides by zero there; its successor mmselfsup added
//! this guard and `eps`).

use std::collections::BTreeMap;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::momentum::{Active, Group, load_momentum, momentum_state};
use crate::params::Registry;

/// Whose arithmetic, for parameter p, gradient g, d = g + wd p, momentum buffer b.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arithmetic {
    /// trust = η‖p‖ / (‖g‖ + wd ‖p‖ + eps); b = m b + lr trust d; p −= b.
    OpenSelfSup,
    /// trust = η‖p‖ / ‖d‖; b = m b + trust d; p −= lr b.
    Byol,
    /// trust = η‖p‖ / (‖d‖ + eps); then as BYOL.
    Pixpro,
}

/// Which tensors take the raw learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exclude {
    /// Every tensor of one axis: biases and norms, as intended everywhere.
    OneAxis,
    /// OpenSelfSup's name patterns to the letter, which miss `downsample.1` and the heads' norms
    /// `1.weight`.
    NamePattern,
}

/// Knobs of [`Lars`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LarsConfig {
    /// Whose arithmetic.
    pub arithmetic: Arithmetic,
    /// m.
    pub momentum: f64,
    /// wd. Paper, section 4.1: 1e-5.
    pub weight_decay: f64,
    /// η, the trust coefficient.
    pub eta: f64,
    /// Added to the trust ratio's denominator, except in BYOL's arithmetic.
    pub eps: f64,
    /// Which tensors take the raw learning rate.
    pub exclude: Exclude,
}

impl Default for LarsConfig {
    fn default() -> Self {
        LarsConfig {
            arithmetic: Arithmetic::OpenSelfSup,
            momentum: 0.9,
            weight_decay: 1e-5,
            eta: 1e-3,
            eps: 1e-8,
            exclude: Exclude::OneAxis,
        }
    }
}

/// The optimizer with its momentum.
pub struct Lars {
    config: LarsConfig,
    scaled: Group,
    excluded: Group,
    /// Trust ratios of the last step, `[tensors]`.
    trust: Option<Tensor>,
}

impl Lars {
    /// Over the trained tensors of `registry`; momentum starts at zero.
    pub fn new(registry: &Registry, config: LarsConfig) -> Self {
        let (excluded, scaled) = Group::split(registry, |name, tensor| match config.exclude {
            Exclude::OneAxis => tensor.dim() == 1,
            Exclude::NamePattern => matches_openselfsup(name),
        });
        Lars {
            config,
            scaled,
            excluded,
            trust: None,
        }
    }

    /// Applies the gradients with learning rate `lr`. The gradients are overwritten: drop them
    /// afterwards.
    pub fn step(&mut self, lr: f64) {
        let _guard = tch::no_grad_guard();
        let scaled = self.scaled.active();
        if !scaled.params.is_empty() {
            self.trust = Some(self.scale_by_trust(&scaled));
        }
        self.apply(&scaled, lr);
        self.apply(&self.excluded.active(), lr);
    }

    /// Turns each gradient g into trust · (g + wd p); returns the trust ratios.
    fn scale_by_trust(&self, active: &Active) -> Tensor {
        let LarsConfig {
            arithmetic,
            weight_decay,
            eta,
            eps,
            ..
        } = self.config;
        let params = native::foreach_norm(&active.params); // [tensors]
        let raw =
            (arithmetic == Arithmetic::OpenSelfSup).then(|| native::foreach_norm(&active.grads));
        native::foreach_add(&active.grads, &active.params, weight_decay);
        let (guard, denominator) = match raw {
            Some(raw) => (raw.shallow_clone(), raw + &params * weight_decay + eps),
            None => {
                let decayed = native::foreach_norm(&active.grads);
                let eps = if arithmetic == Arithmetic::Pixpro {
                    eps
                } else {
                    0.0
                };
                (decayed.shallow_clone(), decayed + eps)
            }
        };
        let usable = params.gt(0.0).logical_and(&guard.gt(0.0));
        let trust = (&params * eta / denominator).where_self(&usable, &params.ones_like());
        native::foreach_mul(&active.grads, &trust.unbind(0));
        trust
    }

    /// Momentum and update; the gradients already hold trust · d (or g for excluded tensors).
    fn apply(&self, active: &Active, lr: f64) {
        let inside = self.config.arithmetic == Arithmetic::OpenSelfSup;
        let (lr_inside, lr_outside) = if inside { (lr, 1.0) } else { (1.0, lr) };
        if active.params.is_empty() {
            return;
        }
        native::foreach_mul_scalar(&active.momentum, self.config.momentum);
        native::foreach_add(&active.momentum, &active.grads, lr_inside);
        native::foreach_add(&active.params, &active.momentum, -lr_outside);
    }

    /// Trust ratios of the last step, `[tensors]`, without those of excluded tensors. `None` before
    /// the first step.
    pub fn trust_ratios(&self) -> Option<&Tensor> {
        self.trust.as_ref()
    }

    /// `momentum.` + parameter name, handles (not copies).
    pub fn state(&self) -> Vec<(String, Tensor)> {
        momentum_state(&[&self.scaled, &self.excluded])
    }

    /// Takes a state back; the first misfit is an error that names it, and changes nothing.
    pub fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        load_momentum(&[&self.scaled, &self.excluded], state)
    }
}

/// OpenSelfSup's exclusion patterns: `(bn|gn)(\d+)?.(weight|bias)` or `bias`, anywhere in the name.
fn matches_openselfsup(name: &str) -> bool {
    let norm_at = |at: usize| {
        let rest = name[at..].trim_start_matches(|c: char| c.is_ascii_digit());
        // The pattern's dot is any character; backing off into the digits changes nothing for
        // "weight" and "bias".
        let mut rest = rest.chars();
        rest.next().is_some()
            && ["weight", "bias"]
                .iter()
                .any(|part| rest.as_str().starts_with(part))
    };
    name.contains("bias")
        || ["bn", "gn"]
            .iter()
            .flat_map(|norm| name.match_indices(norm))
            .any(|(at, norm)| norm_at(at + norm.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_patterns_miss_what_openselfsup_misses() {
        for name in [
            "bn1.weight",
            "layer1.0.bn3.bias",
            "projector.0.bias",
            "gn.weight",
            "downsample.1.bias",
        ] {
            assert!(matches_openselfsup(name), "{name}");
        }
        for name in [
            "downsample.1.weight",
            "projector.1.weight",
            "conv1.weight",
            "bn",
            "bn1.running_mean",
            "layer4.2.conv3.weight",
        ] {
            assert!(!matches_openselfsup(name), "{name}");
        }
    }
}
