//! The tensors of one network: ordered, named, each with a role.
//!
//! A [`Registry`] keeps tensors in the order in which the layers asked for them, so the optimizer,
//! the EMA and a checkpoint walk them alike in every process (tch's `VarStore` iterates a hash map
//! and renames duplicates silently). A duplicate name is a bug of ours and panics; a state that
//! does not fit is the reader's input and is an error.
//!
//! Layers create their tensors through a [`Scope`], which knows the path so far, the kind and the
//! device.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use native::Ranks;
use tch::{Device, Kind, Tensor};

use crate::init::Init;

/// What a tensor is to the optimizer and the EMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Matrix or filter of a linear or convolution layer.
    Weight,
    /// Its bias.
    Bias,
    /// Scale of a batch norm.
    NormWeight,
    /// Shift of a batch norm.
    NormBias,
    /// A running statistic: no gradient, no EMA, part of the state.
    Buffer,
}

/// One named tensor.
#[derive(Debug)]
pub struct Entry {
    /// Path in PyTorch's style, `backbone.layer1.0.conv1.weight`.
    pub name: String,
    /// The tensor itself; layers hold handles to the same storage.
    pub tensor: Tensor,
    /// Its role.
    pub role: Role,
}

/// The tensors of one network, in the order in which its layers were built.
#[derive(Debug, Default)]
pub struct Registry {
    entries: Vec<Entry>,
}

impl Registry {
    /// All entries, buffers included, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entries that are trained (everything but buffers), in order.
    pub fn trainable(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|e| e.role != Role::Buffer)
    }

    /// Handles to the trained tensors, in order.
    pub fn trainable_tensors(&self) -> Vec<Tensor> {
        self.trainable().map(|e| e.tensor.shallow_clone()).collect()
    }

    /// Number of trained scalars.
    pub fn num_parameters(&self) -> usize {
        self.trainable().map(|e| e.tensor.numel()).sum()
    }

    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.entries
            .iter()
            .find(|e| e.name == name)
            .map(|e| &e.tensor)
    }

    /// Frees all gradients: the next backward pass writes fresh ones. Between the micro-batches of
    /// an accumulated step, don't call it.
    pub fn drop_grads(&self) {
        native::drop_grads(&self.trainable_tensors());
    }

    /// Handles to the buffers, in order.
    pub fn buffer_tensors(&self) -> Vec<Tensor> {
        self.entries
            .iter()
            .filter(|e| e.role == Role::Buffer)
            .map(|e| e.tensor.shallow_clone())
            .collect()
    }

    /// Every entry as `prefix` + name and a detached handle (not a copy).
    pub fn state(&self, prefix: &str) -> Vec<(String, Tensor)> {
        self.entries
            .iter()
            .map(|e| (format!("{prefix}{}", e.name), e.tensor.detach()))
            .collect()
    }

    /// Whether `state` holds every entry as `prefix` + name, in its shape and element type.
    ///
    /// # Errors
    /// The first misfit, with its name. Other names in `state` are not looked at.
    pub fn check_state(&self, state: &BTreeMap<String, Tensor>, prefix: &str) -> Result<()> {
        for entry in &self.entries {
            let name = format!("{prefix}{}", entry.name);
            let Some(source) = state.get(&name) else {
                bail!("the state lacks {name}");
            };
            check_same_form(&name, &entry.tensor, source)?;
        }
        Ok(())
    }

    /// Copies the tensors called `prefix` + name into the entries; memory format and device stay.
    ///
    /// # Errors
    /// As [`check_state`](Self::check_state); then nothing was copied.
    pub fn load_state(&self, state: &BTreeMap<String, Tensor>, prefix: &str) -> Result<()> {
        self.check_state(state, prefix)?;
        self.copy_from(|entry| &state[&format!("{prefix}{}", entry.name)]);
        Ok(())
    }

    /// Copies the tensors of `state` into the entries of the same names; the others stay.
    ///
    /// # Errors
    /// The first tensor that has no entry or another form; then nothing was copied.
    pub fn load_part(&self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        for (name, source) in state {
            let Some(ours) = self.get(name) else {
                bail!("the model lacks {name}")
            };
            check_same_form(name, ours, source)?;
        }
        let _guard = tch::no_grad_guard();
        for entry in self
            .entries
            .iter()
            .filter(|entry| state.contains_key(&entry.name))
        {
            entry.tensor.shallow_clone().copy_(&state[&entry.name]);
        }
        Ok(())
    }

    /// Moves every parameter towards the one of the same name in `online`: ours = τ ours + (1 − τ)
    /// theirs. Buffers stay. Our parameters are among those of `online`, in its order.
    pub fn follow(&self, online: &Registry, tau: f64) {
        let _guard = tch::no_grad_guard();
        let mut ours = Vec::new();
        let mut theirs = Vec::new();
        let mut candidates = online.trainable();
        for entry in self.trainable() {
            let counterpart = candidates.find(|candidate| candidate.name == entry.name);
            ours.push(entry.tensor.shallow_clone());
            theirs.push(
                counterpart
                    .expect("both networks register their tensors in one order")
                    .tensor
                    .shallow_clone(),
            );
        }
        native::foreach_lerp(&ours, &theirs, 1.0 - tau);
    }

    /// Copies every entry of `other` that exists here too; used to start a target as a copy of the
    /// online network.
    pub fn copy_common(&self, other: &Registry) {
        self.copy_from(|entry| {
            other
                .get(&entry.name)
                .expect("the target's tensors are a part of the online network's")
        });
    }

    fn copy_from<'a>(&self, source: impl Fn(&Entry) -> &'a Tensor) {
        let _guard = tch::no_grad_guard();
        for entry in &self.entries {
            entry.tensor.shallow_clone().copy_(source(entry));
        }
    }

    /// Takes all tensors out of training: the target network's.
    pub fn freeze(&self) {
        for entry in &self.entries {
            let _ = entry.tensor.set_requires_grad(false);
        }
    }

    fn push(&mut self, name: String, tensor: Tensor, role: Role) {
        assert!(self.get(&name).is_none(), "two tensors are called {name}");
        self.entries.push(Entry { name, tensor, role });
    }
}

/// Refuses a tensor of another shape or element type.
pub(crate) fn check_same_form(name: &str, ours: &Tensor, theirs: &Tensor) -> Result<()> {
    ensure!(
        ours.size() == theirs.size(),
        "{name} has shape {:?} in the state, the model needs {:?}",
        theirs.size(),
        ours.size()
    );
    ensure!(
        ours.kind() == theirs.kind(),
        "{name} has type {:?} in the state, the model needs {:?}",
        theirs.kind(),
        ours.kind()
    );
    Ok(())
}

/// A place in the tree of names where layers create their tensors.
pub struct Scope<'a> {
    registry: &'a mut Registry,
    prefix: String,
    seed: Option<u64>,
    kind: Kind,
    device: Device,
    ranks: Ranks,
}

impl<'a> Scope<'a> {
    /// The root of a network whose tensors have this kind and device.
    pub fn root(registry: &'a mut Registry, seed: u64, kind: Kind, device: Device) -> Self {
        Scope {
            registry,
            prefix: String::new(),
            seed: Some(seed),
            kind,
            device,
            ranks: Ranks::alone(),
        }
    }

    /// The same, for layers that compute over the batches of all `ranks`.
    pub fn among(self, ranks: &Ranks) -> Self {
        Scope {
            ranks: ranks.clone(),
            ..self
        }
    }

    /// The root of a network whose tensors will be copied from another: its weights start as zeros,
    /// without drawing.
    pub fn blank(registry: &'a mut Registry, kind: Kind, device: Device) -> Self {
        Scope {
            seed: None,
            ..Scope::root(registry, 0, kind, device)
        }
    }

    /// The part called `name` below this one.
    pub fn sub(&mut self, name: impl std::fmt::Display) -> Scope<'_> {
        Scope {
            prefix: format!("{}{name}.", self.prefix),
            registry: self.registry,
            seed: self.seed,
            kind: self.kind,
            device: self.device,
            ranks: self.ranks.clone(),
        }
    }

    /// Those whose batches are one.
    pub(crate) fn ranks(&self) -> &Ranks {
        &self.ranks
    }

    /// A trained tensor. Filters `[o, i, h, w]` are laid out channels-last.
    pub fn parameter(&mut self, name: &str, shape: &[i64], init: Init, role: Role) -> Tensor {
        let tensor = channels_last(&self.values(name, shape, init)).set_requires_grad(true);
        self.registry.push(
            format!("{}{name}", self.prefix),
            tensor.shallow_clone(),
            role,
        );
        tensor
    }

    /// Initial values, drawn by the full name.
    fn values(&self, name: &str, shape: &[i64], init: Init) -> Tensor {
        match self.seed {
            Some(seed) => init
                .draw(seed, &format!("{}{name}", self.prefix), shape)
                .to_kind(self.kind)
                .to_device(self.device),
            None => Tensor::zeros(shape, (self.kind, self.device)),
        }
    }

    /// A running statistic of the network's kind, one value everywhere.
    pub fn buffer(&mut self, name: &str, shape: &[i64], value: f64) -> Tensor {
        let tensor = Tensor::full(shape, value, (self.kind, self.device));
        self.push_buffer(name, tensor)
    }

    /// A tensor of the network's kind that is neither trained nor averaged, with drawn values.
    pub fn filled_buffer(&mut self, name: &str, shape: &[i64], init: Init) -> Tensor {
        let tensor = self.values(name, shape, init);
        self.push_buffer(name, tensor)
    }

    /// A counter: int64 scalar, kept on the CPU, where counting costs no kernel.
    pub fn counter(&mut self, name: &str) -> Tensor {
        self.push_buffer(name, Tensor::zeros([], (Kind::Int64, Device::Cpu)))
    }

    fn push_buffer(&mut self, name: &str, tensor: Tensor) -> Tensor {
        let path = format!("{}{name}", self.prefix);
        self.registry
            .push(path, tensor.shallow_clone(), Role::Buffer);
        tensor
    }
}

/// The same values with channels innermost in memory, for 4-d tensors; others as they are.
pub fn channels_last(tensor: &Tensor) -> Tensor {
    if tensor.dim() != 4 {
        return tensor.shallow_clone();
    }
    tensor
        .permute([0, 2, 3, 1])
        .contiguous()
        .permute([0, 3, 1, 2])
}

#[cfg(test)]
mod tests;
