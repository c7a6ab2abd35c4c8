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

#[cfg(test)]
mod tests {
    use super::*;

    /// Two points and three centroids in the plane.
    fn measured(metric: Metric) -> Vec<f64> {
        let points = Tensor::from_slice(&[3.0, 4.0, 0.0, -2.0]).view([1, 2, 2]);
        let centroids = Tensor::from_slice(&[6.0, 8.0, -4.0, 3.0, 0.0, 5.0]).view([1, 3, 2]);
        let found = distances(&comparable(&points, metric), &centroids, metric);
        assert_eq!(found.size(), [1, 2, 3]);
        Vec::try_from(found.view([-1])).unwrap()
    }

    #[test]
    fn distances_are_one_minus_the_cosine_or_squared_lengths() {
        let cosine = [0.0, 1.0, 0.2, 1.8, 1.6, 2.0];
        for (found, expected) in measured(Metric::Cosine).iter().zip(cosine) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        let euclidean = [25.0, 50.0, 10.0, 136.0, 41.0, 49.0];
        assert_eq!(measured(Metric::Euclidean), euclidean);
    }

    #[test]
    fn labels_become_columns_and_rows_are_picked_by_index() {
        let labels = Tensor::from_slice(&[2i64, 0]).view([1, 2]);
        let hot = Vec::<f64>::try_from(one_hot(&labels, 3, Kind::Double).view([-1])).unwrap();
        assert_eq!(hot, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
        let rows = Tensor::from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).view([1, 3, 2]);
        let picked = Vec::<f64>::try_from(gather_rows(&rows, &labels).view([-1])).unwrap();
        assert_eq!(picked, [5.0, 6.0, 1.0, 2.0]);
    }
}
