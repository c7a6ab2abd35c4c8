//! The 2D branch of MultiSiam (Chen et al., ICCV 2021, sections 3.2 and 3.3).
//!
//! Project the C5 maps cell by cell, undo flips, align, predict, attend (equations 8, 9), and
//! compare each cell with the centroid of its partner's cluster (equation 10).

use model::align::{flip_back, offset_map, overlap_box, roi_align};
use model::attention::self_attention;
use model::cluster::{Clusters, Draw, KMeans, Seeds, kmeans};
use model::numeric::at_least_f32;
use model::{Head, HeadDims, HeadForm, HeadPart, ModelConfig};
use tch::{Tensor, no_grad};

use super::config::{Align, AttentionInput, MethodConfig, Target};
use super::direction::{Direction, Seen};
use super::loss::{neg_cos, neg_cos_dense};
use super::networks::{Roots, Twin};
use super::terms::{CellTerm, Term};

/// `projector_2d.*` of both networks, on maps of `channels` channels: g_θ and g_ξ.
pub(crate) fn projectors(roots: &mut Roots<'_>, channels: i64, model: &ModelConfig) -> Twin<Head> {
    let dims = HeadDims {
        input: channels,
        hidden: model.hidden,
        output: model.dim,
    };
    roots.twin(|root| {
        Head::new(
            root.sub("projector_2d"),
            HeadForm::Conv,
            HeadPart::Projector,
            dims,
            model.head_init,
        )
    })
}

/// What follows the projectors.
#[derive(Debug)]
pub(crate) struct CellBranch {
    config: MethodConfig,
    /// q_θ; takes the offset channels too when there are any.
    predictor: Head,
    /// The next draw, where clusters start from random cells; int64 on the CPU.
    draws: Option<Tensor>,
    seed: u64,
    /// This rank, whose images come after those of the ranks before.
    rank: u64,
}

impl CellBranch {
    /// `predictor_2d.*` of the online network, and what random seeds remember.
    pub(crate) fn new(roots: &mut Roots<'_>, config: &MethodConfig, model: &ModelConfig) -> Self {
        let dims = HeadDims {
            input: model.dim + config.extra_channels(),
            hidden: model.hidden,
            output: model.dim,
        };
        let scope = roots.online.sub("predictor_2d");
        CellBranch {
            config: config.clone(),
            predictor: Head::new(
                scope,
                HeadForm::Conv,
                HeadPart::Predictor,
                dims,
                model.head_init,
            ),
            draws: (config.km_init == Seeds::Random).then(|| roots.memory.counter("kmeans_draws")),
            seed: roots.seed,
            rank: roots.ranks.rank() as u64,
        }
    }

    /// Equation 10.
    pub(crate) fn term(
        &self,
        projectors: &Twin<Head>,
        direction: &Direction<'_>,
        train: bool,
    ) -> CellTerm {
        let Direction { from, to } = direction;
        let [g, g_target] = projectors.forward(&from.map, &to.map, train);
        let upright = |g: &Tensor, seen: &Seen<'_>| at_least_f32(&flip_back(g, &seen.view.flip));
        let g = upright(&g, from); // G = g_θ(F), [n, d, h, w]
        let g_target = upright(&g_target, to); // G' = g_ξ(F')
        let (r, r_target) = self.align(&g, &g_target, direction);
        let v = self.predictor.forward(&r, train); // q_θ(R), [n, d, h, w]

        let _exact = native::autocast_off(v.device());
        let q = self.attend(&g, &r, &at_least_f32(&v)); // Q, [n, d, h, w]
        let clusters = self.clusters(&r_target);
        let loss = self.compare(&q, &r_target, clusters.as_ref());
        CellTerm {
            term: Term {
                loss,
                projections: g.detach(),
            },
            clusters,
        }
    }

    /// R and R' of equations 3 to 7.
    fn align(&self, g: &Tensor, g_target: &Tensor, direction: &Direction<'_>) -> (Tensor, Tensor) {
        let _exact = native::autocast_off(g.device());
        let (from, to) = (direction.from.view, direction.to.view);
        let [from_crop, to_crop, frame] =
            [&from.crop, &to.crop, &from.frame].map(|boxes| boxes.to_kind(g.kind()));
        match self.config.align {
            Align::None => (g.shallow_clone(), g_target.shallow_clone()),
            Align::Roi => {
                let sampling = self.config.sampling();
                (
                    roi_align(g, &overlap_box(&from_crop, &to_crop), sampling),
                    no_grad(|| roi_align(g_target, &overlap_box(&to_crop, &from_crop), sampling)),
                )
            }
            Align::Offset => {
                let (_, _, h, w) = g.size4().expect("a map has four axes");
                let offsets = offset_map(&from_crop, &to_crop, &frame, (h, w), self.config.ruler()); // ΔC, [n, 2, h, w]
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
    fn compare(&self, q: &Tensor, r_target: &Tensor, clusters: Option<&Clusters>) -> Tensor {
        match (self.config.target, clusters) {
            (Target::Centroid, Some(clusters)) => neg_cos(q, &clusters.centroid_map()),
            (Target::Dense, Some(clusters)) => neg_cos_dense(q, r_target, clusters),
            (_, None) | (Target::Pixel, _) => neg_cos(q, r_target),
        }
    }

    /// Kmeans(R'), where the loss asks for it; random seeds are drawn anew each time.
    fn clusters(&self, r_target: &Tensor) -> Option<Clusters> {
        if self.config.target == Target::Pixel {
            return None;
        }
        let number = self.draws.as_ref().map_or(0, |draws| {
            let number = draws.int64_value(&[]);
            no_grad(|| drop(draws.shallow_clone().g_add_scalar_(1)));
            number as u64
        });
        Some(kmeans(
            r_target,
            KMeans {
                draw: Draw {
                    seed: self.seed,
                    number,
                    images_before: self.rank * r_target.size()[0] as u64,
                },
                ..self.config.kmeans()
            },
        ))
    }
}
