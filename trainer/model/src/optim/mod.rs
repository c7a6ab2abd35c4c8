//! Update rules and what drives them over time.
//!
//! Optimizers hold handles to the online network's tensors and their own momentum, update all
//! tensors at once (`_foreach` operations), and expose their state, so that a run resumes exactly.
//! None of them waits for the device.

mod lars;
mod momentum;
mod rule;
pub mod schedule;
mod sgd;

pub use lars::{Arithmetic, Exclude, Lars, LarsConfig};
pub use rule::Optimizer;
pub use sgd::{Sgd, SgdConfig};
