//! The three programs as a user runs them: real binaries, real files, exit codes and what is
//! printed.
//!
//! They expect the binaries beside them: `cargo build --release --workspace --all-targets` first,
//! as `scripts/test` does. Tests on real data and on Python packages are skipped where those are
//! absent, and counted.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod bad_input;
mod compatible;
mod pipes;
mod programs;
mod python;
mod real_data;
mod whole_way;
