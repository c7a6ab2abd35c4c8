//! `trainer visualize`: the paper's Figure 6, before and after training.
//!
//! Each row is one whole frame: as it is, and tinted by the K-means clusters (cosine, RECIPE 3.5) of the backbone's last
//! map, at random initialisation and after training. Nothing is labelled or learned here: what belongs together after
//! training is what the network has come to see as alike. Colours are sorted by height in the frame, top to bottom, so
//! that sky or buildings and road keep theirs over the rows.
//!
//! The random network's batch norms use the frame's own statistics, because it has none; the trained one's use the
//! running ones.

use anyhow::{Context, Result, ensure};
use sampler::draw::{Canvas, Color, Text, Weight, palette};
use schemas::frame::FrameMeta;
use schemas::geom::{BoxPx, Size};
use tch::{Device, Kind, Tensor, no_grad};

use crate::checkpoint::Checkpoint;
use crate::cli::VisualizeArgs;
use crate::cluster::{self, KMeans};
use crate::config::RunConfig;
use crate::device::{self, normalised};
use crate::error::{torch, usage};
use crate::frames::{self, Frame};
use crate::layers;
use crate::method::{self, Method, Network};

/// Cells along a frame that make clusters worth looking at.
const CELLS_ACROSS: i64 = 20;
/// Width of a panel, and the space around it, in pixels.
const PANEL_PX: u32 = 480;
const GAP_PX: u32 = 14;
const CAPTION_PX: u32 = 24;
const HEAD_PX: u32 = 96;
/// How much of a cluster's colour covers the frame.
const TINT: f32 = 0.55;
/// Most clusters that the palette keeps apart.
const MOST_CLUSTERS: i64 = 8;

/// Colours from the top of the frame to its bottom.
const CLUSTER_COLORS: [Color; 8] = [
    palette::BLUE,
    [240, 200, 40],
    [213, 70, 50],
    palette::GREEN,
    [204, 80, 160],
    [90, 190, 235],
    [150, 80, 30],
    [120, 120, 120],
];

/// Runs the command.
pub fn visualize(args: &VisualizeArgs) -> Result<()> {
    if !args.run.exists() {
        return Err(usage(format!("no run at {:?}", args.run)));
    }
    let checkpoint = Checkpoint::open(&args.run)?;
    let config = layers::parse_resolved(&checkpoint.header.config, "the checkpoint's config")?;
    let device = device::select(&args.device)?;
    let knobs = KMeans { k: args.k.unwrap_or(config.method.k), ..config.method.kmeans() };
    if !(2..=MOST_CLUSTERS).contains(&knobs.k) {
        return Err(usage(format!("--k {}: 2 to {MOST_CLUSTERS} is expected", knobs.k)));
    }
    let least = CELLS_ACROSS * config.model.cell_px();
    let width = args.width.map_or(least, i64::from).max(2 * config.model.cell_px()) as u32;
    let frames = frames::pick(&args.shards, args.filter.as_deref(), args.frames, width.max(PANEL_PX))?;
    let fresh = build(&config, device)?;
    let mut trained = build(&config, device)?;
    trained.load_state(&checkpoint.networks()).context("loading the checkpoint")?;

    let mut rows = Vec::new();
    for frame in &frames {
        let input = network_input(&frame.picture, width, config.model.cell_px(), device)?;
        rows.push(Row {
            frame,
            before: Clustering::of(&fresh, &input, true, knobs),
            after: Clustering::of(&trained, &input, false, knobs),
        });
    }
    let sheet = draw(&rows, knobs.k, &config, checkpoint.header.step);
    sheet.save(&args.out).map_err(|e| usage(e.to_string()))?;
    let (before, after) = mean_agreement(&rows);
    eprintln!(
        "{}: {} frames; neighbouring cells in the same cluster: {:.0} % before training, {:.0} % after {} steps",
        args.out.display(),
        rows.len(),
        100.0 * before,
        100.0 * after,
        checkpoint.header.step
    );
    Ok(())
}

fn build(config: &RunConfig, device: Device) -> Result<Method> {
    let mut method = method::build(&config.method, &config.model, device, Kind::Float, config.seed)?;
    method.set_train(false);
    Ok(method)
}

/// One frame and what both networks make of it.
struct Row<'a> {
    frame: &'a Frame,
    before: Clustering,
    after: Clustering,
}

/// The clusters of one map.
struct Clustering {
    /// Similarity of each cell to each centroid, `[1, k, h, w]`; clusters sorted by mean height, top first.
    similarity: Tensor,
    /// Share of neighbouring cells that are in the same cluster.
    agreement: f64,
}

impl Clustering {
    fn of(method: &Method, input: &Tensor, own_statistics: bool, knobs: KMeans) -> Self {
        no_grad(|| {
            let map = method.backbone(Network::Online).forward(input, own_statistics); // [1, c, h, w]
            let clusters = cluster::kmeans(&map, knobs);
            let heights = mean_heights(&clusters, &map);
            let order = heights.argsort(-1, false);
            let centroids = clusters.centroids.select(0, 0).index_select(0, &order); // [k, c]
            let (_, c, h, w) = map.size4().expect("a map has four axes");
            let unit = |t: &Tensor| t / t.square().sum_dim_intlist(-1, true, None::<Kind>).sqrt().clamp_min(1e-12);
            let cells = unit(&map.view([c, h * w]).transpose(0, 1)); // [cells, c]
            let similarity = unit(&centroids).matmul(&cells.transpose(0, 1)).view([1, -1, h, w]);
            Clustering { similarity, agreement: agreement(&clusters.labels.select(0, 0)) }
        })
    }

    /// The cluster of every pixel of a picture of `size`: similarities are interpolated, then the nearest centroid wins.
    fn labels(&self, size: Size) -> Vec<i64> {
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
    let rows = Tensor::arange(h, (Kind::Float, map.device())).unsqueeze(1).repeat([1, w]).view([h * w, 1]);
    let counts = members.sum_dim_intlist(0, false, None::<Kind>);
    let sums = (&members * rows).sum_dim_intlist(0, false, None::<Kind>);
    (sums / counts.clamp_min(1.0)).masked_fill(&counts.eq(0.0), h as f64)
}

/// Share of horizontal and vertical neighbours with the same label; labels `[h, w]`.
fn agreement(labels: &Tensor) -> f64 {
    let (h, w) = labels.size2().expect("labels have two axes");
    let same = |axis: i64, n: i64| {
        let pairs = labels.narrow(axis, 1, n - 1).eq_tensor(&labels.narrow(axis, 0, n - 1));
        (pairs.sum(Kind::Double).double_value(&[]), pairs.numel() as f64)
    };
    let ((down, of_down), (right, of_right)) = (same(0, h), same(1, w));
    (down + right) / (of_down + of_right)
}

/// The frame as the network wants it: `[1, 3, h, w]`, normalised, about `width` pixels wide, whole cells.
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

fn mean_agreement(rows: &[Row<'_>]) -> (f64, f64) {
    let n = rows.len() as f64;
    let mean = |of: fn(&Row<'_>) -> f64| rows.iter().map(of).sum::<f64>() / n;
    (mean(|row| row.before.agreement), mean(|row| row.after.agreement))
}

fn draw(rows: &[Row<'_>], k: i64, config: &RunConfig, step: u64) -> Canvas {
    let panels: Vec<Size> = rows.iter().map(|row| panel_size(row.frame)).collect();
    let height: u32 = panels.iter().map(|p| p.height + CAPTION_PX + GAP_PX).sum();
    let size = Size::new(3 * PANEL_PX + 4 * GAP_PX, HEAD_PX + height + GAP_PX);
    let mut sheet = Canvas::new(size, palette::PAPER);
    draw_head(&mut sheet, mean_agreement(rows), k, config, step);
    let mut y = HEAD_PX;
    for (row, panel) in rows.iter().zip(&panels) {
        let picture = row.frame.picture.resized(*panel);
        let panels = [
            picture.clone(),
            tinted(&picture, &row.before.labels(*panel)),
            tinted(&picture, &row.after.labels(*panel)),
        ];
        for (column, picture) in panels.iter().enumerate() {
            sheet.paste(picture, column_x(column as u32) as i32, y as i32);
        }
        let caption = Text { size: 13.0, color: palette::MUTED, ..Text::default() };
        let at = (y + panel.height + CAPTION_PX / 2) as i32;
        sheet.text(column_x(0) as i32, at, caption, &describe(&row.frame.meta));
        y += panel.height + CAPTION_PX + GAP_PX;
    }
    sheet
}

fn draw_head(sheet: &mut Canvas, (before, after): (f64, f64), k: i64, config: &RunConfig, step: u64) {
    let title = Text { size: 22.0, weight: Weight::Bold, ..Text::default() };
    let column = Text { size: 16.0, weight: Weight::Bold, ..Text::default() };
    let note = Text { size: 13.0, color: palette::MUTED, ..Text::default() };
    let heading = format!("What the backbone groups together: K-means of its last map, K = {k}");
    sheet.text(GAP_PX as i32, 24, title, &heading);
    let smooth = |share: f64| format!("neighbouring cells alike: {:.0} %", 100.0 * share);
    let columns = [
        ("frame".to_owned(), String::new()),
        ("random weights".to_owned(), smooth(before)),
        (format!("after {step} steps of {}", method_label(config)), smooth(after)),
    ];
    for (ix, (head, below)) in columns.iter().enumerate() {
        let x = column_x(ix as u32) as i32;
        sheet.text(x, 56, column, head);
        match ix {
            0 => draw_swatches(sheet, x, 78, k, note),
            _ => sheet.text(x, 78, note, below),
        }
    }
}

/// The colours of the clusters, with what they mean.
fn draw_swatches(sheet: &mut Canvas, x: i32, y: i32, k: i64, look: Text) {
    for (ix, color) in CLUSTER_COLORS.into_iter().take(k as usize).enumerate() {
        let square = BoxPx::from_xywh((x + 18 * ix as i32) as f32, (y - 7) as f32, 14.0, 14.0);
        sheet.fill(square, color);
    }
    sheet.text(x + 18 * k as i32 + 6, y, look, "clusters of each frame on its own, its top first; no labels used");
}

fn column_x(column: u32) -> u32 {
    GAP_PX + column * (PANEL_PX + GAP_PX)
}

fn panel_size(frame: &Frame) -> Size {
    let of = frame.picture.size();
    let height = f64::from(PANEL_PX) * f64::from(of.height) / f64::from(of.width);
    Size::new(PANEL_PX, (height.round() as u32).max(1))
}

/// The picture in grey under its clusters' colours, with a light line between them.
fn tinted(picture: &Canvas, labels: &[i64]) -> Canvas {
    let size = picture.size();
    let width = size.width as usize;
    let mut rgb = Vec::with_capacity(3 * labels.len());
    for (ix, (pixel, label)) in picture.rgb().chunks_exact(3).zip(labels).enumerate() {
        let (x, y) = (ix % width, ix / width);
        let differs = |other: usize| labels[other] != *label;
        let edge = (x > 0 && differs(ix - 1)) || (y > 0 && differs(ix - width));
        let grey = (f32::from(pixel[0]) * 0.299 + f32::from(pixel[1]) * 0.587 + f32::from(pixel[2]) * 0.114).round();
        let color = CLUSTER_COLORS[*label as usize];
        rgb.extend(color.map(|c| match edge {
            true => 255,
            false => (grey + (f32::from(c) - grey) * TINT).round() as u8,
        }));
    }
    Canvas::from_rgb(size, &rgb)
}

/// One line about a frame: whatever its source tells.
fn describe(meta: &FrameMeta) -> String {
    let size = format!("{}×{}", meta.size.width, meta.size.height);
    let known = [&meta.camera, &meta.time_of_day, &meta.weather, &meta.location];
    let name = meta.frame_id.rsplit('/').next().unwrap_or_default();
    // Waymo's frame ids end with the camera, which then is the name already.
    let known = known.into_iter().flatten().filter(|text| *text != name).cloned();
    let name: String = match name.chars().count() > 40 {
        true => name.chars().take(37).chain("...".chars()).collect(),
        false => name.to_owned(),
    };
    let parts: Vec<String> = [meta.dataset.clone(), name].into_iter().chain(known).chain([size]).collect();
    parts.join("  ·  ")
}

fn method_label(config: &RunConfig) -> String {
    config.method.name.title().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let top = Tensor::from_slice(&[1.0f32, 0.0]).view([1, 2, 1, 1]).expand([1, 2, 2, 4], false);
        let bottom = Tensor::from_slice(&[0.0f32, 1.0]).view([1, 2, 1, 1]).expand([1, 2, 2, 4], false);
        for (maps, expected) in [([&top, &bottom], [0.5, 2.5]), ([&bottom, &top], [0.5, 2.5])] {
            let map = Tensor::cat(&maps, 2);
            let knobs = KMeans { k: 2, ..method::MethodConfig::default().kmeans() };
            let clusters = cluster::kmeans(&map, knobs);
            let mut heights = Vec::<f32>::try_from(mean_heights(&clusters, &map)).unwrap();
            heights.sort_by(f32::total_cmp);
            assert_eq!(heights, expected);
        }
    }

    #[test]
    fn a_cluster_border_is_a_line() {
        let picture = Canvas::new(Size::new(4, 1), [100, 100, 100]);
        let tinted = tinted(&picture, &[0, 0, 1, 1]);
        assert_eq!(&tinted.rgb()[6..9], [255, 255, 255]);
        assert_ne!(&tinted.rgb()[0..3], [255, 255, 255]);
        assert_ne!(tinted.rgb()[0..3], tinted.rgb()[9..12]);
    }
}
