//! MultiSiam on MoCo (paper, section 4.2, "Flexibility", and Appendix B.2).
//!
//! L = λ L_q + (1 − λ) L_2D: equation 11 with MoCo's InfoNCE as the image branch, on the key
//! encoder as target network; the 2D branch of equation 10 as it is.
//
// NOTE: the appendix was not available to us. RECIPE 5 weighs the readings; this is the one that
// changes least ("plug-and-play").

use model::{Head, ModelConfig, Network};

use super::cells::{self, CellBranch};
use super::config::MethodConfig;
use super::direction::Direction;
use super::heads::Heads;
use super::moco::ContrastiveBranch;
use super::networks::{Roots, Twin};
use super::terms::{Losses, Terms, Weights};

/// MultiSiam's heads with a contrastive image branch.
pub(crate) struct MultiSiamMoco {
    config: MethodConfig,
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
            config: config.clone(),
            image: ContrastiveBranch::new(roots, channels, config, model),
            projectors_2d: cells::projectors(roots, channels, model),
            cells: CellBranch::new(roots, config, model),
        }
    }
}

impl Heads for MultiSiamMoco {
    fn losses(&self, directions: &[Direction<'_>], train: bool) -> Losses {
        let images = self.image.terms(directions, train); // L_q
        let cells = directions
            .iter()
            .map(|d| self.cells.term(&self.projectors_2d, d, train)); // L_2D
        let terms = images.into_iter().zip(cells).map(|(image, cells)| Terms {
            image,
            cells: Some(cells),
        });
        let lambda = self.config.lambda;
        let weights = Weights {
            image: lambda,
            cells: self.config.cos_scale * (1.0 - lambda),
        };
        Losses::join(terms.collect(), weights, self.config.symmetric)
    }

    fn cell_projector(&self, network: Network) -> Option<&Head> {
        Some(self.projectors_2d.of(network))
    }
}
