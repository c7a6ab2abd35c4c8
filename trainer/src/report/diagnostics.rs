//! What is measured of a step only where a row is due: norms, trust ratios, and signs of collapse
//! that cost something.
//!
//! Everything here reads from the device, so it waits for it.

use model::cluster::Clusters;
use model::numeric::unit;
use model::optim::Optimizer;
use native::Ranks;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

/// The measurements of one row. Null where there is nothing to measure: no LARS, no clusters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Diagnostics {
    /// `effective_rank` of the online projections of one view of a batch. At most as many as
    /// pairs or dimensions.
    pub z_rank: Option<f64>,
    /// Share of an image's cells in its smallest cluster, mean over a batch.
    pub cluster_min: Option<f64>,
    /// Share of an image's cells in its largest cluster, likewise. 1 is a map that is the same
    /// everywhere.
    pub cluster_max: Option<f64>,
    /// Clusters of an image without a cell, likewise.
    pub cluster_empty: Option<f64>,
    /// Euclidean norm over all gradients of the step, before weight decay.
    pub grad_norm: Option<f64>,
    /// Euclidean norm over all parameters of the online network after the step.
    pub weight_norm: Option<f64>,
    /// Smallest trust ratio of LARS over the tensors that have one.
    pub trust_min: Option<f64>,
    /// Their median.
    pub trust_median: Option<f64>,
    /// The largest.
    pub trust_max: Option<f64>,
}

/// Handles to what the last batch of a step left on the device.
#[derive(Debug)]
pub struct Sample {
    /// Online projections, `[n, d]`.
    pub z: Tensor,
    /// Clusters of a target map.
    pub clusters: Option<Clusters>,
}

impl Sample {
    /// That of all ranks together.
    pub fn of_all(&self, ranks: &Ranks) -> Sample {
        let clusters = self.clusters.as_ref().map(|clusters| Clusters {
            labels: ranks.gather(&clusters.labels),
            centroids: ranks.gather(&clusters.centroids),
        });
        Sample {
            z: ranks.gather(&self.z),
            clusters,
        }
    }
}

impl Diagnostics {
    /// Measures the step that has just ended. `norms` are those of gradient and weights, scalars on
    /// the device.
    pub fn measure(
        sample: &Sample,
        [grad_norm, weight_norm]: [&Tensor; 2],
        optim: &Optimizer,
    ) -> Self {
        let sizes = sample.clusters.as_ref().map(cluster_sizes);
        let trust = optim.trust_ratios().map(quantiles);
        Diagnostics {
            z_rank: Some(effective_rank(&sample.z)),
            cluster_min: sizes.map(|[min, _, _]| min),
            cluster_max: sizes.map(|[_, max, _]| max),
            cluster_empty: sizes.map(|[_, _, empty]| empty),
            grad_norm: Some(grad_norm.double_value(&[])),
            weight_norm: Some(weight_norm.double_value(&[])),
            trust_min: trust.map(|[min, _, _]| min),
            trust_median: trust.map(|[_, median, _]| median),
            trust_max: trust.map(|[_, _, max]| max),
        }
    }

    /// TensorBoard's tags and values, of what was measured.
    pub fn scalars(&self) -> [(&'static str, Option<f64>); 9] {
        [
            ("collapse/z_rank", self.z_rank),
            ("collapse/cluster_min", self.cluster_min),
            ("collapse/cluster_max", self.cluster_max),
            ("collapse/cluster_empty", self.cluster_empty),
            ("norm/gradient", self.grad_norm),
            ("norm/weight", self.weight_norm),
            ("trust/min", self.trust_min),
            ("trust/median", self.trust_median),
            ("trust/max", self.trust_max),
        ]
    }
}

/// exp(−Σ p_i log p_i) of the shares p_i = σ_i / Σ σ of the singular values of `rows` `[n, d]`,
/// L2-normalised first: how many directions they use (Roy and Vetterli, "The effective rank", 2007;
/// Garrido et al., "RankMe", 2023). From 1, all on one line, to min(n, d).
fn effective_rank(rows: &Tensor) -> f64 {
    let rows = unit(&rows.to_kind(Kind::Double), 1);
    let (n, d) = rows.size2().expect("projections have two axes");
    // The singular values are the roots of the smaller Gram matrix's eigenvalues; float64 leaves
    // enough of their digits.
    let gram = if n < d {
        rows.matmul(&rows.tr())
    } else {
        rows.tr().matmul(&rows)
    };
    let sigma = gram
        .to_device(Device::Cpu)
        .linalg_eigvalsh("L")
        .clamp_min(0.0)
        .sqrt();
    let shares = &sigma / sigma.sum(Kind::Double).clamp_min(f64::MIN_POSITIVE);
    let entropy = -(&shares * shares.clamp_min(f64::MIN_POSITIVE).log()).sum(Kind::Double);
    entropy.exp().double_value(&[])
}

/// Means over the images: share of the smallest and of the largest cluster, number of empty ones.
fn cluster_sizes(clusters: &Clusters) -> [f64; 3] {
    let shares = clusters.shares(); // [n, k]
    let dim = [1].as_slice();
    let empty = shares.eq(0.0).sum_dim_intlist(dim, false, Kind::Float);
    [shares.amin(dim, false), shares.amax(dim, false), empty]
        .map(|t| t.mean(Kind::Float).double_value(&[]))
}

/// Smallest, median (the lower of two) and largest value.
fn quantiles(values: &Tensor) -> [f64; 3] {
    [values.min(), values.median(), values.max()].map(|t| t.double_value(&[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effective_rank_counts_directions() {
        let eye = Tensor::eye(12, (Kind::Float, Device::Cpu));
        let rank = |rows: &Tensor| (effective_rank(rows) * 1e6).round() / 1e6;
        assert_eq!(rank(&eye), 12.0);
        // Lengths do not count, and neither do repetitions.
        assert_eq!(rank(&(eye.narrow(0, 0, 5).repeat([3, 1]) * 7.0)), 5.0);
        assert_eq!(
            rank(&Tensor::ones([20, 6], (Kind::Float, Device::Cpu))),
            1.0
        );
        assert_eq!(
            rank(&Tensor::zeros([4, 6], (Kind::Float, Device::Cpu))),
            1.0
        );
    }

    #[test]
    fn effective_rank_is_that_of_the_singular_values() {
        for size in [[9, 4], [4, 9]] {
            let rows = (Tensor::arange(36, (Kind::Double, Device::Cpu)) * 1.7)
                .sin()
                .view(size);
            let (_, sigma, _) = unit(&rows, 1).svd(true, false);
            let sigma = Vec::<f64>::try_from(sigma).unwrap();
            let sum: f64 = sigma.iter().sum();
            let entropy: f64 = sigma.iter().map(|s| -(s / sum) * (s / sum).ln()).sum();
            assert!((effective_rank(&rows) - entropy.exp()).abs() < 1e-6);
        }
    }

    #[test]
    fn cluster_sizes_are_means_over_images() {
        let labels = Tensor::from_slice(&[0i64, 0, 0, 0, 0, 1, 2, 2]).view([2, 2, 2]);
        let centroids = Tensor::zeros([2, 3, 5], (Kind::Float, Device::Cpu));
        assert_eq!(
            cluster_sizes(&Clusters { labels, centroids }),
            [0.125, 0.75, 1.0]
        );
    }
}
