//! Raw driving data in, shards of tile-addressable JPEGs out.
//!
//! [`source`] reads a data set as a stream of encoded images, [`pyramid`] turns one into its stored
//! levels, [`pipeline`] runs both on threads and writes shards in a fixed order; [`run`] is the
//! whole of it. The output is a function of inputs and settings: not of threads, parts, or how
//! often a run was killed.

#![deny(missing_docs)]

pub mod cpu_time;
pub mod demo;
mod error;
pub mod fidelity;
#[cfg(feature = "sql")]
pub mod inspect;
mod output;
pub mod pipeline;
pub mod plan;
pub mod progress;
pub mod pyramid;
pub mod report;
pub mod run;
pub mod source;
pub mod verify;

pub use error::{Defect, Error, Result, Trouble};
