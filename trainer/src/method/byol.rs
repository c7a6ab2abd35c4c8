//! BYOL (Grill et al., 2020): the image branch alone (paper, section 3.1, equation 1; RECIPE 5).

use std::collections::BTreeMap;

use anyhow::Result;
use tch::{Device, Kind, Tensor, no_grad};

use super::config::MethodConfig;
use super::loss::{neg_cos, spread};
use super::multisiam::pool;
use super::{Losses, Method, Network, Views, load_networks};
use crate::model::heads::{Head, HeadDims, HeadForm, HeadPart};
use crate::model::params::{Registry, Scope};
use crate::model::{ModelConfig, ResNet};
use crate::native;

/// BYOL with its networks.
pub struct Byol {
    direction_scale: f64,
    online: Registry,
    target: Registry,
    online_backbone: ResNet,
    online_projector: Head,
    predictor: Head,
    target_backbone: ResNet,
    target_projector: Head,
    train: bool,
}

impl Byol {
    /// Both networks on `device`; the target starts as a copy of the online one.
    pub fn new(config: &MethodConfig, model: &ModelConfig, device: Device, kind: Kind, seed: u64) -> Self {
        let (mut online, mut target) = (Registry::default(), Registry::default());
        let mut root = Scope::root(&mut online, seed, kind, device);
        let online_backbone = ResNet::new(root.sub("backbone"), model);
        let online_projector = head(&mut root, HeadPart::Projector, model);
        let predictor = head(&mut root, HeadPart::Predictor, model);
        let mut root = Scope::blank(&mut target, kind, device);
        let target_backbone = ResNet::new(root.sub("backbone"), model);
        let target_projector = head(&mut root, HeadPart::Projector, model);
        target.freeze();
        target.copy_common(&online);
        Byol {
            direction_scale: config.direction_scale(),
            online,
            target,
            online_backbone,
            online_projector,
            predictor,
            target_backbone,
            target_projector,
            train: true,
        }
    }

    /// Online projection and prediction of a view, and the target's projection: `[n, d]` each.
    fn project(&self, image: &Tensor) -> [Tensor; 3] {
        let features = pool(&self.online_backbone.forward(image, self.train));
        let z = self.online_projector.forward(&features, self.train);
        let q = self.predictor.forward(&z, self.train);
        let z_target = no_grad(|| {
            let features = pool(&self.target_backbone.forward(image, self.train));
            self.target_projector.forward(&features, self.train)
        });
        [z, q, z_target]
    }
}

/// `projector.*` or `predictor.*` below `root`.
fn head(root: &mut Scope<'_>, part: HeadPart, model: &ModelConfig) -> Head {
    let (name, input) = match part {
        HeadPart::Projector => ("projector", model.arch.channels()),
        HeadPart::Predictor => ("predictor", model.dim),
    };
    let dims = HeadDims { input, hidden: model.hidden, output: model.dim };
    Head::new(root.sub(name), HeadForm::Mlp, part, dims, model.head_init)
}

impl Method for Byol {
    fn losses(&self, views: &Views) -> Losses {
        let [z_a, q_a, target_a] = self.project(&views.a.image);
        let [z_b, q_b, target_b] = self.project(&views.b.image);
        let _exact = native::autocast_off(q_a.device());
        let loss = neg_cos(&q_a, &target_b) + neg_cos(&q_b, &target_a);
        Losses {
            total: &loss * self.direction_scale,
            loss_1d: loss.detach() * 0.5,
            loss_2d: None,
            z_std: (spread(&z_a) + spread(&z_b)) * 0.5,
            z2d_std: None,
        }
    }

    fn params(&self) -> &Registry {
        &self.online
    }

    fn update_target(&mut self, tau: f64) {
        self.target.follow(&self.online, tau);
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        let mut state = self.online.state("online.");
        state.extend(self.target.state("target."));
        state
    }

    fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        load_networks(state, &self.online, &self.target)
    }

    fn backbone(&self, network: Network) -> &ResNet {
        match network {
            Network::Online => &self.online_backbone,
            Network::Target => &self.target_backbone,
        }
    }

    /// BYOL has no 2D branch: the backbone's own map.
    fn cell_map(&self, network: Network, images: &Tensor) -> Tensor {
        no_grad(|| self.backbone(network).forward(images, false))
    }

    fn set_train(&mut self, train: bool) {
        self.train = train;
    }
}
