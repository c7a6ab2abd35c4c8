//! Numbers from PyTorch, and how ours are held against them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tch::{Kind, Tensor};

/// A file of the crate's `tests/fixtures/`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// The arrays of an `.npz` file by name.
pub(crate) fn arrays(path: &Path) -> BTreeMap<String, Tensor> {
    Tensor::read_npz(path).unwrap().into_iter().collect()
}

/// A JSON file.
pub(crate) fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

pub(crate) fn max_abs(x: &Tensor) -> f64 {
    x.abs().max().double_value(&[])
}

/// Asserts max|found - expected| <= tolerance * max(max|expected|, 1e-3).
#[track_caller]
pub(crate) fn assert_close(what: &str, found: &Tensor, expected: &Tensor, tolerance: f64) {
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
pub(crate) fn formula(shape: &[i64], salt: i64) -> Tensor {
    let count: i64 = shape.iter().product();
    let index = Tensor::arange(count, (Kind::Int64, tch::Device::Cpu));
    let mixed = (index * 2_654_435_761i64 + salt * 40_503).remainder(1i64 << 32);
    (mixed.to_kind(Kind::Double) / (1i64 << 32) as f64 - 0.5).view(shape)
}

/// Tests run side by side already: one thread for libtorch in each, else its pools fight over the
/// cores.
pub(crate) fn one_thread() {
    tch::set_num_threads(1);
}
