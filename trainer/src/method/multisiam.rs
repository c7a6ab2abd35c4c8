//! MultiSiam (Chen et al., ICCV 2021, section 3) on BYOL.
//!
//! Image branch: BYOL's loss on pooled features (equation 1). 2D branch: project the C5 maps cell by cell, undo flips,
//! align, predict, attend (equations 8, 9), and compare each cell with the centroid of its partner's cluster (equation
//! 10). The branches have projectors and predictors of their own (RECIPE 3.2). L = λ L_1D + (1 − λ) L_2D (equation 11).

use std::collections::BTreeMap;

use anyhow::Result;
use tch::{Device, Kind, Tensor, no_grad};

use super::config::{Align, AttentionInput, MethodConfig, Target};
use super::loss::{neg_cos, neg_cos_dense, spread, spread_of_cells};
use super::{Losses, Method, Network, Views, load_networks};
use crate::align::flip_back;
use crate::align::offset::offset_map;
use crate::align::roi::{overlap_box, roi_align};
use crate::attention::{at_least_f32, self_attention};
use crate::cluster::kmeans;
use crate::model::heads::{Head, HeadDims, HeadForm, HeadPart};
use crate::model::params::{Registry, Scope};
use crate::model::{ModelConfig, ResNet};
use crate::native;

/// The heads that both networks have.
#[derive(Debug)]
pub struct Projectors {
    /// Image branch, on pooled features.
    pub image: Head,
    /// 2D branch, on maps.
    pub cells: Head,
}

/// The heads that only the online network has.
#[derive(Debug)]
pub struct Predictors {
    /// Image branch.
    pub image: Head,
    /// 2D branch; takes the offset channels too when there are any.
    pub cells: Head,
}

impl Projectors {
    /// `projector.*` and `projector_2d.*` below `root`, on maps of `channels` channels.
    pub fn new(root: &mut Scope<'_>, channels: i64, model: &ModelConfig) -> Self {
        let dims = HeadDims { input: channels, hidden: model.hidden, output: model.dim };
        let mut head = |name, form| Head::new(root.sub(name), form, HeadPart::Projector, dims, model.head_init);
        Projectors { image: head("projector", HeadForm::Mlp), cells: head("projector_2d", HeadForm::Conv) }
    }
}

impl Predictors {
    /// `predictor.*` and `predictor_2d.*` below `root`.
    pub fn new(root: &mut Scope<'_>, config: &MethodConfig, model: &ModelConfig) -> Self {
        let mut head = |name, form, input| {
            let dims = HeadDims { input, hidden: model.hidden, output: model.dim };
            Head::new(root.sub(name), form, HeadPart::Predictor, dims, model.head_init)
        };
        Predictors {
            image: head("predictor", HeadForm::Mlp, model.dim),
            cells: head("predictor_2d", HeadForm::Conv, model.dim + config.extra_channels()),
        }
    }
}

/// One view behind the backbones: what the heads need of it.
pub struct Features<'a> {
    /// The online network's C5 map, `[n, c, h, w]`.
    pub online: Tensor,
    /// The target network's, without graph.
    pub target: Tensor,
    /// Crop in the frame, `[n, 4]` x, y, w, h in pixels.
    pub crop: &'a Tensor,
    /// Whether the view was mirrored, `[n]`.
    pub flip: &'a Tensor,
}

/// One direction: mean −cos of both branches, with graph, and the online projections.
struct Direction {
    loss_1d: Tensor,
    loss_2d: Tensor,
    z: Tensor,
    g: Tensor,
}

/// The heads of both networks and the loss on top of feature maps; MultiSiam without its backbones.
#[derive(Debug)]
pub struct Branches {
    /// Switches.
    pub config: MethodConfig,
    /// Online projectors.
    pub online: Projectors,
    /// Online predictors.
    pub predict: Predictors,
    /// Target projectors.
    pub target: Projectors,
    /// Batch norms use and record batch statistics.
    pub train: bool,
}

impl Branches {
    /// Equation 11, both directions.
    pub fn losses(&self, a: &Features<'_>, b: &Features<'_>) -> Losses {
        let ab = self.direction(a, b);
        let ba = self.direction(b, a);
        let loss_1d = ab.loss_1d + ba.loss_1d;
        let loss_2d = ab.loss_2d + ba.loss_2d;
        let lambda = self.config.lambda;
        Losses {
            total: (&loss_1d * lambda + &loss_2d * (1.0 - lambda)) * self.config.direction_scale(),
            loss_1d: loss_1d.detach() * 0.5,
            loss_2d: Some(loss_2d.detach() * 0.5),
            z_std: (spread(&ab.z) + spread(&ba.z)) * 0.5,
            z2d_std: Some((spread_of_cells(&ab.g) + spread_of_cells(&ba.g)) * 0.5),
        }
    }

    /// The online network looks at `from` and predicts what the target network makes of `to`.
    fn direction(&self, from: &Features<'_>, to: &Features<'_>) -> Direction {
        let (loss_1d, z) = self.image_branch(from, to);
        let (loss_2d, g) = self.cell_branch(from, to);
        Direction { loss_1d, loss_2d, z, g }
    }

    /// Equation 1, and the online projection `[n, d]`.
    fn image_branch(&self, from: &Features<'_>, to: &Features<'_>) -> (Tensor, Tensor) {
        let z = self.online.image.forward(&pool(&from.online), self.train); // [n, d]
        let q = self.predict.image.forward(&z, self.train); // [n, d]
        let z_target = no_grad(|| self.target.image.forward(&pool(&to.target), self.train)); // [n, d]
        let _exact = native::autocast_off(q.device());
        (neg_cos(&q, &z_target), z)
    }

    /// Equation 10, and the projected online map `[n, d, h, w]`.
    fn cell_branch(&self, from: &Features<'_>, to: &Features<'_>) -> (Tensor, Tensor) {
        let project =
            |head: &Head, map: &Tensor, flip: &Tensor| at_least_f32(&flip_back(&head.forward(map, self.train), flip));
        let g = project(&self.online.cells, &from.online, from.flip); // G = g_θ(F), [n, d, h, w]
        let g_target = no_grad(|| project(&self.target.cells, &to.target, to.flip)); // G' = g_ξ(F')
        let (r, r_target) = self.align(&g, &g_target, from.crop, to.crop);
        let v = self.predict.cells.forward(&r, self.train); // q_θ(R), [n, d, h, w]

        let _exact = native::autocast_off(v.device());
        let q = self.attend(&g, &r, &at_least_f32(&v)); // Q, [n, d, h, w]
        (self.compare(&q, &r_target), g)
    }

    /// R and R' of equations 3 to 7.
    fn align(&self, g: &Tensor, g_target: &Tensor, crop: &Tensor, crop_target: &Tensor) -> (Tensor, Tensor) {
        let _exact = native::autocast_off(g.device());
        let (from, to) = (crop.to_kind(g.kind()), crop_target.to_kind(g.kind()));
        match self.config.align {
            Align::None => (g.shallow_clone(), g_target.shallow_clone()),
            Align::Roi => {
                let sampling = self.config.sampling();
                (
                    roi_align(g, &overlap_box(&from, &to), sampling),
                    no_grad(|| roi_align(g_target, &overlap_box(&to, &from), sampling)),
                )
            }
            Align::Offset => {
                let (_, _, h, w) = g.size4().expect("a map has four axes");
                let (normalize, mode) = (self.config.offset_normalize, self.config.coord_mode);
                let offsets = offset_map(&from, &to, (h, w), normalize, mode); // ΔC, [n, 2, h, w]
                (Tensor::cat(&[g, &offsets], 1), g_target.shallow_clone())
            }
        }
    }

    /// Q of equation 8, or the prediction itself with attention off.
    fn attend(&self, g: &Tensor, r: &Tensor, v: &Tensor) -> Tensor {
        if !self.config.attention {
            return v.shallow_clone();
        }
        let compared = match (self.config.attn_input, self.config.align) {
            (AttentionInput::Projected, Align::Offset) => g,
            _ => r,
        };
        self_attention(compared, v, self.config.attention_knobs())
    }

    /// Equation 10 and its ablations.
    fn compare(&self, q: &Tensor, r_target: &Tensor) -> Tensor {
        let clusters = || kmeans(r_target, self.config.kmeans());
        match self.config.target {
            Target::Centroid => neg_cos(q, &clusters().centroid_map()),
            Target::Dense => neg_cos_dense(q, r_target, &clusters()),
            Target::Pixel => neg_cos(q, r_target),
        }
    }
}

/// Global average pooling: `[n, c, h, w]` to `[n, c]`.
pub(super) fn pool(map: &Tensor) -> Tensor {
    map.mean_dim([2, 3].as_slice(), false, None::<Kind>)
}

/// MultiSiam with its networks.
pub struct MultiSiam {
    online: Registry,
    target: Registry,
    online_backbone: ResNet,
    target_backbone: ResNet,
    branches: Branches,
}

impl MultiSiam {
    /// Both networks on `device`; the target starts as a copy of the online one.
    pub fn new(config: &MethodConfig, model: &ModelConfig, device: Device, kind: Kind, seed: u64) -> Self {
        let channels = model.arch.channels();
        let (mut online, mut target) = (Registry::default(), Registry::default());
        let mut root = Scope::root(&mut online, seed, kind, device);
        let online_backbone = ResNet::new(root.sub("backbone"), model);
        let online_projectors = Projectors::new(&mut root, channels, model);
        let predict = Predictors::new(&mut root, config, model);
        let mut root = Scope::blank(&mut target, kind, device);
        let target_backbone = ResNet::new(root.sub("backbone"), model);
        let target_projectors = Projectors::new(&mut root, channels, model);
        target.freeze();
        target.copy_common(&online);
        MultiSiam {
            online,
            target,
            online_backbone,
            target_backbone,
            branches: Branches {
                config: config.clone(),
                online: online_projectors,
                predict,
                target: target_projectors,
                train: true,
            },
        }
    }
}

impl Method for MultiSiam {
    fn losses(&self, views: &Views) -> Losses {
        let train = self.branches.train;
        let [a, b] = [&views.a, &views.b].map(|view| Features {
            online: self.online_backbone.forward(&view.image, train),
            target: no_grad(|| self.target_backbone.forward(&view.image, train)),
            crop: &view.crop,
            flip: &view.flip,
        });
        self.branches.losses(&a, &b)
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

    fn cell_map(&self, network: Network, images: &Tensor) -> Tensor {
        let head = match network {
            Network::Online => &self.branches.online.cells,
            Network::Target => &self.branches.target.cells,
        };
        no_grad(|| head.forward(&self.backbone(network).forward(images, false), false))
    }

    fn set_train(&mut self, train: bool) {
        self.branches.train = train;
    }
}
