//! Groups of parameters with their momentum, which every update rule here has.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use tch::Tensor;

use crate::params::{Registry, check_same_form};

/// Parameters that share an arithmetic, with their momentum, in the registry's order.
#[derive(Default)]
pub(super) struct Group {
    names: Vec<String>,
    params: Vec<Tensor>,
    momentum: Vec<Tensor>,
}

/// What one step works on: parameters that have a gradient, and the gradients and momentum that
/// belong to them.
pub(super) struct Active {
    pub(super) params: Vec<Tensor>,
    pub(super) grads: Vec<Tensor>,
    pub(super) momentum: Vec<Tensor>,
}

impl Group {
    fn add(&mut self, name: &str, param: &Tensor) {
        self.names.push(name.to_owned());
        self.params.push(param.shallow_clone());
        self.momentum.push(param.detach().zeros_like());
    }

    /// Splits the trained tensors by a rule: (those for which it holds, the others).
    pub(super) fn split(
        registry: &Registry,
        holds: impl Fn(&str, &Tensor) -> bool,
    ) -> (Group, Group) {
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

    pub(super) fn active(&self) -> Active {
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
pub(super) fn momentum_state(groups: &[&Group]) -> Vec<(String, Tensor)> {
    groups
        .iter()
        .flat_map(|g| g.names.iter().zip(&g.momentum))
        .map(|(name, momentum)| (format!("momentum.{name}"), momentum.shallow_clone()))
        .collect()
}

/// Checks all names, shapes and types of the groups' state, then copies.
pub(super) fn load_momentum(groups: &[&Group], state: &BTreeMap<String, Tensor>) -> Result<()> {
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
