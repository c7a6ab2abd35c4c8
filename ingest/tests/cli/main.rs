//! The `ingest` command on real and made-up data, from arguments to shards.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod archives;
mod bad_image;
mod bad_input;
mod bad_record;
mod changed;
mod environment;
mod fidelity;
mod kill;
mod layouts;
mod odd_image;
mod promises;
mod real_data;
mod summary;
mod support;
mod verify;
mod waymo_layouts;
mod waymo_v2;
