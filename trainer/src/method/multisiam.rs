//! MultiSiam (Chen et al., ICCV 2021, section 3) on BYOL.
//!
//! L = λ L_1D + (1 − λ) L_2D (equation 11): BYOL's image branch on pooled features (equation 1),
//! and the 2D branch on maps (equation 10). The branches have predictors of their own, and
//! projectors too unless they share them (RECIPE 3.2).

use model::{Head, ModelConfig, Network};

use super::byol::ImageBranch;
use super::cells::{self, CellBranch};
use super::config::MethodConfig;
use super::direction::Direction;
use super::heads::Heads;
use super::networks::{Roots, Twin};
use super::terms::{Losses, Terms, Weights};

/// MultiSiam's heads.
pub(crate) struct MultiSiam {
    config: MethodConfig,
    image: ImageBranch,
    /// The 2D branch's own projectors; without them it has those of the image branch.
    projectors_2d: Option<Twin<Head>>,
    cells: CellBranch,
}

impl MultiSiam {
    /// Heads on maps of `channels` channels.
    pub(crate) fn new(
        roots: &mut Roots<'_>,
        channels: i64,
        config: &MethodConfig,
        model: &ModelConfig,
    ) -> Self {
        MultiSiam {
            config: config.clone(),
            image: ImageBranch::new(roots, channels, model),
            projectors_2d: (!config.share_projector)
                .then(|| cells::projectors(roots, channels, model)),
            cells: CellBranch::new(roots, config, model),
        }
    }

    fn weights(&self) -> Weights {
        let (lambda, scale) = (self.config.lambda, self.config.cos_scale);
        Weights {
            image: scale * lambda,
            cells: scale * (1.0 - lambda),
        }
    }

    fn projectors_2d(&self) -> &Twin<Head> {
        self.projectors_2d
            .as_ref()
            .unwrap_or(&self.image.projectors)
    }
}

impl Heads for MultiSiam {
    fn losses(&self, directions: &[Direction<'_>], train: bool) -> Losses {
        let terms = directions.iter().map(|direction| Terms {
            image: self.image.term(direction, train), // L_1D
            cells: Some(self.cells.term(self.projectors_2d(), direction, train)), // L_2D
        });
        Losses::join(terms.collect(), self.weights(), self.config.symmetric)
    }

    fn least_loss(&self) -> Option<f64> {
        Some(self.weights().least_total(self.config.symmetric))
    }

    fn cell_projector(&self, network: Network) -> Option<&Head> {
        Some(self.projectors_2d().of(network))
    }
}
