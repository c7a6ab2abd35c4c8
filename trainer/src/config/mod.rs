//! What decides a run, as data, and how it is found, layered and checked.

mod built_in;
mod probe;
mod ranges;
mod resolve;
mod run_config;

pub use built_in::BUILT_IN;
pub use probe::ProbeConfig;
pub use resolve::{find, resolve};
pub(crate) use resolve::{parse_resolved, resolve_for};
pub use run_config::{
    AugmentConfig, DataConfig, OptimConfig, OptimName, RunConfig, RunSettings, ScheduleConfig,
};
