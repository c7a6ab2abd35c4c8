//! K-means inside one image, for a whole batch at once (paper, section 3.3, "Intra-image
//! clustering"; RECIPE 3.5).
//!
//! Lloyd's iterations on the cells of each map on their own, a fixed number of them, from `seeds`;
//! no gradient. The same maps and knobs give the same clusters. Distances are cosine or Euclidean.
//! Ties go to the cluster with the lowest index; the final centroids are the means of the final
//! assignment. Clusters may be empty, and a constant map is no special case: nothing divides by
//! zero. Works in float32, or in float64 when the input is.

mod distance;
mod knobs;
mod lloyd;
mod seeds;

pub use knobs::{Centroid, Draw, Empty, KMeans, Metric, Seeds};
pub use lloyd::{Clusters, kmeans};
