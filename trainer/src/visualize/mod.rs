//! `trainer visualize`: the paper's Figure 6, before and after training, and of several networks
//! side by side.
//!
//! Each row is one whole frame: as it is, and tinted by the K-means clusters (cosine, RECIPE 3.5)
//! of a backbone's last map: of random weights, then of every network that is named. Nothing is
//! labelled or learned here: what belongs together after training is what the network has come to
//! see as alike. Colours are sorted by height in the frame, top to bottom, so that sky or buildings
//! and road keep theirs over the rows.
//!
//! The random network's batch norms use the frame's own statistics, because it has none; the others
//! use their running ones.

mod sheet;

use anyhow::{Result, ensure};
use draw::Canvas;
use schemas::geom::Size;
use tch::{Device, Kind, Tensor, no_grad};

use crate::cli::VisualizeArgs;
use crate::cluster::{self, KMeans};
use crate::device::{self, normalised};
use crate::error::{torch, usage};
use crate::frames::{self, Frame};
use crate::weights::{Backbone, Weights};
pub use sheet::tinted;
use sheet::{Column, PANEL_PX};

/// Cells along a frame that make clusters worth looking at.
const CELLS_ACROSS: i64 = 20;

/// Runs the command.
///
/// # Errors
/// If a network or the set cannot be read, or the picture not written.
pub fn visualize(args: &VisualizeArgs) -> Result<()> {
    let device = device::select(&args.device)?;
    let named = std::iter::once(&args.run).chain(&args.beside);
    let named: Vec<Weights> = named
        .map(|path| Weights::open(path, args.network))
        .collect::<Result<_>>()?;
    let knobs = KMeans {
        k: args.k.unwrap_or(named[0].kmeans.k),
        ..named[0].kmeans
    };
    if !(2..=sheet::MOST_CLUSTERS).contains(&knobs.k) {
        return Err(usage(format!(
            "--k {}: 2 to {} is expected",
            knobs.k,
            sheet::MOST_CLUSTERS
        )));
    }
    let random = Weights::random(named[0].model.clone(), 0);
    let networks: Vec<Network> = std::iter::once((random, true))
        .chain(named.into_iter().map(|weights| (weights, false)))
        .map(|(weights, own_statistics)| Network::new(weights, own_statistics, args.width, device))
        .collect::<Result<_>>()?;

    let widest = networks
        .iter()
        .map(|network| network.width)
        .max()
        .unwrap_or(0)
        .max(PANEL_PX);
    let frames = frames::pick(&args.shards, args.filter.as_deref(), args.frames, widest)?;
    let columns = networks
        .iter()
        .map(|network| network.column(&frames, knobs, device))
        .collect::<Result<Vec<_>>>()?;
    sheet::draw(&frames, &columns, knobs.k)
        .save(&args.out)
        .map_err(|e| usage(e.to_string()))?;
    eprintln!(
        "{}: {} frames; neighbouring cells in the same cluster:",
        args.out.display(),
        frames.len()
    );
    for column in &columns {
        eprintln!("  {:3.0} %  {}", 100.0 * column.agreement(), column.title);
    }
    Ok(())
}

/// A backbone, and how it is shown frames.
struct Network {
    title: String,
    backbone: Backbone,
    /// Whether batch norms use the statistics of the frame.
    own_statistics: bool,
    /// Of its input, in pixels.
    width: u32,
    /// Side of a cell of its last map, in pixels of its input.
    cell_px: i64,
}

impl Network {
    fn new(
        weights: Weights,
        own_statistics: bool,
        width: Option<u32>,
        device: Device,
    ) -> Result<Self> {
        let cell_px = weights.model.cell_px();
        let width = width
            .map_or(CELLS_ACROSS * cell_px, i64::from)
            .max(2 * cell_px) as u32;
        let backbone = weights.build(&weights.model, device)?;
        Ok(Self {
            title: weights.origin,
            backbone,
            own_statistics,
            width,
            cell_px,
        })
    }

    fn column(&self, frames: &[Frame], knobs: KMeans, device: Device) -> Result<Column> {
        let clusterings = frames.iter().map(|frame| {
            let input = network_input(&frame.picture, self.width, self.cell_px, device)?;
            let map = no_grad(|| self.backbone.net.forward(&input, self.own_statistics)); // [1, c, h, w]
            Ok(Clustering::of(&map, knobs))
        });
        Ok(Column {
            title: self.title.clone(),
            clusterings: clusterings.collect::<Result<_>>()?,
        })
    }
}

/// The clusters of one map.
pub struct Clustering {
    /// Similarity of each cell to each centroid, `[1, k, h, w]`; clusters sorted by mean height,
    /// top first.
    similarity: Tensor,
    /// Share of neighbouring cells that are in the same cluster.
    agreement: f64,
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

    /// The cluster of every pixel of a picture of `size`: similarities are interpolated, then the
    /// nearest centroid wins.
    pub fn labels(&self, size: Size) -> Vec<i64> {
        let to = [i64::from(size.height), i64::from(size.width)];
        let smooth = self.similarity.upsample_bilinear2d(to, false, None, None);
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

/// The frame as the network wants it: `[1, 3, h, w]`, normalised, about `width` pixels wide, whole
/// cells.
fn network_input(picture: &Canvas, width: u32, cell_px: i64, device: Device) -> Result<Tensor> {
    let cell = cell_px as u32;
    let whole = |px: f64| ((px / f64::from(cell)).round().max(2.0) as u32) * cell;
    let of = picture.size();
    let height = f64::from(width) * f64::from(of.height) / f64::from(of.width);
    let size = Size::new(whole(f64::from(width)), whole(height));
    let small = picture.resized(size);
    ensure!(!small.rgb().is_empty(), "an empty frame");
    let bytes = Tensor::f_from_slice(small.rgb()).map_err(torch)?;
    let shape = [1, i64::from(size.height), i64::from(size.width), 3];
    Ok(normalised(&bytes.view(shape), device))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::MethodConfig;

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
                ..MethodConfig::default().kmeans()
            };
            let clusters = cluster::kmeans(&map, knobs);
            let mut heights = Vec::<f32>::try_from(mean_heights(&clusters, &map)).unwrap();
            heights.sort_by(f32::total_cmp);
            assert_eq!(heights, expected);
        }
    }
}
