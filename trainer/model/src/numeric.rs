//! What every loss and every norm rests on: unit vectors, and a least precision.

use tch::{Kind, Tensor};

/// Smallest norm a vector is divided by, as in `torch.nn.functional.normalize`.
const MIN_NORM: f64 = 1e-12;

/// `x` divided by its Euclidean norm along `dim`; zero vectors stay zero.
pub fn unit(x: &Tensor, dim: i64) -> Tensor {
    x / x.norm_scalaropt_dim(2, [dim], true).clamp_min(MIN_NORM)
}

/// The tensor in float32, or as it is when it is float64: norms and cosines are not computed below
/// float32.
pub fn at_least_f32(x: &Tensor) -> Tensor {
    match x.kind() {
        Kind::Double => x.shallow_clone(),
        _ => x.to_kind(Kind::Float),
    }
}
