//! What branches say of directions, and how it becomes one loss.

use model::cluster::Clusters;
use native::Ranks;
use tch::Tensor;

use super::config::Symmetric;
use super::loss::{spread, spread_of_cells};

/// What a batch says, without graph. Scalars on the device; reading one waits for it.
#[derive(Debug)]
pub struct Losses {
    /// What is optimised: `cos_scale` × −cos summed over both directions, λ-weighted (RECIPE 3.6).
    /// In the place of −cos, MoCo's image branch has InfoNCE, unscaled.
    pub total: Tensor,
    /// Image branch: mean over the directions of −cos, whose minimum is −1, or of InfoNCE, whose
    /// minimum is 0.
    pub loss_1d: Tensor,
    /// 2D branch: mean −cos over the directions; `None` for methods without one.
    pub loss_2d: Option<Tensor>,
    /// Spread of the online projections: their standard deviation over the batch after L2
    /// normalisation, times √d, mean over channels and views. 1 is uniform on the sphere, 0 is
    /// collapse.
    pub z_std: Tensor,
    /// The same for the cells of the projected maps, over batch and cells; `None` for methods
    /// without a 2D branch.
    pub z2d_std: Option<Tensor>,
    /// Online projections of the first direction's view, `[n, d]`.
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
    /// Keys for a queue, `[n, d]`, in a method that has one.
    pub keys: Option<Tensor>,
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
        -(self.image + self.cells) * symmetric.directions() as f64 * symmetric.factor()
    }

    /// Equation 11 for one direction.
    fn join(self, terms: &Terms) -> Tensor {
        let image = &terms.image.loss * self.image;
        match &terms.cells {
            Some(cells) => image + &cells.term.loss * self.cells,
            None => image,
        }
    }
}

/// Adds up what the directions of a batch say. Keeps scalars of each, and what the first one shows.
pub struct Tally {
    weights: Weights,
    symmetric: Symmetric,
    shares: Vec<Tensor>,
    image: Scalars,
    /// Empty in methods without a 2D branch.
    cells: Scalars,
    /// Of the first direction.
    shown: Option<(Tensor, Option<Clusters>)>,
    keys: Vec<Tensor>,
    ranks: Ranks,
}

/// Losses and spreads of a branch, one of each direction, without graph.
#[derive(Default)]
struct Scalars {
    losses: Vec<Tensor>,
    spreads: Vec<Tensor>,
}

impl Scalars {
    fn add(&mut self, term: &Term, spread: impl Fn(&Tensor) -> Tensor) {
        self.losses.push(term.loss.detach());
        self.spreads.push(spread(&term.projections));
    }

    /// Means over the directions, if there are any.
    fn means(self) -> Option<(Tensor, Tensor)> {
        let directions = self.losses.len() as f64;
        Some((
            sum(self.losses)? / directions,
            sum(self.spreads)? / directions,
        ))
    }
}

impl Tally {
    /// Of no direction yet.
    pub fn new(weights: Weights, symmetric: Symmetric) -> Self {
        Tally {
            weights,
            symmetric,
            shares: Vec::new(),
            image: Scalars::default(),
            cells: Scalars::default(),
            shown: None,
            keys: Vec::new(),
            ranks: Ranks::alone(),
        }
    }

    /// The same for one of several ranks: spreads are of the batch of all of them.
    pub(super) fn among(self, ranks: &Ranks) -> Self {
        Tally {
            ranks: ranks.clone(),
            ..self
        }
    }

    /// Takes what one direction says, and gives its share of the total, with its graph.
    pub fn add(&mut self, terms: Terms) -> Tensor {
        let share = self.weights.join(&terms) * self.symmetric.factor();
        self.shares.push(share.detach());
        self.image.add(&terms.image, |z| spread(z, &self.ranks));
        if let Some(cells) = &terms.cells {
            self.cells
                .add(&cells.term, |z| spread_of_cells(z, &self.ranks));
        }
        self.keys.extend(terms.keys);
        let clusters = terms.cells.and_then(|cells| cells.clusters);
        self.shown
            .get_or_insert((terms.image.projections, clusters));
        share
    }

    /// The keys of every direction so far, in a method that has a queue.
    pub fn keys(&self) -> &[Tensor] {
        &self.keys
    }

    /// What all directions said; there is one or more.
    pub fn losses(self) -> Losses {
        let (loss_1d, z_std) = self.image.means().expect("every method has this branch");
        let (loss_2d, z2d_std) = self.cells.means().unzip();
        let (z, clusters) = self.shown.expect("there is a direction");
        Losses {
            total: sum(self.shares).expect("there is a direction"),
            loss_1d,
            loss_2d,
            z_std,
            z2d_std,
            z,
            clusters,
        }
    }
}

fn sum(parts: Vec<Tensor>) -> Option<Tensor> {
    parts.into_iter().reduce(|sum, part| sum + part)
}
