//! What TensorBoard shows of a run beside its curves: crop pairs of a batch, and how the backbone
//! groups their cells.
//!
//! Drawn on the CPU every few hundred steps. Nothing here changes a weight, a statistic or a random
//! stream.

use draw::{Canvas, Color, palette};
use eval::cells::Shown;
use eval::visualize::{Clustering, tinted};
use model::Network;
use model::cluster::KMeans;
use model::device::normalised;
use sampler::Batch;
use sampler::paint::paint_view;
use schemas::geom::Size;
use tch::{Device, Kind, Tensor, no_grad};

use crate::method::Method;

/// Pairs in a picture.
const NUM_PAIRS: usize = 4;
/// Side of a view in a picture.
const SIDE_PX: u32 = 240;
const GAP_PX: u32 = 8;
/// Edges of the first and the second view, as in `sampler preview`.
const EDGES: [Color; 2] = [palette::ORANGE, palette::BLUE];

/// Draws whenever it is due.
pub struct Pictures {
    /// 0: never.
    every: u64,
    kmeans: KMeans,
    /// Pixels of a view between the centres of two cells.
    cell_px: i64,
    device: Device,
    kept: Option<Kept>,
}

/// What is drawn of a batch once its step is done.
struct Kept {
    pairs: Canvas,
    /// The first views, `[n, side, side, 3]` bytes.
    views: Tensor,
}

impl Pictures {
    /// Pictures every so many steps, with a method's way to cluster and cells so many pixels apart.
    pub fn new(every: u64, kmeans: KMeans, cell_px: i64, device: Device) -> Self {
        Self {
            every,
            kmeans,
            cell_px,
            device,
            kept: None,
        }
    }

    /// Keeps what it needs of a batch of step `step`, if a picture is due then.
    pub fn note(&mut self, step: u64, batch: &Batch) {
        if self.every == 0 || !step.is_multiple_of(self.every) {
            return;
        }
        let count = NUM_PAIRS.min(batch.len());
        let drawn: Vec<Vec<Canvas>> = (0..2)
            .map(|view| {
                (0..count)
                    .map(|pair| paint_view(batch, pair, view, SIDE_PX, EDGES[view]))
                    .collect()
            })
            .collect();
        let side = i64::from(batch.output());
        let bytes = count * (side * side * 3) as usize;
        let views = Tensor::from_slice(&batch.view(0)[..bytes]);
        self.kept = Some(Kept {
            pairs: arranged(&drawn),
            views: views.view([count as i64, side, side, 3]),
        });
    }

    /// The pictures of the step before, with their names, if they were due.
    pub fn draw(&mut self, method: &Method) -> Vec<(&'static str, Canvas)> {
        let Some(Kept { pairs, views }) = self.kept.take() else {
            return Vec::new();
        };
        let side = Size::new(SIDE_PX, SIDE_PX);
        let map = no_grad(|| {
            method
                .backbone(Network::Online)
                .forward(&normalised(&views, self.device), false)
        });
        let (count, _, _, _) = map.size4().expect("a map has four axes");
        let view_px = views.size()[1] as u32;
        let shown = Shown {
            cell_px: self.cell_px,
            seen: Size::new(view_px, view_px),
        };
        let (shown, grouped): (Vec<Canvas>, Vec<Canvas>) = (0..count)
            .map(|view| {
                let picture = picture_of(&views.get(view)).resized(side);
                let clusters =
                    Clustering::of(&map.narrow(0, view, 1).to_kind(Kind::Float), self.kmeans);
                let grouped = tinted(&picture, &clusters.labels(shown, side));
                (picture, grouped)
            })
            .unzip();
        vec![
            ("crop_pairs", pairs),
            ("clusters", arranged(&[shown, grouped])),
        ]
    }
}

fn picture_of(bytes: &Tensor) -> Canvas {
    let (height, width, _) = bytes.size3().expect("a picture has three axes");
    let rgb = Vec::<u8>::try_from(bytes.reshape([-1])).expect("pixels are bytes");
    Canvas::from_rgb(Size::new(width as u32, height as u32), &rgb)
}

/// Rows of pictures of one size.
fn arranged(rows: &[Vec<Canvas>]) -> Canvas {
    let step = SIDE_PX + GAP_PX;
    let columns = rows.first().map_or(0, Vec::len) as u32;
    let mut sheet = Canvas::new(
        Size::new(GAP_PX + columns * step, GAP_PX + rows.len() as u32 * step),
        palette::PAPER,
    );
    for (row, y) in rows.iter().zip((GAP_PX..).step_by(step as usize)) {
        for (picture, x) in row.iter().zip((GAP_PX..).step_by(step as usize)) {
            sheet.paste(picture, x as i32, y as i32);
        }
    }
    sheet
}
