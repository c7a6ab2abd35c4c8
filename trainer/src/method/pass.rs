//! A batch on its way through a method, a direction at a time.
//!
//! The total is a sum over the directions, and each has a graph of its own. The caller goes
//! backward through one direction before it asks for the next. So a step holds the activations of
//! one view at a time, and the gradients add up to that of the total.
//!
//! Queues stay as they are until [`Pass::losses`]: every direction meets the same negatives.

use super::Method;
use super::terms::{Losses, Tally};
use super::views::{View, Views};

use tch::Tensor;

/// The directions of one batch.
#[must_use = "a pass does nothing until its directions are asked for"]
pub struct Pass<'a> {
    method: &'a Method,
    /// What the online network sees and what the target network sees, in each direction to come.
    directions: std::vec::IntoIter<(&'a View, &'a View)>,
    tally: Tally,
}

impl<'a> Pass<'a> {
    pub(super) fn new(method: &'a Method, views: &'a Views) -> Self {
        let mut directions = vec![(&views.a, &views.b), (&views.b, &views.a)];
        directions.truncate(method.symmetric.directions());
        Pass {
            method,
            directions: directions.into_iter(),
            tally: Tally::new(method.heads.weights(), method.symmetric)
                .among(method.networks.ranks()),
        }
    }

    /// The next direction's share of the total, a scalar with its graph; `None` after the last.
    /// In training mode this moves the running statistics of both networks.
    pub fn direction(&mut self) -> Option<Tensor> {
        let (from, to) = self.directions.next()?;
        let networks = &self.method.networks;
        let direction = networks.direction(from, to);
        let terms = self.method.heads.terms(&direction, networks.is_training());
        Some(self.tally.add(terms))
    }

    /// Whether the direction that was asked for last is the last one.
    pub(crate) fn was_last(&self) -> bool {
        self.directions.len() == 0
    }

    /// What the directions said, all of which have been asked for. In training mode this moves
    /// queues, so the backward passes come before it.
    pub fn losses(self) -> Losses {
        assert_eq!(self.directions.len(), 0, "every direction is asked for");
        if self.method.networks.is_training() {
            self.method.heads.remember(self.tally.keys());
        }
        self.tally.losses()
    }
}
