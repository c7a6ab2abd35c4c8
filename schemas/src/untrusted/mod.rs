//! Reading Parquet files that may hold anything.
//!
//! The Parquet library is not made for damaged files alone: over some contradictions it panics, and
//! it reserves memory by numbers that it has not checked. [`caught`] makes the one an error;
//! [`check_schema`] and, for our own files, a check of the page index come before the other, which
//! no process survives. Its reads go through [`Input`], its pages through [`read_groups`].

mod caught;
mod claims;
mod input;
mod pages;

pub use caught::caught;
pub(crate) use claims::check_page_index;
pub use claims::check_schema;
pub use input::Input;
pub use pages::read_groups;
