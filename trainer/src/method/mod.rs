//! What is trained: one method per file, chosen by [`heads`](heads()).
//!
//! A [`Method`] is two `Networks` and, on top of their backbones, the [`Heads`] that make a loss
//! of their maps. The online network learns; the target network is its moving average and never
//! sees a gradient. Both run in training mode with batch-norm statistics of their own, and each
//! view is a batch of its own.
//!
//! Precision: the networks follow the ambient autocast (the caller holds `native::autocast` around
//! [`Pass::direction`] and drops it before the backward pass); norms, cosines, attention and K-means
//! run in float32 at least.

mod byol;
mod cells;
mod config;
mod direction;
mod heads;
mod loss;
mod moco;
mod multisiam;
mod multisiam_moco;
mod networks;
mod pass;
mod queue;
mod terms;
mod views;

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use model::{ModelConfig, Network, Registry, ResNet};
use native::Ranks;
use tch::{Device, Kind, Tensor, no_grad};

use byol::Byol;
use moco::Moco;
use multisiam::MultiSiam;
use multisiam_moco::MultiSiamMoco;
use networks::{Networks, Setup};

pub use config::{Align, MethodConfig, MethodName, Symmetric, Target};
pub use direction::{Direction, Seen};
pub use heads::Heads;
pub use networks::Roots;
pub use pass::Pass;
pub use terms::{Losses, Tally};
pub use views::{View, Views};

/// A self-supervised method: both networks, and its heads on top.
pub struct Method {
    networks: Networks,
    heads: Box<dyn Heads>,
    symmetric: Symmetric,
    statistics_apart: Vec<Tensor>,
}

impl Method {
    /// Begins the way of a batch through both networks: [`Pass::direction`] until it gives none,
    /// and a backward pass behind each; then [`Pass::losses`].
    pub fn pass<'a>(&'a self, views: &'a Views) -> Pass<'a> {
        Pass::new(self, views)
    }

    /// The least value of [`Losses::total`], for methods that can come near theirs.
    pub fn least_loss(&self) -> Option<f64> {
        let least = self.heads.weights().least_total(self.symmetric);
        self.heads.comes_near_least().then_some(least)
    }

    /// The online network's tensors, ordered; the optimizer takes `trainable()` of it.
    pub fn params(&self) -> &Registry {
        self.networks.online()
    }

    /// Target = τ target + (1 − τ) online, for parameters (paper, equation 2). Batch-norm
    /// statistics are not averaged: the target keeps its own.
    pub fn update_target(&mut self, tau: f64) {
        self.networks.follow(tau);
    }

    /// Handles to what a forward pass in training mode moves: both networks' running statistics,
    /// queues and counters.
    pub fn buffers(&self) -> Vec<Tensor> {
        self.networks.buffers()
    }

    /// Handles to the running statistics that ranks move apart, and have to average: those of batch
    /// norms over fewer than all of them. Averaging behind every step is the same as averaging once
    /// at the end, since they are linear in what each batch gives.
    pub(crate) fn statistics_apart(&self) -> &[Tensor] {
        &self.statistics_apart
    }

    /// Everything a checkpoint needs, as detached handles (not copies): `online.*`, then
    /// `target.*`, batch-norm buffers included, then `memory.*` (queues and counters). Backbones
    /// lie under `online.backbone.` and `target.backbone.`, with torchvision's names below.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        self.networks.state()
    }

    /// Takes a state back; the first misfit (missing, extra, shape, type) is an error that names
    /// it, and changes nothing.
    pub fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        self.networks.load_state(state)
    }

    /// The trunk of a network.
    pub fn backbone(&self, network: Network) -> &ResNet {
        self.networks.backbone(network)
    }

    /// The map that the 2D branch works on, for views `[n, 3, h, w]` that are not mirrored:
    /// `[n, d, h', w']`, without gradient and with running statistics. What a cluster picture
    /// shows. Without a 2D branch, the backbone's own map.
    pub fn cell_map(&self, network: Network, images: &Tensor) -> Tensor {
        no_grad(|| {
            let map = self.backbone(network).forward(images, false);
            match self.heads.cell_projector(network) {
                Some(projector) => projector.forward(&map, false),
                None => map,
            }
        })
    }

    /// Training mode (the start) or evaluation mode, for both networks.
    pub fn set_train(&mut self, train: bool) {
        self.networks.set_train(train);
    }
}

/// Builds the method of `config` on `device` with parameters of `kind` (`Float`, or `Double` for
/// tests).
///
/// # Errors
/// A configuration that cannot work, naming the key.
pub fn build(
    config: &MethodConfig,
    model: &ModelConfig,
    device: Device,
    kind: Kind,
    seed: u64,
) -> Result<Method> {
    build_among(&Ranks::alone(), config, model, device, kind, seed)
}

/// The same for one of several ranks: what it computes of its part of a batch, all of them together
/// compute of the whole.
///
/// # Errors
/// As for [`build`].
pub(crate) fn build_among(
    ranks: &Ranks,
    config: &MethodConfig,
    model: &ModelConfig,
    device: Device,
    kind: Kind,
    seed: u64,
) -> Result<Method> {
    config.check()?;
    model.check()?;
    ensure!(
        matches!(kind, Kind::Float | Kind::Double),
        "parameters are Float or Double, not {kind:?}: lower precision is autocast's"
    );
    let channels = model.arch.channels();
    let setup = Setup {
        model,
        device,
        kind,
        seed,
        ranks,
    };
    let (mut networks, heads) = Networks::new(setup, |roots| heads(roots, channels, config, model));
    if config.name.has_queue() {
        networks.shuffle_keys(model.norm_parts(ranks.size() as i64));
    }
    Ok(Method {
        statistics_apart: networks.statistics_apart(model),
        networks,
        heads,
        symmetric: config.symmetric,
    })
}

/// The heads of `config` on maps of `channels` channels.
pub fn heads(
    roots: &mut Roots<'_>,
    channels: i64,
    config: &MethodConfig,
    model: &ModelConfig,
) -> Box<dyn Heads> {
    match config.name {
        MethodName::Multisiam => Box::new(MultiSiam::new(roots, channels, config, model)),
        MethodName::MultisiamMoco => Box::new(MultiSiamMoco::new(roots, channels, config, model)),
        MethodName::Byol => Box::new(Byol::new(roots, channels, config, model)),
        MethodName::Moco | MethodName::Mocov2 => {
            Box::new(Moco::new(roots, channels, config, model))
        }
    }
}
