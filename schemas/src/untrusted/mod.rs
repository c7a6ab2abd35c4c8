//! Reading Parquet files that may hold anything.
//!
//! The Parquet library is not made for damaged files alone: over some contradictions it panics, and
//! it reserves memory by numbers that it has not checked. [`caught`] makes the one an error;
//! [`check_schema`] and [`check_page_index`] come before the other, which no process survives. Its
//! reads go through [`Input`], its pages through [`read_groups`].

mod caught;
mod claims;
mod input;
mod pages;

pub use caught::caught;
pub use claims::{check_page_index, check_schema};
pub use input::Input;
pub use pages::read_groups;
