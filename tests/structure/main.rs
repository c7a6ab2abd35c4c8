//! The shape of the source tree: who may import whom, and that every reference leads somewhere.
//!
//! These tests read source files as text; they build and run nothing.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod circles;
mod floors;
mod imports;
mod paths;
mod recipe;
mod tree;
