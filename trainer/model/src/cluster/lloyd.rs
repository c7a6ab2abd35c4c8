//! Lloyd's iterations, and what they find.

use tch::{Kind, Tensor, no_grad};

use super::distance::{comparable, distances, gather_rows, one_hot};
use super::knobs::{Centroid, Empty, KMeans};
use super::seeds;
use crate::numeric::{at_least_f32, unit};

/// A clustering of every map of a batch.
#[derive(Debug)]
pub struct Clusters {
    /// Cluster of every cell: `[n, h, w]`, int64, below K.
    pub labels: Tensor,
    /// Centroids `[n, k, d]`.
    pub centroids: Tensor,
}

impl Clusters {
    /// Every cell's centroid as a map `[n, d, h, w]`.
    pub fn centroid_map(&self) -> Tensor {
        let (n, h, w) = self.labels.size3().expect("labels have three axes");
        let d = self.centroids.size()[2];
        let per_cell = gather_rows(&self.centroids, &self.labels.view([n, h * w]));
        per_cell.view([n, h, w, d]).permute([0, 3, 1, 2])
    }

    /// Share of its map's cells that each cluster has: `[n, k]`, float32.
    pub fn shares(&self) -> Tensor {
        self.membership(Kind::Float)
            .mean_dim([1].as_slice(), false, None::<Kind>)
    }

    /// Membership as numbers: `[n, h*w, k]`, 1 where the cell is in the cluster.
    pub fn membership(&self, kind: Kind) -> Tensor {
        one_hot(&self.labels.flatten(1, -1), self.centroids.size()[1], kind)
    }
}

/// Clusters the cells of each map `[n, d, h, w]`: labels are int64 `[n, h, w]`, centroids
/// `[n, k, d]`. Neither carries a gradient. `knobs.k` is at most `h * w`.
pub fn kmeans(maps: &Tensor, knobs: KMeans) -> Clusters {
    no_grad(|| {
        let (n, d, h, w) = maps.size4().expect("a map has four axes");
        let points = at_least_f32(maps)
            .permute([0, 2, 3, 1])
            .reshape([n, h * w, d]);
        let seeds = seeds::indices(&points, knobs);
        let (labels, centroids) = lloyd(&points, &seeds, knobs);
        Clusters {
            labels: labels.view([n, h, w]),
            centroids,
        }
    })
}

/// Lloyd's iterations on points `[n, p, d]` from the seeds `[n, k]`: labels `[n, p]`, centroids
/// `[n, k, d]`.
fn lloyd(points: &Tensor, seeds: &Tensor, knobs: KMeans) -> (Tensor, Tensor) {
    let source = match knobs.centroid {
        Centroid::Raw => points.shallow_clone(),
        Centroid::Unit => unit(points, -1),
    };
    let compared = comparable(points, knobs.metric);
    let mut centroids = gather_rows(&source, seeds);
    let mut labels = seeds.shallow_clone();
    for _ in 0..knobs.iters {
        let distances = distances(&compared, &centroids, knobs.metric); // [n, p, k]
        labels = distances.argmin(-1, false);
        let members = one_hot(&labels, knobs.k, points.kind()); // [n, p, k]
        let counts = members
            .sum_dim_intlist(1, false, None::<Kind>)
            .unsqueeze(-1); // [n, k, 1]
        let means = members.transpose(1, 2).bmm(&source) / counts.clamp_min(1.0);
        let full = counts.gt(0.0);
        centroids = match knobs.empty {
            Empty::Keep => means.where_self(&full, &centroids),
            Empty::Farthest => {
                let own = distances
                    .gather(2, &labels.unsqueeze(-1), false)
                    .squeeze_dim(-1);
                refill(means, &full, &source, own)
            }
        };
    }
    (labels, centroids)
}

/// Moves each cluster that is not `full`, in order, to the point with the largest distance `own`
/// `[n, p]` to its own centroid; a point is taken once.
fn refill(means: Tensor, full: &Tensor, source: &Tensor, mut own: Tensor) -> Tensor {
    let k = means.size()[1];
    let mut rows = Vec::with_capacity(k as usize);
    for cluster in 0..k {
        let farthest = own.argmax(1, true); // [n, 1]
        let full = full.select(1, cluster); // [n, 1]
        let taken = Tensor::full_like(&farthest, -1.0).to_kind(own.kind());
        let without = own.scatter(1, &farthest, &taken);
        own = own.where_self(&full, &without);
        let row = means.select(1, cluster);
        rows.push(row.where_self(&full, &gather_rows(source, &farthest).squeeze_dim(1)));
    }
    Tensor::stack(&rows, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Draw, Metric, Seeds};
    use tch::Device;

    const PAPER: KMeans = KMeans {
        k: 3,
        iters: 10,
        metric: Metric::Cosine,
        seeds: Seeds::Farthest,
        draw: Draw {
            seed: 0,
            number: 0,
            images_before: 0,
        },
        centroid: Centroid::Raw,
        empty: Empty::Keep,
    };

    fn every_combination() -> Vec<KMeans> {
        let mut all = Vec::new();
        for metric in [Metric::Cosine, Metric::Euclidean] {
            for seeds in [Seeds::Farthest, Seeds::First, Seeds::Spread, Seeds::Random] {
                for centroid in [Centroid::Raw, Centroid::Unit] {
                    for empty in [Empty::Keep, Empty::Farthest] {
                        all.push(KMeans {
                            metric,
                            seeds,
                            centroid,
                            empty,
                            ..PAPER
                        });
                    }
                }
            }
        }
        all
    }

    #[test]
    fn constant_maps_never_give_nan() {
        for knobs in every_combination() {
            for value in [0.0, 1.0, -3e-20] {
                for kind in [Kind::Float, Kind::Double, Kind::BFloat16] {
                    let map = Tensor::full([2, 4, 3, 3], value, (kind, Device::Cpu));
                    let clusters = kmeans(&map, knobs);
                    let finite = clusters.centroids.isfinite().all().int64_value(&[]);
                    assert_eq!(finite, 1, "{knobs:?} {value}");
                    let expected = if kind == Kind::Double {
                        kind
                    } else {
                        Kind::Float
                    };
                    assert_eq!(clusters.centroids.kind(), expected);
                    assert_eq!(
                        clusters.labels.max().int64_value(&[]),
                        0,
                        "ties go to the lowest index"
                    );
                }
            }
        }
    }

    #[test]
    fn three_bundles_are_found_by_every_variant() {
        // three directions, far apart, three cells of each, lengths varied a little
        let mut values = Vec::new();
        for cell in 0..9 {
            let mut v = [0.02 * cell as f64, 0.01, 0.015];
            v[cell / 3] += 1.0 + 0.05 * (cell % 3) as f64;
            values.extend(v);
        }
        let map = Tensor::from_slice(&values)
            .view([1, 3, 3, 3])
            .permute([0, 3, 1, 2]);
        for knobs in every_combination() {
            if [Seeds::First, Seeds::Random].contains(&knobs.seeds) {
                continue; // may start inside one bundle and stay in a local optimum
            }
            let labels: Vec<i64> = Vec::try_from(kmeans(&map, knobs).labels.view([-1])).unwrap();
            for bundle in labels.chunks(3) {
                assert!(
                    bundle.iter().all(|l| *l == bundle[0]),
                    "{knobs:?} {labels:?}"
                );
            }
            assert!(labels[0] != labels[3] && labels[3] != labels[6] && labels[0] != labels[6]);
        }
    }

    #[test]
    fn centroids_are_means_of_their_cells() {
        let map = (Tensor::arange(2 * 5 * 12, (Kind::Double, Device::Cpu)) * 1.3)
            .cos()
            .view([2, 5, 3, 4]);
        let clusters = kmeans(&map, PAPER);
        let centroid_map = clusters.centroid_map();
        assert_eq!(centroid_map.size(), [2, 5, 3, 4]);
        for n in 0..2 {
            for k in 0..3 {
                let inside = clusters.labels.get(n).eq(k).view([-1]);
                if inside.any().int64_value(&[]) == 0 {
                    continue;
                }
                let cells = map
                    .get(n)
                    .view([5, 12])
                    .transpose(0, 1)
                    .index(&[Some(inside)]);
                let mean = cells.mean_dim(0, false, None::<Kind>);
                let gap = (mean - clusters.centroids.get(n).get(k))
                    .abs()
                    .max()
                    .double_value(&[]);
                assert!(gap < 1e-14);
            }
        }
    }

    #[test]
    fn empty_clusters_move_to_the_farthest_points_and_take_none_twice() {
        let source = Tensor::from_slice(&[1.0, 2.0, 3.0, 4.0]).view([1, 4, 1]);
        let means = Tensor::from_slice(&[0.0, 9.0, 0.0]).view([1, 3, 1]);
        let full = Tensor::from_slice(&[false, true, false]).view([1, 3, 1]);
        let own = Tensor::from_slice(&[0.1, 0.5, 0.2, 0.3]).view([1, 4]);
        let moved = refill(means, &full, &source, own);
        let moved = Vec::<f64>::try_from(moved.view([-1])).unwrap();
        assert_eq!(moved, [2.0, 9.0, 4.0]);
    }

    #[test]
    fn membership_and_shares_count_the_cells_of_each_cluster() {
        let clusters = Clusters {
            labels: Tensor::from_slice(&[2i64, 0, 2, 2]).view([1, 2, 2]),
            centroids: Tensor::zeros([1, 3, 5], (Kind::Double, Device::Cpu)),
        };
        let members = clusters.membership(Kind::Double);
        assert_eq!(members.size(), [1, 4, 3]);
        let rows = Vec::<f64>::try_from(members.view([-1])).unwrap();
        assert_eq!(rows, [0., 0., 1., 1., 0., 0., 0., 0., 1., 0., 0., 1.]);
        let shares = Vec::<f32>::try_from(clusters.shares().view([-1])).unwrap();
        assert_eq!(shares, [0.25, 0.0, 0.75]);
    }
}
