//! What [`ring`](super::ring) takes from the outside, in one place: `tests/loom_ring.rs` compiles
//! the same ring against loom's versions of these.

pub(crate) use crossbeam::sync::{Parker, Unparker};
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
