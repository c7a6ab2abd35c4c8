//! The paper's Figure 6: before and after training, and of several networks side by side.
//!
//! Each row is one whole frame: as it is, and tinted by the K-means clusters (cosine, RECIPE 3.5)
//! of a backbone's last map: of random weights, then of every network that is named. Nothing is
//! labelled or learned here: cells in one cluster are cells that the network has learned to represent
//! alike. Colours are sorted by height in the frame, top to bottom, so that sky or buildings
//! and road keep theirs over the rows.
//!
//! The random network's batch norms use the frame's own statistics, because it has none; the others
//! use their running ones.

mod clustering;
mod sheet;

use std::path::Path;

use anyhow::{Result, ensure};
use console::usage;
use draw::Canvas;
use model::cluster::KMeans;
use model::device::normalised;
use model::files::weights::{Backbone, Weights};
use native::torch;
use schemas::geom::Size;
use tch::{Device, Tensor, no_grad};

use crate::cells::{Shown, nearest_length};
use crate::frames::{self, Frame};
use sheet::{Column, PANEL_PX};

pub use clustering::Clustering;
pub use sheet::tinted;

/// Cells along a frame that make clusters worth looking at.
const CELLS_ACROSS: i64 = 20;

/// Which networks, shown which frames.
pub struct Request<'a> {
    /// The networks, one or more; a random one of the first's form stands before them.
    pub networks: Vec<Weights>,
    /// How cells are clustered.
    pub kmeans: KMeans,
    /// Folder of shards.
    pub shards: &'a Path,
    /// SQL filter over the catalog's columns.
    pub filter: Option<&'a str>,
    /// Number of frames, evenly spread over the shards.
    pub num_frames: usize,
    /// Width of the frames as the networks see them, in pixels; by default 20 cells.
    pub width: Option<u32>,
    /// The PNG to write.
    pub out: &'a Path,
    /// Where the networks compute.
    pub device: Device,
}

/// What was drawn.
#[derive(Debug)]
pub struct Report {
    /// Number of frames.
    pub frames: usize,
    /// Of each network, the random one first: its name, and the share of neighbouring cells that are
    /// in the same cluster.
    pub agreement: Vec<(String, f64)>,
}

/// Draws the picture.
///
/// # Errors
/// If a network or the set cannot be read, or the picture not written.
pub fn draw(request: Request<'_>) -> Result<Report> {
    let Request {
        networks,
        kmeans,
        device,
        ..
    } = request;
    if !(2..=sheet::MOST_CLUSTERS).contains(&kmeans.k) {
        return Err(usage(format!(
            "--k {}: 2 to {} is expected",
            kmeans.k,
            sheet::MOST_CLUSTERS
        )));
    }
    let random = Weights::random(networks[0].model.clone(), 0);
    let networks: Vec<Network> = std::iter::once((random, true))
        .chain(networks.into_iter().map(|weights| (weights, false)))
        .map(|(weights, own_statistics)| {
            Network::new(weights, own_statistics, request.width, device)
        })
        .collect::<Result<_>>()?;

    let widest = networks
        .iter()
        .map(|network| network.width)
        .max()
        .unwrap_or(0)
        .max(PANEL_PX);
    let frames = frames::pick(request.shards, request.filter, request.num_frames, widest)?;
    let columns = networks
        .iter()
        .map(|network| network.column(&frames, kmeans, device))
        .collect::<Result<Vec<_>>>()?;
    sheet::draw(&frames, &columns, kmeans.k)
        .save(request.out)
        .map_err(|e| usage(e.to_string()))?;
    Ok(Report {
        frames: frames.len(),
        agreement: columns
            .into_iter()
            .map(|column| (column.title.clone(), column.agreement()))
            .collect(),
    })
}

/// A backbone, and how it is shown frames.
struct Network {
    title: String,
    backbone: Backbone,
    /// Whether batch norms use the statistics of the frame.
    own_statistics: bool,
    /// Of its input, in pixels.
    width: u32,
    /// Pixels of its input between the centres of two cells of its last map.
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
            let shown = self.shown(frame.picture.size());
            let input = network_input(&frame.picture, shown.seen, device)?;
            let map = no_grad(|| self.backbone.net.forward(&input, self.own_statistics)); // [1, c, h, w]
            Ok((Clustering::of(&map, knobs), shown))
        });
        Ok(Column {
            title: self.title.clone(),
            clusterings: clusterings.collect::<Result<_>>()?,
        })
    }

    /// How a frame of size `of` is shown: about as wide as asked for, with a cell on the first and on
    /// the last pixel.
    fn shown(&self, of: Size) -> Shown {
        let (width, cell_px) = (f64::from(self.width), self.cell_px);
        let height = width * f64::from(of.height) / f64::from(of.width);
        let [width, height] = [width, height].map(|px| nearest_length(px, cell_px) as u32);
        Shown {
            cell_px,
            seen: Size::new(width, height),
        }
    }
}

/// The frame as the network wants it: `[1, 3, h, w]`, normalised.
fn network_input(picture: &Canvas, size: Size, device: Device) -> Result<Tensor> {
    let small = picture.resized(size);
    ensure!(!small.rgb().is_empty(), "an empty frame");
    let bytes = Tensor::f_from_slice(small.rgb()).map_err(torch)?;
    let shape = [1, i64::from(size.height), i64::from(size.width), 3];
    Ok(normalised(&bytes.view(shape), device))
}
