//! What is trained: one method per file, chosen by [`build`].
//!
//! A method owns its networks. The online network learns; the target network is its moving average and never sees a
//! gradient. Both run in training mode with batch-norm statistics of their own, and each view is a batch of its own.
//!
//! Precision: the networks follow the ambient autocast (the caller holds `native::autocast` around [`Method::losses`] and
//! drops it before the backward pass); norms, cosines, attention and K-means run in float32 at least.

pub mod byol;
pub mod config;
pub mod loss;
pub mod multisiam;

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use tch::{Device, Kind, Tensor};

use crate::model::{ModelConfig, Registry, ResNet};

pub use config::{Align, MethodConfig, MethodName};

/// One augmented view of a batch of frames.
#[derive(Debug)]
pub struct View {
    /// `[n, 3, h, w]`, floating point, channels-last, normalised.
    pub image: Tensor,
    /// Crop in the frame, `[n, 4]` x, y, w, h in pixels.
    pub crop: Tensor,
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
    /// What is optimised, with its graph: `cos_scale` × −cos summed over both directions, λ-weighted (RECIPE 3.6).
    pub total: Tensor,
    /// Image branch: mean −cos over both directions, detached; −1 is the minimum.
    pub loss_1d: Tensor,
    /// 2D branch, likewise; `None` for methods without one.
    pub loss_2d: Option<Tensor>,
    /// Spread of the online projections: their standard deviation over the batch after L2 normalisation, times √d, mean
    /// over channels and views. 1 is uniform on the sphere, 0 is collapse.
    pub z_std: Tensor,
    /// The same for the cells of the projected maps, over batch and cells; `None` for methods without a 2D branch.
    pub z2d_std: Option<Tensor>,
}

/// One of a method's two networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// The one that learns.
    Online,
    /// Its moving average.
    Target,
}

/// A self-supervised method with its networks.
pub trait Method: Send {
    /// The losses of a batch. In training mode this moves the running statistics of both networks' batch norms.
    fn losses(&self, views: &Views) -> Losses;

    /// The online network's tensors, ordered; the optimizer takes `trainable()` of it.
    fn params(&self) -> &Registry;

    /// Target = τ target + (1 − τ) online, for parameters (paper, equation 2). Batch-norm statistics are not averaged: the
    /// target keeps its own.
    fn update_target(&mut self, tau: f64);

    /// Everything a checkpoint needs, as detached handles (not copies): `online.*`, then `target.*`, batch-norm buffers
    /// included. Backbones lie under `online.backbone.` and `target.backbone.`, with torchvision's names below.
    fn state(&self) -> Vec<(String, Tensor)>;

    /// Takes a state back; the first misfit (missing, extra, shape, type) is an error that names it, and changes nothing.
    fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()>;

    /// The trunk of a network.
    fn backbone(&self, network: Network) -> &ResNet;

    /// The map that the 2D branch works on, for views `[n, 3, h, w]` that are not mirrored: `[n, d, h', w']`, without
    /// gradient and with running statistics. What a cluster picture shows.
    fn cell_map(&self, network: Network, images: &Tensor) -> Tensor;

    /// Training mode (the start) or evaluation mode, for both networks.
    fn set_train(&mut self, train: bool);
}

/// Builds the method of `config` on `device` with parameters of `kind` (`Float`, or `Double` for tests).
///
/// # Errors
/// A configuration that cannot work, naming the key.
pub fn build(
    config: &MethodConfig,
    model: &ModelConfig,
    device: Device,
    kind: Kind,
    seed: u64,
) -> Result<Box<dyn Method>> {
    config.check()?;
    model.check()?;
    ensure!(
        matches!(kind, Kind::Float | Kind::Double),
        "parameters are Float or Double, not {kind:?}: lower precision is autocast's"
    );
    Ok(match config.name {
        MethodName::Multisiam => Box::new(multisiam::MultiSiam::new(config, model, device, kind, seed)),
        MethodName::Byol => Box::new(byol::Byol::new(config, model, device, kind, seed)),
    })
}

/// Refuses names in `state` that neither network has, then loads both.
fn load_networks(state: &BTreeMap<String, Tensor>, online: &Registry, target: &Registry) -> Result<()> {
    let known = online.state("online.").len() + target.state("target.").len();
    online.check_state(state, "online.")?;
    target.check_state(state, "target.")?;
    if state.len() > known {
        let extra = state
            .keys()
            .find(|name| {
                let in_network =
                    |prefix, net: &Registry| name.strip_prefix(prefix).is_some_and(|n| net.get(n).is_some());
                !in_network("online.", online) && !in_network("target.", target)
            })
            .expect("a larger state has a name of its own");
        anyhow::bail!("the state has {extra}, which this model lacks");
    }
    online.load_state(state, "online.")?;
    target.load_state(state, "target.")
}
