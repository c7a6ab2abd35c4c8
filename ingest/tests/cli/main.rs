//! The `ingest` command on real and made-up data, from arguments to shards.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod promises;
mod real_data;
mod support;
