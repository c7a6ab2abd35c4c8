//! What a run says of itself: rows, curves, pictures, warnings, and plots of several runs.

mod between_ranks;
mod cpu;
mod diagnostics;
mod meter;
mod metrics;
mod pictures;
pub mod plot;
mod probe;
mod progress;
mod tensorboard;
mod warnings;

pub use between_ranks::BetweenRanks;
pub(crate) use between_ranks::CollectiveTimer;
pub use diagnostics::{Diagnostics, Sample};
pub use meter::{Meter, Pace};
pub(crate) use metrics::Recorder;
pub use metrics::{Row, read};
pub use pictures::Pictures;
pub(crate) use probe::ProbeBeside;
pub use progress::Progress;
pub(crate) use progress::cpu_shares;
pub(crate) use warnings::Warnings;
