//! MoCo (He et al., CVPR 2020) and MoCo v2 (Chen et al., 2020): InfoNCE against a queue of keys
//! (RECIPE 5).
//!
//! L_q = −log [ exp(q·k⁺/T) / (exp(q·k⁺/T) + Σ_i exp(q·k_i/T)) ], where q = f_q(x) is the online
//! network's projection of one view, k⁺ = f_k(x') the target's of the other, and the k_i are the
//! keys of past batches. Both are L2-normalised. The versions differ in their heads here, and in
//! augmentation, T and learning rates in their configs.

use model::numeric::{at_least_f32, unit};
use model::{ModelConfig, PlainHead};
use native::Ranks;
use tch::{Tensor, no_grad};

use super::config::{MethodConfig, MocoHead};
use super::direction::Direction;
use super::heads::Heads;
use super::loss::{info_nce, pool};
use super::networks::{Roots, Twin};
use super::queue::Queue;
use super::terms::{Term, Terms, Weights};

/// Projectors on pooled features, and the queue.
pub(crate) struct ContrastiveBranch {
    projectors: Twin<PlainHead>,
    queue: Queue,
    temperature: f64,
    ranks: Ranks,
}

impl ContrastiveBranch {
    /// `projector.*` of both networks on maps of `channels` channels, and the queue in the memory.
    pub(crate) fn new(
        roots: &mut Roots<'_>,
        channels: i64,
        config: &MethodConfig,
        model: &ModelConfig,
    ) -> Self {
        let widths = match config.contrastive_head() {
            MocoHead::Linear => vec![channels, config.moco_dim],
            MocoHead::Mlp => vec![channels, channels, config.moco_dim],
        };
        ContrastiveBranch {
            projectors: roots
                .twin(|root| PlainHead::new(root.sub("projector"), &widths, model.head_init)),
            queue: Queue::new(&mut roots.memory, config.queue, config.moco_dim),
            temperature: config.temperature,
            ranks: roots.ranks.clone(),
        }
    }

    /// L_q, and the keys k⁺, `[n, d]`. No query meets a key of its own batch among its negatives:
    /// those come into the queue when every direction has been through.
    pub(crate) fn term(&self, direction: &Direction<'_>) -> (Term, Tensor) {
        let q = self.projectors.online.forward(&pool(&direction.from.map)); // [n, d]
        let k = no_grad(|| self.projectors.target.forward(&pool(&direction.to.map))); // [n, d]
        let _exact = native::autocast_off(q.device());
        let k = unit(&at_least_f32(&k), 1);
        let loss = info_nce(&q, &k, self.queue.keys(), self.temperature); // k_i, [queue, d]
        let term = Term {
            loss,
            projections: q.detach(),
        };
        (term, k)
    }

    /// The keys of a batch's directions, those of all ranks, take the place of the queue's oldest. So
    /// every rank has the same queue.
    pub(crate) fn remember(&self, keys: &[Tensor]) {
        for keys in keys {
            self.queue.push(&self.ranks.gather(keys));
        }
    }
}

/// MoCo's heads, of either version.
pub(crate) struct Moco {
    branch: ContrastiveBranch,
}

impl Moco {
    /// Heads on maps of `channels` channels.
    pub(crate) fn new(
        roots: &mut Roots<'_>,
        channels: i64,
        config: &MethodConfig,
        model: &ModelConfig,
    ) -> Self {
        Moco {
            branch: ContrastiveBranch::new(roots, channels, config, model),
        }
    }
}

impl Heads for Moco {
    fn terms(&self, direction: &Direction<'_>, _train: bool) -> Terms {
        let (image, keys) = self.branch.term(direction);
        Terms {
            image,
            cells: None,
            keys: Some(keys),
        }
    }

    fn weights(&self) -> Weights {
        Weights {
            image: 1.0,
            cells: 0.0,
        }
    }

    fn remember(&self, keys: &[Tensor]) {
        self.branch.remember(keys);
    }
}
