//! BYOL (Grill et al., 2020): the image branch alone (paper, section 3.1, equation 1; RECIPE 5).
//!
//! L_1D = −cos(q_θ(z), z'), where z = g_θ(pool(F)) is the online projection of one view and z' =
//! g_ξ(pool(F')) the target's of the other.

use model::{Head, HeadDims, HeadForm, HeadPart, ModelConfig};

use super::config::MethodConfig;
use super::direction::Direction;
use super::heads::Heads;
use super::loss::{neg_cos, pool};
use super::networks::{Roots, Twin};
use super::terms::{Term, Terms, Weights};

/// Projectors and predictor on pooled features.
#[derive(Debug)]
pub(crate) struct ImageBranch {
    /// g_θ and g_ξ.
    pub projectors: Twin<Head>,
    /// q_θ.
    pub predictor: Head,
}

impl ImageBranch {
    /// `projector.*` of both networks and `predictor.*`, on maps of `channels` channels.
    pub(crate) fn new(roots: &mut Roots<'_>, channels: i64, model: &ModelConfig) -> Self {
        let dims = |input| HeadDims {
            input,
            hidden: model.hidden,
            output: model.dim,
        };
        let (form, init) = (HeadForm::Mlp, model.head_init);
        ImageBranch {
            projectors: roots.twin(|root| {
                Head::new(
                    root.sub("projector"),
                    form,
                    HeadPart::Projector,
                    dims(channels),
                    init,
                )
            }),
            predictor: Head::new(
                roots.online.sub("predictor"),
                form,
                HeadPart::Predictor,
                dims(model.dim),
                init,
            ),
        }
    }

    /// Equation 1.
    pub(crate) fn term(&self, direction: &Direction<'_>, train: bool) -> Term {
        let [from, to] = [&direction.from, &direction.to].map(|seen| pool(&seen.map));
        let [z, z_target] = self.projectors.forward(&from, &to, train); // [n, d]
        let q = self.predictor.forward(&z, train); // [n, d]
        let _exact = native::autocast_off(q.device());
        Term {
            loss: neg_cos(&q, &z_target),
            projections: z.detach(),
        }
    }
}

/// BYOL's heads.
pub(crate) struct Byol {
    cos_scale: f64,
    branch: ImageBranch,
}

impl Byol {
    /// Heads on maps of `channels` channels.
    pub(crate) fn new(
        roots: &mut Roots<'_>,
        channels: i64,
        config: &MethodConfig,
        model: &ModelConfig,
    ) -> Self {
        Byol {
            cos_scale: config.cos_scale,
            branch: ImageBranch::new(roots, channels, model),
        }
    }
}

impl Heads for Byol {
    fn terms(&self, direction: &Direction<'_>, train: bool) -> Terms {
        Terms {
            image: self.branch.term(direction, train),
            cells: None,
            keys: None,
        }
    }

    fn weights(&self) -> Weights {
        Weights {
            image: self.cos_scale,
            cells: 0.0,
        }
    }

    fn comes_near_least(&self) -> bool {
        true
    }
}
