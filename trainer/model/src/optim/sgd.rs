//! SGD with momentum, as in PyTorch, without Nesterov: b = m b + (g + wd p), p −= lr b. For the
//! MoCo baselines (RECIPE 5).

use std::collections::BTreeMap;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::momentum::{Group, load_momentum, momentum_state};
use crate::params::Registry;

/// Knobs of [`Sgd`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SgdConfig {
    /// m.
    pub momentum: f64,
    /// wd, on every tensor.
    pub weight_decay: f64,
}

impl Default for SgdConfig {
    /// MoCo's values.
    fn default() -> Self {
        SgdConfig {
            momentum: 0.9,
            weight_decay: 1e-4,
        }
    }
}

/// The optimizer with its momentum.
pub struct Sgd {
    config: SgdConfig,
    group: Group,
}

impl Sgd {
    /// Over the trained tensors of `registry`; momentum starts at zero.
    pub fn new(registry: &Registry, config: SgdConfig) -> Self {
        let (group, _) = Group::split(registry, |_, _| true);
        Sgd { config, group }
    }

    /// Applies the gradients with learning rate `lr`. The gradients are overwritten: drop them
    /// afterwards.
    pub fn step(&mut self, lr: f64) {
        let _guard = tch::no_grad_guard();
        let active = self.group.active();
        if active.params.is_empty() {
            return;
        }
        native::foreach_add(&active.grads, &active.params, self.config.weight_decay);
        native::foreach_mul_scalar(&active.momentum, self.config.momentum);
        native::foreach_add(&active.momentum, &active.grads, 1.0);
        native::foreach_add(&active.params, &active.momentum, -lr);
    }

    /// `momentum.` + parameter name, handles (not copies).
    pub fn state(&self) -> Vec<(String, Tensor)> {
        momentum_state(&[&self.group])
    }

    /// Takes a state back; the first misfit is an error that names it, and changes nothing.
    pub fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        load_momentum(&[&self.group], state)
    }
}
