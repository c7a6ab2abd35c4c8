//! The clusters of one map, and of every pixel that it is shown for.

use model::cluster::{self, KMeans};
use schemas::geom::Size;
use tch::{Device, Kind, Tensor, no_grad};

use crate::cells::Shown;

/// The clusters of one map.
pub struct Clustering {
    /// Similarity of each cell to each centroid, `[1, k, h, w]`; clusters sorted by mean height,
    /// top first.
    similarity: Tensor,
    /// Share of neighbouring cells that are in the same cluster.
    pub(super) agreement: f64,
}

impl Clustering {
    /// Of a map `[1, c, h, w]`.
    pub fn of(map: &Tensor, knobs: KMeans) -> Self {
        no_grad(|| {
            let clusters = cluster::kmeans(map, knobs);
            let heights = mean_heights(&clusters, map);
            let order = heights.argsort(-1, false);
            let centroids = clusters.centroids.select(0, 0).index_select(0, &order); // [k, c]
            let (_, c, h, w) = map.size4().expect("a map has four axes");
            let unit = |t: &Tensor| {
                t / t
                    .square()
                    .sum_dim_intlist(-1, true, None::<Kind>)
                    .sqrt()
                    .clamp_min(1e-12)
            };
            let cells = unit(&map.view([c, h * w]).transpose(0, 1)); // [cells, c]
            let similarity = unit(&centroids)
                .matmul(&cells.transpose(0, 1))
                .view([1, -1, h, w]);
            Clustering {
                similarity,
                agreement: agreement(&clusters.labels.select(0, 0)),
            }
        })
    }

    /// The cluster of every pixel of the picture at `size`, of which the map is `shown`: similarities
    /// are interpolated, then the nearest centroid wins.
    pub fn labels(&self, shown: Shown, size: Size) -> Vec<i64> {
        let smooth = shown.resample(&self.similarity, size);
        let labels = smooth.argmax(1, false).view([-1]).to_device(Device::Cpu);
        Vec::try_from(labels).expect("labels are integers")
    }
}

/// Mean row of each cluster's cells, `[k]`; an empty cluster comes last.
fn mean_heights(clusters: &cluster::Clusters, map: &Tensor) -> Tensor {
    let (_, _, h, w) = map.size4().expect("a map has four axes");
    let members = clusters.membership(Kind::Float).select(0, 0); // [cells, k]
    let rows = Tensor::arange(h, (Kind::Float, map.device()))
        .unsqueeze(1)
        .repeat([1, w])
        .view([h * w, 1]);
    let counts = members.sum_dim_intlist(0, false, None::<Kind>);
    let sums = (&members * rows).sum_dim_intlist(0, false, None::<Kind>);
    (sums / counts.clamp_min(1.0)).masked_fill(&counts.eq(0.0), h as f64)
}

/// Share of horizontal and vertical neighbours with the same label; labels `[h, w]`.
fn agreement(labels: &Tensor) -> f64 {
    let (h, w) = labels.size2().expect("labels have two axes");
    let same = |axis: i64, n: i64| {
        let pairs = labels
            .narrow(axis, 1, n - 1)
            .eq_tensor(&labels.narrow(axis, 0, n - 1));
        (
            pairs.sum(Kind::Double).double_value(&[]),
            pairs.numel() as f64,
        )
    };
    let ((down, of_down), (right, of_right)) = (same(0, h), same(1, w));
    (down + right) / (of_down + of_right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::cluster::{Centroid, Draw, Empty, Metric, Seeds};

    #[test]
    fn agreement_counts_neighbours() {
        let one = Tensor::zeros([3, 4], (Kind::Int64, Device::Cpu));
        assert_eq!(agreement(&one), 1.0);
        let checkered = Tensor::from_slice(&[0i64, 1, 1, 0]).view([2, 2]);
        assert_eq!(agreement(&checkered), 0.0);
        let halves = Tensor::from_slice(&[0i64, 0, 1, 1]).view([2, 2]);
        assert_eq!(agreement(&halves), 0.5);
    }

    #[test]
    fn colours_run_from_top_to_bottom() {
        // Upper half of the map in one direction, lower half in another.
        let top = Tensor::from_slice(&[1.0f32, 0.0])
            .view([1, 2, 1, 1])
            .expand([1, 2, 2, 4], false);
        let bottom = Tensor::from_slice(&[0.0f32, 1.0])
            .view([1, 2, 1, 1])
            .expand([1, 2, 2, 4], false);
        for (maps, expected) in [([&top, &bottom], [0.5, 2.5]), ([&bottom, &top], [0.5, 2.5])] {
            let map = Tensor::cat(&maps, 2);
            let knobs = KMeans {
                k: 2,
                iters: 10,
                metric: Metric::Cosine,
                seeds: Seeds::Farthest,
                draw: Draw::default(),
                centroid: Centroid::Raw,
                empty: Empty::Keep,
            };
            let clusters = cluster::kmeans(&map, knobs);
            let mut heights = Vec::<f32>::try_from(mean_heights(&clusters, &map)).unwrap();
            heights.sort_by(f32::total_cmp);
            assert_eq!(heights, expected);
        }
    }
}
