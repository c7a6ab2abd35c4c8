//! What is trained: one method per file, chosen by [`heads`].
//!
//! A [`Method`] is two [`Networks`] and, on top of their backbones, the [`Heads`] that make a loss
//! of their maps. The online network learns; the target network is its moving average and never
//! sees a gradient. Both run in training mode with batch-norm statistics of their own, and each
//! view is a batch of its own.
//!
//! Precision: the networks follow the ambient autocast (the caller holds `native::autocast` around
//! [`Method::losses`] and drops it before the backward pass); norms, cosines, attention and K-means
//! run in float32 at least.

pub mod byol;
pub mod cells;
pub mod config;
pub mod direction;
pub mod loss;
pub mod moco;
pub mod multisiam;
pub mod multisiam_moco;
pub mod networks;
pub mod queue;

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use tch::{Device, Kind, Tensor, no_grad};

use crate::cluster::Clusters;
use crate::model::{Head, ModelConfig, Registry, ResNet};

use byol::Byol;
use config::Symmetric;
use direction::Direction;
use moco::Moco;
use multisiam::MultiSiam;
use multisiam_moco::MultiSiamMoco;
use networks::{Networks, Roots, Setup};

pub use config::{Align, MethodConfig, MethodName};

/// One augmented view of a batch of frames.
#[derive(Debug)]
pub struct View {
    /// `[n, 3, h, w]`, floating point, channels-last, normalised.
    pub image: Tensor,
    /// Crop in the frame, `[n, 4]` x, y, w, h in pixels.
    pub crop: Tensor,
    /// The frame, `[n, 2]` width, height in pixels.
    pub frame: Tensor,
    /// Whether the view was mirrored, `[n]` bool.
    pub flip: Tensor,
}

/// Both views of a batch of frames.
#[derive(Debug)]
pub struct Views {
    /// First view.
    pub a: View,
    /// Second view.
    pub b: View,
}

/// What one forward pass says. Scalars on the device; reading one waits for it.
#[derive(Debug)]
pub struct Losses {
    /// What is optimised, with its graph: `cos_scale` × −cos summed over both directions,
    /// λ-weighted (RECIPE 3.6). In the place of −cos, MoCo's image branch has InfoNCE, unscaled.
    pub total: Tensor,
    /// Image branch: mean over the directions of −cos, whose minimum is −1, or of InfoNCE, whose
    /// minimum is 0. Detached.
    pub loss_1d: Tensor,
    /// 2D branch: mean −cos over the directions; `None` for methods without one. Detached.
    pub loss_2d: Option<Tensor>,
    /// Spread of the online projections: their standard deviation over the batch after L2
    /// normalisation, times √d, mean over channels and views. 1 is uniform on the sphere, 0 is
    /// collapse.
    pub z_std: Tensor,
    /// The same for the cells of the projected maps, over batch and cells; `None` for methods
    /// without a 2D branch.
    pub z2d_std: Option<Tensor>,
    /// Online projections of the first direction's view, `[n, d]`. Detached.
    pub z: Tensor,
    /// Clusters of the first direction's target map; `None` for methods that do not cluster.
    pub clusters: Option<Clusters>,
}

/// One of a method's two networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// The one that learns.
    Online,
    /// Its moving average.
    Target,
}

/// What a method makes of the backbones' maps.
pub trait Heads: Send {
    /// The losses of a batch, in one or both directions. In training mode this moves running
    /// statistics and queues.
    fn losses(&self, directions: &[Direction<'_>], train: bool) -> Losses;

    /// The head that makes the map of the 2D branch, in a method that has one.
    fn cell_projector(&self, _network: Network) -> Option<&Head> {
        None
    }
}

/// A self-supervised method: both networks, and its heads on top.
pub struct Method {
    networks: Networks,
    heads: Box<dyn Heads>,
    symmetric: Symmetric,
}

impl Method {
    /// The losses of a batch. In training mode this moves the running statistics of both networks'
    /// batch norms, and queues.
    pub fn losses(&self, views: &Views) -> Losses {
        let directions = self.networks.directions(views, self.symmetric);
        self.heads.losses(&directions, self.networks.is_training())
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
    };
    let (mut networks, heads) = Networks::new(setup, |roots| heads(roots, channels, config, model));
    if config.name.has_queue() {
        networks.shuffle_keys(model.bn_splits);
    }
    Ok(Method {
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
