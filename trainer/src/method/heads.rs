//! What every method has on top of the backbones.

use model::{Head, Network};

use super::direction::Direction;
use super::terms::Losses;

/// What a method makes of the backbones' maps.
pub trait Heads: Send {
    /// The losses of a batch, in one or both directions. In training mode this moves running
    /// statistics and queues.
    fn losses(&self, directions: &[Direction<'_>], train: bool) -> Losses;

    /// The least value that the total can have, where one is worth aiming at: InfoNCE never comes
    /// near its 0.
    fn least_loss(&self) -> Option<f64> {
        None
    }

    /// The head that makes the map of the 2D branch, in a method that has one.
    fn cell_projector(&self, _network: Network) -> Option<&Head> {
        None
    }
}
