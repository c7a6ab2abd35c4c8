//! What branches say of directions, and how it becomes one loss.

use model::cluster::Clusters;
use tch::Tensor;

use super::config::Symmetric;
use super::loss::{spread, spread_of_cells};

/// What one forward pass says. Scalars on the device; reading one waits for it.
#[derive(Debug)]
pub struct Losses {
    /// What is optimised, with its graph: `cos_scale` × −cos summed over both directions,
    /// λ-weighted (RECIPE 3.6). In the place of −cos, MoCo's image branch has InfoNCE, unscaled.
    pub total: Tensor,
    /// Image branch: mean over the directions of −cos, whose minimum is −1, or of InfoNCE, whose
    /// minimum is 0. Detached.
    pub loss_1d: Tensor,
    /// 2D branch: mean −cos over the directions; `None` for methods without one. Detached.
    pub loss_2d: Option<Tensor>,
    /// Spread of the online projections: their standard deviation over the batch after L2
    /// normalisation, times √d, mean over channels and views. 1 is uniform on the sphere, 0 is
    /// collapse.
    pub z_std: Tensor,
    /// The same for the cells of the projected maps, over batch and cells; `None` for methods
    /// without a 2D branch.
    pub z2d_std: Option<Tensor>,
    /// Online projections of the first direction's view, `[n, d]`. Detached.
    pub z: Tensor,
    /// Clusters of the first direction's target map; `None` for methods that do not cluster.
    pub clusters: Option<Clusters>,
}

/// What a branch says of one direction.
pub struct Term {
    /// Mean loss over the batch, with graph.
    pub loss: Tensor,
    /// Online projections, `[n, d]` or `[n, d, h, w]`; detached.
    pub projections: Tensor,
}

/// What the 2D branch says of one direction.
pub struct CellTerm {
    /// As of every branch.
    pub term: Term,
    /// Clusters of the target's map, where the loss has any.
    pub clusters: Option<Clusters>,
}

/// What a method says of one direction.
pub struct Terms {
    /// Image branch.
    pub image: Term,
    /// 2D branch.
    pub cells: Option<CellTerm>,
}

/// Factors of the branches' losses in the total.
#[derive(Clone, Copy, Debug)]
pub struct Weights {
    /// Of the image branch.
    pub image: f64,
    /// Of the 2D branch.
    pub cells: f64,
}

impl Weights {
    /// The least total of a method whose branches are means of −cos, which is never below −1.
    pub(super) fn least_total(self, symmetric: Symmetric) -> f64 {
        -(self.image + self.cells) * symmetric.factor(2)
    }
}

impl Losses {
    /// Weighs the branches and joins the directions; there is one or more.
    pub fn join(mut terms: Vec<Terms>, weights: Weights, symmetric: Symmetric) -> Self {
        let directions = terms.len();
        let mean = |part: &dyn Fn(&Terms) -> Option<Tensor>| {
            let parts: Option<Vec<Tensor>> = terms.iter().map(part).collect();
            parts.map(|parts| {
                parts
                    .into_iter()
                    .reduce(|sum, part| sum + part)
                    .expect("a direction")
                    / directions as f64
            })
        };
        let image = |part: fn(&Term) -> Tensor| {
            mean(&|t| Some(part(&t.image))).expect("every method has it")
        };
        let cells =
            |part: fn(&Term) -> Tensor| mean(&|t| t.cells.as_ref().map(|cells| part(&cells.term)));
        let (loss_1d, loss_2d) = (
            image(|t| t.loss.shallow_clone()),
            cells(|t| t.loss.shallow_clone()),
        );
        let weighted = match &loss_2d {
            Some(loss_2d) => &loss_1d * weights.image + loss_2d * weights.cells,
            None => &loss_1d * weights.image,
        };
        let (z_std, z2d_std) = (
            image(|t| spread(&t.projections)),
            cells(|t| spread_of_cells(&t.projections)),
        );
        let first = terms.swap_remove(0);
        Losses {
            total: weighted * symmetric.factor(directions),
            loss_1d: loss_1d.detach(),
            loss_2d: loss_2d.map(|loss| loss.detach()),
            z_std,
            z2d_std,
            z: first.image.projections,
            clusters: first.cells.and_then(|cells| cells.clusters),
        }
    }
}
