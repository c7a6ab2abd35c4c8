//! Which cell of one view's map belongs to which cell of the other's (paper, section 3.2, "Feature
//! misalignment").
//!
//! First the flip of the augmentation is undone on the projected map ([`flip_back`]). Then either
//! both maps are resampled on the overlap of their crops ([`roi`]), or the online map is told how
//! far away its partner is ([`offset`]).
//!
//! Crops are `[n, 4]` tensors x, y, w, h in frame pixels. No gradient reaches them.

pub mod offset;
pub mod roi;

use tch::{Kind, Tensor};

/// Mirrors the maps `[n, c, h, w]` of the samples with `flipped[n]`, so that their columns run as
/// in the frame.
pub fn flip_back(map: &Tensor, flipped: &Tensor) -> Tensor {
    let flipped = flipped.to_kind(Kind::Bool).view([-1, 1, 1, 1]);
    map.flip([-1]).where_self(&flipped, map)
}

/// Column `index` (0 x, 1 y, 2 w, 3 h) of crops or boxes: `[n, 1]`.
pub(crate) fn column(boxes: &Tensor, index: i64) -> Tensor {
    boxes.narrow(1, index, 1)
}

/// Middles of `n` equal parts of [0, 1] as a row `[1, n]`, like `like` in kind and device.
pub(crate) fn cell_middles(n: i64, like: &Tensor) -> Tensor {
    (Tensor::arange(n, (like.kind(), like.device())) + 0.5).unsqueeze(0) / n as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn only_flipped_samples_are_mirrored() {
        let map = Tensor::arange(12, (Kind::Double, Device::Cpu)).view([2, 1, 2, 3]);
        let out = flip_back(&map, &Tensor::from_slice(&[false, true]));
        let values: Vec<f64> = Vec::try_from(out.reshape([-1])).unwrap();
        assert_eq!(values, [0., 1., 2., 3., 4., 5., 8., 7., 6., 11., 10., 9.]);
    }
}
