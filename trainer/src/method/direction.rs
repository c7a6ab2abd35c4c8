//! One direction of a pair of views, and how directions and branches become one loss.

use tch::Tensor;

use super::config::Symmetric;
use super::{Losses, View};

/// A view behind the backbone of one network.
pub struct Seen<'a> {
    /// C5 map, `[n, c, h, w]`.
    pub map: Tensor,
    /// Where it comes from.
    pub view: &'a View,
}

/// The online network looks at `from` and predicts what the target network makes of `to`.
pub struct Direction<'a> {
    /// The online network's view.
    pub from: Seen<'a>,
    /// The target network's view, without graph.
    pub to: Seen<'a>,
}

/// What a branch says of one direction.
pub struct Term {
    /// Mean loss over the batch, with graph.
    pub loss: Tensor,
    /// Spread of the online projections; detached.
    pub spread: Tensor,
}

/// What a method says of one direction.
pub struct Terms {
    /// Image branch.
    pub image: Term,
    /// 2D branch.
    pub cells: Option<Term>,
}

/// Factors of the branches' losses in the total.
#[derive(Clone, Copy, Debug)]
pub struct Weights {
    /// Of the image branch.
    pub image: f64,
    /// Of the 2D branch.
    pub cells: f64,
}

impl Losses {
    /// Weighs the branches and joins the directions; there is one or more.
    pub fn join(terms: &[Terms], weights: Weights, symmetric: Symmetric) -> Self {
        let num = terms.len() as f64;
        let mean = |part: &dyn Fn(&Terms) -> Option<Tensor>| {
            let parts: Option<Vec<Tensor>> = terms.iter().map(part).collect();
            parts.map(|parts| parts.into_iter().reduce(|sum, part| sum + part).expect("a direction") / num)
        };
        let image = |part: fn(&Term) -> &Tensor| mean(&|t| Some(part(&t.image).shallow_clone()));
        let cells = |part: fn(&Term) -> &Tensor| mean(&|t| t.cells.as_ref().map(|term| part(term).shallow_clone()));
        let (loss_1d, loss_2d) = (image(|t| &t.loss).expect("every method has it"), cells(|t| &t.loss));
        let weighted = match &loss_2d {
            Some(loss_2d) => &loss_1d * weights.image + loss_2d * weights.cells,
            None => &loss_1d * weights.image,
        };
        Losses {
            total: match symmetric {
                Symmetric::Sum => weighted * num,
                Symmetric::Mean | Symmetric::OneWay => weighted,
            },
            loss_1d: loss_1d.detach(),
            loss_2d: loss_2d.map(|loss| loss.detach()),
            z_std: image(|t| &t.spread).expect("every method has it"),
            z2d_std: cells(|t| &t.spread),
        }
    }
}
