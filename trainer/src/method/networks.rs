//! The two networks that every method has: one that learns, and its moving average.
//!
//! Both are registries of named tensors with a backbone below `backbone.`; a method adds its heads.
//! What belongs to neither (a queue, a counter) lies in a third registry, the memory, and is part
//! of the state too. The target starts as a copy of the online network, holds no predictor, never
//! sees a gradient, and keeps batch-norm statistics of its own.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use model::{Head, ModelConfig, Network, Registry, ResNet, Scope};
use native::Ranks;
use tch::{Device, Kind, Tensor, no_grad};

use super::direction::{Direction, Seen};
use super::views::View;

/// Prefixes of the three registries in a state, in their order.
const PREFIXES: [&str; 3] = ["online.", "target.", "memory."];

/// What networks are made of, and where.
#[derive(Clone, Copy)]
pub(crate) struct Setup<'a> {
    /// Backbone and heads.
    pub model: &'a ModelConfig,
    /// Device of all tensors.
    pub device: Device,
    /// Kind of all parameters.
    pub kind: Kind,
    /// Seed of the initial values.
    pub seed: u64,
    /// Those whose batches are one.
    pub ranks: &'a Ranks,
}

/// Where heads create their tensors.
pub struct Roots<'a> {
    /// The network that learns; predictors belong here alone.
    pub online: Scope<'a>,
    /// Its moving average.
    pub target: Scope<'a>,
    /// What belongs to neither.
    pub memory: Scope<'a>,
    /// The run's seed, for what is drawn while training.
    pub seed: u64,
    /// Those whose batches are one.
    pub ranks: Ranks,
}

impl Roots<'_> {
    /// One part for each network.
    pub fn twin<H>(&mut self, make: impl Fn(&mut Scope<'_>) -> H) -> Twin<H> {
        Twin {
            online: make(&mut self.online),
            target: make(&mut self.target),
        }
    }
}

/// A part that both networks have.
#[derive(Debug)]
pub struct Twin<H> {
    /// The learning one.
    pub online: H,
    /// The averaged one.
    pub target: H,
}

impl Twin<Head> {
    /// Passes a batch through each network's head: see [`Head::forward_all`]. The target's parameters
    /// are frozen, and the maps that it sees have no graph; so its result has none.
    pub(crate) fn forward(&self, online: &Tensor, target: &Tensor, train: bool) -> [Tensor; 2] {
        Head::forward_all([&self.online, &self.target], [online, target], train)
    }
}

impl<H> Twin<H> {
    /// The part of this network.
    pub fn of(&self, network: Network) -> &H {
        match network {
            Network::Online => &self.online,
            Network::Target => &self.target,
        }
    }
}

/// Both networks' tensors and backbones.
pub(crate) struct Networks {
    online: Registry,
    target: Registry,
    memory: Registry,
    backbones: Twin<ResNet>,
    ranks: Ranks,
    /// Whether norms of the backbones have statistics of several ranks.
    share_norms: bool,
    /// Parts between which the target's batches are shuffled; 1 leaves them as they are.
    key_parts: i64,
    train: bool,
}

impl Networks {
    /// Both networks with the heads that `heads` makes, in training mode.
    pub(crate) fn new<H>(setup: Setup<'_>, heads: impl FnOnce(&mut Roots<'_>) -> H) -> (Self, H) {
        let Setup {
            model,
            device,
            kind,
            seed,
            ranks,
        } = setup;
        let own = Ranks::alone();
        let of_norms = if model.sync_bn { ranks } else { &own };
        let [mut online, mut target, mut memory] = [(); 3].map(|()| Registry::default());
        let mut roots = Roots {
            online: Scope::root(&mut online, seed, kind, device).among(of_norms),
            target: Scope::blank(&mut target, kind, device).among(of_norms),
            memory: Scope::root(&mut memory, seed, kind, device),
            seed,
            ranks: ranks.clone(),
        };
        let parts = model.norm_parts(ranks.size() as i64);
        let backbone = ModelConfig {
            bn_splits: match model.sync_bn {
                true => parts,
                false => parts / ranks.size() as i64,
            },
            ..model.clone()
        };
        let backbones = roots.twin(|root| ResNet::new(root.sub("backbone"), &backbone));
        let heads = heads(&mut roots);
        target.freeze();
        target.copy_common(&online);
        (
            Networks {
                online,
                target,
                memory,
                backbones,
                ranks: ranks.clone(),
                share_norms: model.sync_bn && parts < ranks.size() as i64,
                key_parts: 1,
                train: true,
            },
            heads,
        )
    }

    /// From now on the target sees its batches shuffled between the `parts` of its batch norms
    /// (MoCo, section 3.3, "Shuffling BN": a query and its key must not share statistics).
    pub(crate) fn shuffle_keys(&mut self, parts: i64) {
        self.key_parts = parts;
    }

    /// The online network's tensors.
    pub(crate) fn online(&self) -> &Registry {
        &self.online
    }

    /// Target = τ target + (1 − τ) online, parameters only.
    pub(crate) fn follow(&self, tau: f64) {
        self.target.follow(&self.online, tau);
    }

    /// The trunk of a network.
    pub(crate) fn backbone(&self, network: Network) -> &ResNet {
        self.backbones.of(network)
    }

    /// Whether batch norms use and record batch statistics.
    pub(crate) fn is_training(&self) -> bool {
        self.train
    }

    /// Training mode or evaluation mode.
    pub(crate) fn set_train(&mut self, train: bool) {
        self.train = train;
    }

    /// Passes `from` through the online backbone and `to` through the target's, each as a batch of
    /// its own.
    pub(crate) fn direction<'a>(&self, from: &'a View, to: &'a View) -> Direction<'a> {
        let Twin { online, target } = &self.backbones;
        let [of_from, of_to] = if self.share_norms && self.key_parts == 1 {
            ResNet::forward_all([online, target], [&from.image, &to.image], self.train)
        } else {
            // The target's maps are gone before the online network's pile up.
            let of_to = self.target_map(&to.image);
            [online.forward(&from.image, self.train), of_to]
        };
        assert!(!of_to.requires_grad(), "the target's parameters are frozen");
        Direction {
            from: Seen {
                map: of_from,
                view: from,
            },
            to: Seen {
                map: of_to,
                view: to,
            },
        }
    }

    /// The target's map of a batch, without graph.
    fn target_map(&self, image: &Tensor) -> Tensor {
        let forward = |image: &Tensor| no_grad(|| self.backbones.target.forward(image, self.train));
        match self.key_parts {
            1 => forward(image),
            parts => {
                let hands = image.size()[0] * self.ranks.size() as i64 / parts;
                self.deal(&forward(&self.deal(image, parts)), hands)
            }
        }
    }

    /// Deals the samples of all ranks out; each keeps as many as it had.
    fn deal(&self, x: &Tensor, parts: i64) -> Tensor {
        if !self.ranks.are_several() {
            return deal(x, parts);
        }
        let rows = x.permute([0, 2, 3, 1]).contiguous();
        let n = x.size()[0] as usize * self.ranks.size();
        let dealt = self
            .ranks
            .permute(&rows, |row| dealt_from(row, n, parts as usize));
        dealt.permute([0, 3, 1, 2])
    }

    /// Those whose batches are one.
    pub(crate) fn ranks(&self) -> &Ranks {
        &self.ranks
    }

    /// Running statistics that ranks move apart: those of norms over fewer than all of them.
    pub(crate) fn statistics_apart(&self, model: &ModelConfig) -> Vec<Tensor> {
        if !self.ranks.are_several() || model.norm_parts(self.ranks.size() as i64) == 1 {
            return Vec::new();
        }
        [&self.online, &self.target]
            .into_iter()
            .flat_map(Registry::buffer_tensors)
            .filter(|tensor| tensor.kind() != Kind::Int64)
            .collect()
    }

    /// Every tensor as a detached handle, by full name.
    pub(crate) fn state(&self) -> Vec<(String, Tensor)> {
        self.registries()
            .flat_map(|(prefix, registry)| registry.state(prefix))
            .collect()
    }

    /// Handles to the buffers of all three registries: running statistics, queues, counters.
    pub(crate) fn buffers(&self) -> Vec<Tensor> {
        self.registries()
            .flat_map(|(_, registry)| registry.buffer_tensors())
            .collect()
    }

    /// Takes a state back.
    ///
    /// # Errors
    /// The first misfit, with its name; then nothing was changed.
    pub(crate) fn load_state(&self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        self.registries()
            .try_for_each(|(prefix, registry)| registry.check_state(state, prefix))?;
        let is_known = |name: &str| {
            self.registries().any(|(prefix, r)| {
                name.strip_prefix(prefix)
                    .is_some_and(|rest| r.get(rest).is_some())
            })
        };
        if let Some(extra) = state.keys().find(|name| !is_known(name)) {
            bail!("the state has {extra}, which this model lacks");
        }
        self.registries()
            .try_for_each(|(prefix, registry)| registry.load_state(state, prefix))
    }

    fn registries(&self) -> impl Iterator<Item = (&'static str, &Registry)> {
        PREFIXES
            .into_iter()
            .zip([&self.online, &self.target, &self.memory])
    }
}

/// Deals the samples of `[n, c, h, w]` out to `n / parts` hands as one deals cards: sample `j` of
/// part `i` becomes sample `i` of hand `j`. Dealing with `n / parts` undoes it.
// NOTE: MoCo draws a new permutation every time. The loader's order is random already, so a fixed
// one breaks up the parts as well, and evenly: it needs no generator, and nothing more in a
// checkpoint.
fn deal(x: &Tensor, parts: i64) -> Tensor {
    let (n, c, h, w) = x.size4().expect("images and maps have four axes");
    let rows = x.permute([0, 2, 3, 1]).reshape([parts, n / parts, h, w, c]);
    rows.transpose(0, 1)
        .reshape([n, h, w, c])
        .permute([0, 3, 1, 2])
}

/// Where [`deal`] takes sample `row` of `n` from.
fn dealt_from(row: usize, n: usize, parts: usize) -> usize {
    row % parts * (n / parts) + row / parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dealt_samples_come_from_every_part_and_go_back() {
        let x = Tensor::arange(12, (Kind::Double, Device::Cpu)).view([12, 1, 1, 1]);
        let dealt = deal(&x, 3);
        let values: Vec<f64> = Vec::try_from(dealt.reshape([-1])).unwrap();
        assert_eq!(values, [0., 4., 8., 1., 5., 9., 2., 6., 10., 3., 7., 11.]);
        let sources = (0..12).map(|row| dealt_from(row, 12, 3) as f64);
        assert!(sources.eq(values));
        assert_eq!(deal(&dealt, 4), x);
    }
}
