//! Self-attention over the cells of one map (paper, equations 8 and 9; PixPro's "pixel
//! propagation").
//!
//! Q_i = Σ_j sim(R_i, R_j) q(R_j) with sim = max(cos, 0)². The sum is not normalised and a cell's
//! similarity to itself is 1; the cosine loss behind it does not see the scale. Gradients flow
//! through both factors.

use tch::Tensor;

use crate::numeric::unit;

/// Knobs of equation 9 and of PixPro's variant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    /// Exponent of the similarity; at least 1. Paper: 2.
    pub gamma: f64,
    /// Cosines below this count as this. Paper: 0.
    pub clamp: f64,
    /// L2-normalise the values before the sum (PixPro); the paper does not.
    pub normalize_value: bool,
}

/// Equation 9 for every pair of cells: maps `[n, c, h, w]` to `[n, h*w, h*w]`, symmetric.
fn similarity(aligned: &Tensor, knobs: Attention) -> Tensor {
    let r = unit(&aligned.flatten(2, -1), 1); // [n, c, p]
    let cosines = r.transpose(1, 2).bmm(&r).clamp_min(knobs.clamp);
    match knobs.gamma {
        2.0 => cosines.square(),
        gamma => cosines.pow_tensor_scalar(gamma),
    }
}

/// Equation 8: each cell's sum of `values` `[n, d, h, w]`, weighted by similarity in `aligned`
/// `[n, c, h, w]`. Returns `[n, d, h, w]`.
pub fn self_attention(aligned: &Tensor, values: &Tensor, knobs: Attention) -> Tensor {
    let flat = values.flatten(2, -1); // [n, d, p]
    let flat = match knobs.normalize_value {
        true => unit(&flat, 1),
        false => flat,
    };
    flat.bmm(&similarity(aligned, knobs).transpose(1, 2))
        .view_as(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAPER: Attention = Attention {
        gamma: 2.0,
        clamp: 0.0,
        normalize_value: false,
    };

    #[test]
    fn cells_gather_from_cells_that_point_the_same_way() {
        // three cells: two parallel, one at 60 degrees to them, in two dimensions
        let (c, s) = (0.5, 0.75f64.sqrt());
        let aligned = Tensor::from_slice(&[1.0, 3.0, c, 0.0, 0.0, s]).view([1, 2, 1, 3]);
        let values = Tensor::from_slice(&[1.0, 10.0, 100.0]).view([1, 1, 1, 3]);
        let out: Vec<f64> =
            Vec::try_from(self_attention(&aligned, &values, PAPER).view([-1])).unwrap();
        for (found, expected) in out
            .iter()
            .zip([1.0 + 10.0 + 25.0, 36.0, 2.75 + 100.0 - 0.0])
        {
            assert!((found - expected).abs() < 1e-12, "{out:?}");
        }
    }

    #[test]
    fn opposite_and_zero_cells_add_nothing() {
        let aligned = Tensor::from_slice(&[1.0, -1.0, 0.0]).view([1, 1, 1, 3]);
        let values = Tensor::from_slice(&[1.0, 10.0, 100.0]).view([1, 1, 1, 3]);
        let out: Vec<f64> =
            Vec::try_from(self_attention(&aligned, &values, PAPER).view([-1])).unwrap();
        assert_eq!(out, [1.0, 10.0, 0.0]);
    }
}
