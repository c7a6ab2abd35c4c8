//! The method, the networks and the optimizers against numbers from PyTorch, in float64.
//!
//! `scripts/golden/{method,networks,optim}.py` write the fixtures in `tests/fixtures/`: `method.py`
//! with an implementation of its own, which `cross_check.py` compares with one from another hand,
//! `networks.py` with torchvision. The data folder beside the checkout holds one fixture more; its
//! test says when it is absent. `cuda` repeats the essential on a GPU: `cargo test -p trainer
//! --test oracle -- --ignored`.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod cuda;
mod layers;
mod learning;
mod loss;
mod optim;
#[path = "../python/mod.rs"]
mod python;
mod resnet;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tch::{Kind, Tensor};

/// A file of `tests/fixtures/`.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// The arrays of an `.npz` file by name.
fn arrays(path: &Path) -> BTreeMap<String, Tensor> {
    Tensor::read_npz(path).unwrap().into_iter().collect()
}

/// A JSON file.
fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn max_abs(x: &Tensor) -> f64 {
    x.abs().max().double_value(&[])
}

/// Asserts max|found - expected| <= tolerance * max(max|expected|, 1e-3).
#[track_caller]
fn assert_close(what: &str, found: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!(found.size(), expected.size(), "{what}: shape");
    assert_eq!(
        found.kind(),
        Kind::Double,
        "{what}: a float64 run stays float64"
    );
    let gap = max_abs(&(found - expected));
    let allowed = tolerance * max_abs(expected).max(1e-3);
    assert!(gap <= allowed, "{what}: {gap:e} > {allowed:e}");
}

/// Integers of `formula` in the golden script, as numbers in [-1/2, 1/2): exact in any language.
fn formula(shape: &[i64], salt: i64) -> Tensor {
    let count: i64 = shape.iter().product();
    let index = Tensor::arange(count, (Kind::Int64, tch::Device::Cpu));
    let mixed = (index * 2_654_435_761i64 + salt * 40_503).remainder(1i64 << 32);
    (mixed.to_kind(Kind::Double) / (1i64 << 32) as f64 - 0.5).view(shape)
}

/// Tests run side by side already: one thread for libtorch in each, else its pools fight over the
/// cores.
fn one_thread() {
    tch::set_num_threads(1);
}
