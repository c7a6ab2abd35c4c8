//! Crops as columns, and the places of a map's cells.

use tch::Tensor;

/// Column `index` (0 x, 1 y, 2 w, 3 h) of crops or boxes: `[n, 1]`.
pub(super) fn column(boxes: &Tensor, index: i64) -> Tensor {
    boxes.narrow(1, index, 1)
}

/// Middles of `n` equal parts of [0, 1] as a row `[1, n]`, like `like` in kind and device.
pub(super) fn cell_middles(n: i64, like: &Tensor) -> Tensor {
    (Tensor::arange(n, (like.kind(), like.device())) + 0.5).unsqueeze(0) / n as f64
}
