//! The methods against numbers from PyTorch, in float64.
//!
//! `scripts/golden/method.py` writes `method.{npz,json}` with an implementation of its own, which
//! `cross_check.py` compares with one from another hand; that one made `final_model.npz`.
//! `scripts/golden/step.py` goes on from there to whole optimizer steps. `cuda` repeats the
//! essential on a GPU: `cargo test -p trainer --test oracle -- --ignored`.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod cuda;
#[path = "../golden/mod.rs"]
mod golden;
mod learning;
mod loss;
mod ranks;
mod step;
mod toy;
