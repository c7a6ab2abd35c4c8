//! Undoes the flip of the augmentation.

use tch::{Kind, Tensor};

/// Mirrors the maps `[n, c, h, w]` of the samples with `flipped[n]`, so that their columns run as
/// in the frame.
pub fn flip_back(map: &Tensor, flipped: &Tensor) -> Tensor {
    let flipped = flipped.to_kind(Kind::Bool).view([-1, 1, 1, 1]);
    map.flip([-1]).where_self(&flipped, map)
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
