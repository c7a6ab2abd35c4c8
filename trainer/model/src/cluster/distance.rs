//! Distances between points and centroids, and rows picked by index.

use tch::{Kind, Tensor};

use super::knobs::Metric;
use crate::numeric::unit;

/// The points as the distance compares them; computed once for all iterations.
pub(super) fn comparable(points: &Tensor, metric: Metric) -> Tensor {
    match metric {
        Metric::Cosine => unit(points, -1),
        Metric::Euclidean => points.shallow_clone(),
    }
}

/// Distances `[n, p, k]` of `compared` points `[n, p, d]` to centroids `[n, k, d]`.
pub(super) fn distances(compared: &Tensor, centroids: &Tensor, metric: Metric) -> Tensor {
    match metric {
        Metric::Cosine => -compared.bmm(&unit(centroids, -1).transpose(1, 2)) + 1.0,
        // Differences first: |x|² − 2xc + |c|² would cancel for near points.
        Metric::Euclidean => (compared.unsqueeze(2) - centroids.unsqueeze(1))
            .square()
            .sum_dim_intlist(-1, false, None::<Kind>),
    }
}

/// 1 where the label is the class, else 0: `[n, p]` to `[n, p, k]`. (libtorch's own checks the
/// labels on the host.)
pub(super) fn one_hot(labels: &Tensor, k: i64, kind: Kind) -> Tensor {
    let classes = Tensor::arange(k, (Kind::Int64, labels.device()));
    labels.unsqueeze(-1).eq_tensor(&classes).to_kind(kind)
}

/// Rows `index` `[n, m]` of `rows` `[n, r, d]`: `[n, m, d]`.
pub(super) fn gather_rows(rows: &Tensor, index: &Tensor) -> Tensor {
    let (n, m) = index.size2().expect("indices have two axes");
    let d = rows.size()[2];
    rows.gather(1, &index.unsqueeze(-1).expand([n, m, d], false), false)
}
