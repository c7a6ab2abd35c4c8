//! What can be chosen about a clustering.

use serde::{Deserialize, Serialize};

/// What "near" means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// 1 − cos.
    Cosine,
    /// Squared Euclidean distance.
    Euclidean,
}

/// What a cluster's centroid is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Centroid {
    /// Mean of its vectors.
    Raw,
    /// Mean of its L2-normalised vectors (spherical K-means).
    Unit,
}

/// What becomes of a cluster that lost all its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Empty {
    /// It keeps its centroid.
    Keep,
    /// It moves to the cell that is farthest from its own centroid.
    Farthest,
}

/// Knobs of the clustering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KMeans {
    /// Clusters per image, at least 1 and at most the number of cells. Paper: 3.
    pub k: i64,
    /// Lloyd iterations, at least 1.
    pub iters: i64,
    /// Distance. Paper: cosine.
    pub metric: Metric,
    /// Seeds.
    pub seeds: Seeds,
    /// Which draw, for random seeds.
    pub draw: Draw,
    /// Centroids.
    pub centroid: Centroid,
    /// Empty clusters.
    pub empty: Empty,
}

/// Which cells seed the clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seeds {
    /// The cell nearest to the mean direction (Euclidean: the mean), then always the cell farthest
    /// from all seeds.
    Farthest,
    /// The first K cells.
    First,
    /// K cells at equal distances in row-major order.
    Spread,
    /// K distinct cells at random, other ones in every image and every [`Draw`].
    Random,
}

/// A place in the stream of random seeds: another seed or number, other cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draw {
    /// The run's seed.
    pub seed: u64,
    /// Number of the draw.
    pub number: u64,
    /// Images of the draw that other ranks cluster, and that come before the ones here.
    pub images_before: u64,
}
