//! MultiSiam on MoCo (paper, section 4.2, "Flexibility", and Appendix B.2).
//!
//! L = λ L_q + (1 − λ) L_2D: equation 11 with MoCo's InfoNCE as the image branch, on the key
//! encoder as target network; the 2D branch of equation 10 as it is.
//
// NOTE: the appendix was not available to us. RECIPE 5 weighs the readings; this is the one that
// changes least ("plug-and-play").

use model::{Head, ModelConfig, Network};
use tch::Tensor;

use super::cells::{self, CellBranch};
use super::config::MethodConfig;
use super::direction::Direction;
use super::heads::Heads;
use super::moco::ContrastiveBranch;
use super::networks::{Roots, Twin};
use super::terms::{Terms, Weights};

/// MultiSiam's heads with a contrastive image branch.
pub(crate) struct MultiSiamMoco {
    lambda: f64,
    cos_scale: f64,
    image: ContrastiveBranch,
    projectors_2d: Twin<Head>,
    cells: CellBranch,
}

impl MultiSiamMoco {
    /// Heads on maps of `channels` channels.
    pub(crate) fn new(
        roots: &mut Roots<'_>,
        channels: i64,
        config: &MethodConfig,
        model: &ModelConfig,
    ) -> Self {
        MultiSiamMoco {
            lambda: config.lambda,
            cos_scale: config.cos_scale,
            image: ContrastiveBranch::new(roots, channels, config, model),
            projectors_2d: cells::projectors(roots, channels, model),
            cells: CellBranch::new(roots, config, model),
        }
    }
}

impl Heads for MultiSiamMoco {
    fn terms(&self, direction: &Direction<'_>, train: bool) -> Terms {
        let (image, keys) = self.image.term(direction); // L_q
        Terms {
            image,
            cells: Some(self.cells.term(&self.projectors_2d, direction, train)), // L_2D
            keys: Some(keys),
        }
    }

    fn weights(&self) -> Weights {
        Weights {
            image: self.lambda,
            cells: self.cos_scale * (1.0 - self.lambda),
        }
    }

    fn remember(&self, keys: &[Tensor]) {
        self.image.remember(keys);
    }

    fn cell_projector(&self, network: Network) -> Option<&Head> {
        Some(self.projectors_2d.of(network))
    }
}
