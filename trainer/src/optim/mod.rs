//! Update rules and what drives them over time.
//!
//! Optimizers hold handles to the online network's tensors and their own momentum, update all
//! tensors at once (`_foreach` operations), and expose their state, so that a run resumes exactly.
//! None of them waits for the device.

pub mod lars;
pub mod schedule;
pub mod sgd;

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use tch::Tensor;

use crate::model::params::{Registry, check_same_form};

pub use lars::{Lars, LarsConfig};
pub use sgd::{Sgd, SgdConfig};

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

/// Parameters that share an arithmetic, with their momentum, in the registry's order.
#[derive(Default)]
struct Group {
    names: Vec<String>,
    params: Vec<Tensor>,
    momentum: Vec<Tensor>,
}

/// What one step works on: parameters that have a gradient, and the gradients and momentum that
/// belong to them.
struct Active {
    params: Vec<Tensor>,
    grads: Vec<Tensor>,
    momentum: Vec<Tensor>,
}

impl Group {
    fn add(&mut self, name: &str, param: &Tensor) {
        self.names.push(name.to_owned());
        self.params.push(param.shallow_clone());
        self.momentum.push(param.detach().zeros_like());
    }

    /// Splits the trained tensors by a rule: (those for which it holds, the others).
    fn split(registry: &Registry, holds: impl Fn(&str, &Tensor) -> bool) -> (Group, Group) {
        let (mut yes, mut no) = (Group::default(), Group::default());
        for entry in registry.trainable() {
            let group = if holds(&entry.name, &entry.tensor) {
                &mut yes
            } else {
                &mut no
            };
            group.add(&entry.name, &entry.tensor);
        }
        (yes, no)
    }

    fn active(&self) -> Active {
        let mut active = Active {
            params: Vec::with_capacity(self.params.len()),
            grads: Vec::with_capacity(self.params.len()),
            momentum: Vec::with_capacity(self.params.len()),
        };
        for (param, momentum) in self.params.iter().zip(&self.momentum) {
            let grad = param.grad();
            if grad.defined() {
                active.params.push(param.shallow_clone());
                active.grads.push(grad);
                active.momentum.push(momentum.shallow_clone());
            }
        }
        active
    }
}

/// `momentum.*` of all groups.
fn momentum_state(groups: &[&Group]) -> Vec<(String, Tensor)> {
    groups
        .iter()
        .flat_map(|g| g.names.iter().zip(&g.momentum))
        .map(|(name, momentum)| (format!("momentum.{name}"), momentum.shallow_clone()))
        .collect()
}

/// Checks all names, shapes and types of the groups' state, then copies.
fn load_momentum(groups: &[&Group], state: &BTreeMap<String, Tensor>) -> Result<()> {
    let ours = momentum_state(groups);
    for (name, momentum) in &ours {
        match state.get(name) {
            Some(source) => check_same_form(name, momentum, source)?,
            None => bail!("the optimizer's state lacks {name}"),
        }
    }
    if let Some(extra) = state
        .keys()
        .find(|key| !ours.iter().any(|(name, _)| name == *key))
    {
        bail!("the optimizer's state has {extra}, which this model lacks");
    }
    let _guard = tch::no_grad_guard();
    for (name, mut momentum) in ours {
        momentum.copy_(&state[&name]);
    }
    Ok(())
}
