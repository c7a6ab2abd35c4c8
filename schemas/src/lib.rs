#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

pub mod catalog;
mod error;
#[cfg(feature = "sql")]
pub mod filter;
pub mod frame;
pub mod geom;
pub mod imagenet;
pub mod index;
pub mod inputs;
pub mod selection;
pub mod shard;
mod table;
pub mod tiled;
pub mod untrusted;

pub use error::{Error, Result};
