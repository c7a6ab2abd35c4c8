//! Everything random: which frame comes when, where its two crops lie, what is done to each.
//!
//! [`rng`] names a stream of numbers by seed, epoch, frame and purpose, so no draw depends on
//! another. `order` permutes the frames of an epoch, [`crop`] draws a pair of boxes, and [`plan`]
//! draws the rest and puts a sample's draws together.

pub mod crop;
#[cfg(test)]
mod goodness;
pub(crate) mod order;
pub mod plan;
pub mod rng;
