//! Raw driving data in, shards of tile-addressable JPEGs out.
//!
//! ```no_run
//! use ingest::{Request, source::Dataset};
//!
//! let request = Request::new(Dataset::Images, vec!["photographs".into()], "shards");
//! let summary = ingest::run(&request, &mut |_progress| {})?;
//! println!("{summary}");
//! # Ok::<(), ingest::Error>(())
//! ```
//!
//! [`source`] reads a data set as a stream of encoded images, [`pyramid`] turns one into its stored
//! levels; [`run`] does both on threads and writes shards in a fixed order. The output is a function
//! of inputs and settings: not of threads, parts, or how often a run was killed.
//!
//! [`verify`], [`inspect`] and [`fidelity`] look at what was written; [`demo`] renders data to try
//! with.

#![deny(missing_docs)]

mod checksum;
mod cpu_time;
pub mod demo;
mod dry_run;
mod error;
pub mod fidelity;
mod find;
#[cfg(feature = "sql")]
pub mod inspect;
mod max_bad;
mod output;
mod pipeline;
mod plan;
mod progress;
pub mod pyramid;
mod report;
mod request;
mod run;
pub mod source;
mod summary;
mod task;
pub mod verify;

pub use cpu_time::StageTimes;
pub use dry_run::{DryFolder, DryInput, DryRun, Values, dry_run};
pub use error::{Defect, Error, Result, Trouble};
pub use max_bad::MaxBad;
pub use plan::Part;
pub use progress::Progress;
pub use request::Request;
pub use run::{RebuiltCatalog, rebuild_catalog, run};
pub use summary::Summary;
