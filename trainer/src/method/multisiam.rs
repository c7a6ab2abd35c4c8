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
use super::terms::{Terms, Weights};

/// MultiSiam's heads.
pub(crate) struct MultiSiam {
    lambda: f64,
    cos_scale: f64,
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
            lambda: config.lambda,
            cos_scale: config.cos_scale,
            image: ImageBranch::new(roots, channels, model),
            projectors_2d: (!config.share_projector)
                .then(|| cells::projectors(roots, channels, model)),
            cells: CellBranch::new(roots, config, model),
        }
    }

    fn projectors_2d(&self) -> &Twin<Head> {
        self.projectors_2d
            .as_ref()
            .unwrap_or(&self.image.projectors)
    }
}

impl Heads for MultiSiam {
    fn terms(&self, direction: &Direction<'_>, train: bool) -> Terms {
        Terms {
            image: self.image.term(direction, train), // L_1D
            cells: Some(self.cells.term(self.projectors_2d(), direction, train)), // L_2D
            keys: None,
        }
    }

    fn weights(&self) -> Weights {
        Weights {
            image: self.cos_scale * self.lambda,
            cells: self.cos_scale * (1.0 - self.lambda),
        }
    }

    fn comes_near_least(&self) -> bool {
        true
    }

    fn cell_projector(&self, network: Network) -> Option<&Head> {
        Some(self.projectors_2d().of(network))
    }
}
