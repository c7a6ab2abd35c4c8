//! One of the update rules, whichever a run has.

use std::collections::BTreeMap;

use anyhow::Result;
use tch::Tensor;

use super::lars::Lars;
use super::sgd::Sgd;

/// One of the update rules.
pub enum Optimizer {
    /// Layer-wise adaptive rates.
    Lars(Lars),
    /// SGD with momentum.
    Sgd(Sgd),
}

impl Optimizer {
    /// Applies the gradients with learning rate `lr`. The gradients are used up: drop them
    /// afterwards.
    pub fn step(&mut self, lr: f64) {
        match self {
            Optimizer::Lars(lars) => lars.step(lr),
            Optimizer::Sgd(sgd) => sgd.step(lr),
        }
    }

    /// Trust ratios of the last step, `[tensors]`; `None` for rules without any.
    pub fn trust_ratios(&self) -> Option<&Tensor> {
        match self {
            Optimizer::Lars(lars) => lars.trust_ratios(),
            Optimizer::Sgd(_) => None,
        }
    }

    /// Everything a checkpoint needs: `momentum.` + parameter name, handles (not copies).
    pub fn state(&self) -> Vec<(String, Tensor)> {
        match self {
            Optimizer::Lars(lars) => lars.state(),
            Optimizer::Sgd(sgd) => sgd.state(),
        }
    }

    /// Takes a state back; the first misfit is an error that names it, and changes nothing.
    pub fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        match self {
            Optimizer::Lars(lars) => lars.load_state(state),
            Optimizer::Sgd(sgd) => sgd.load_state(state),
        }
    }
}
