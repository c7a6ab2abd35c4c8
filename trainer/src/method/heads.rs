//! What every method has on top of the backbones.

use model::{Head, Network};
use tch::Tensor;

use super::direction::Direction;
use super::terms::{Terms, Weights};

/// What a method makes of the backbones' maps.
pub trait Heads: Send {
    /// What one direction says. In training mode this moves running statistics, but no queue.
    fn terms(&self, direction: &Direction<'_>, train: bool) -> Terms;

    /// What the branches weigh in the total.
    fn weights(&self) -> Weights;

    /// Takes in the keys of a batch, `[n, d]` of each direction, behind its last backward pass.
    fn remember(&self, _keys: &[Tensor]) {}

    /// Whether the least value that the total can have is worth aiming at: InfoNCE never comes near
    /// its 0.
    fn comes_near_least(&self) -> bool {
        false
    }

    /// The head that makes the map of the 2D branch, in a method that has one.
    fn cell_projector(&self, _network: Network) -> Option<&Head> {
        None
    }
}
