//! The three programs as a user runs them: real binaries, real files, exit codes and what is
//! printed.
//!
//! They expect the binaries beside them: `cargo build --release --workspace --all-targets` first,
//! as `scripts/test` does. Tests on the optional real data (`../shared`) and on Python packages say
//! so and pass when those are absent.

mod bad_input;
mod programs;
mod python;
mod real_data;
mod whole_way;
