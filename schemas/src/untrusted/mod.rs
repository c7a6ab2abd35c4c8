//! Reading Parquet files that may hold anything.
//!
//! The Parquet library is not made for damaged files alone: over some contradictions it panics, and
//! it reserves memory by numbers that it has not checked. [`caught`] turns a panic into an error.
//! Running out of memory would end the process, so [`check_schema`] and, for our own files, a check
//! of the page index refuse false counts before memory is reserved. Its reads go through [`Input`], its pages through [`read_groups`].

mod caught;
mod claims;
mod input;
mod pages;

pub use caught::caught;
pub(crate) use claims::check_page_index;
pub use claims::check_schema;
pub use input::Input;
pub use pages::read_groups;
