//! One training run: built or restored, stepped to its end, written down on the way.
//!
//! [`Session`] is what a run has, [`train`] the loop, [`Stepper`] one step of it behind a gate that
//! lets no bad step through.

mod alike;
mod checkpoint_writer;
mod data;
mod gate;
mod held;
mod host_batch;
mod log_grid;
mod memory_estimate;
mod profile;
mod rescue;
mod run_dir;
mod schedule;
mod session;
mod signals;
mod step;
mod sums;
mod train;
mod upload;
mod world;

pub(crate) use alike::Identity;
pub(crate) use data::{open_sampler, open_sampler_of};
pub use host_batch::HostBatch;
pub(crate) use host_batch::{BOX_VALUES, FixedBatch};
pub(crate) use memory_estimate::MemoryEstimate;
pub use profile::Profile;
pub use schedule::Schedule;
pub(crate) use session::settle;
pub use session::{Request, Session};
pub use signals::Signals;
pub(crate) use signals::{EXIT_INTERRUPTED, is_ignored};
pub use step::Stepper;
pub use train::{Outcome, train};
