#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

pub mod catalog;
mod error;
#[cfg(feature = "sql")]
pub mod filter;
pub mod frame;
pub mod geom;
pub mod index;
pub mod shard;
pub mod tiled;

pub use error::{Error, Result};
