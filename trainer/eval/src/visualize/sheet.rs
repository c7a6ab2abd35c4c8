//! The picture: a row a frame, a column a network.

use draw::{Canvas, Color, Text, Weight, palette};
use schemas::frame::FrameMeta;
use schemas::geom::{BoxPx, Size};

use super::clustering::Clustering;
use crate::cells::Shown;
use crate::frames::Frame;

/// Width of a panel, and the space around it, in pixels.
pub(crate) const PANEL_PX: u32 = 480;
const GAP_PX: u32 = 14;
const CAPTION_PX: u32 = 24;
const HEAD_PX: u32 = 96;
/// How much of a cluster's colour covers the frame.
const TINT: f32 = 0.55;
/// Most clusters that the palette keeps apart.
pub(crate) const MOST_CLUSTERS: i64 = 8;

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

/// What one network makes of the frames.
pub(crate) struct Column {
    /// Where its weights come from.
    pub title: String,
    /// One a frame, and how its map lies on the frame.
    pub clusterings: Vec<(Clustering, Shown)>,
}

impl Column {
    /// Share of neighbouring cells that are in the same cluster, mean over the frames.
    pub(crate) fn agreement(&self) -> f64 {
        self.clusterings
            .iter()
            .map(|(clustering, _)| clustering.agreement)
            .sum::<f64>()
            / self.clusterings.len() as f64
    }
}

/// Draws every frame, and its clusters of every column.
pub(crate) fn draw(frames: &[Frame], columns: &[Column], k: i64) -> Canvas {
    let panels: Vec<Size> = frames.iter().map(panel_size).collect();
    let height: u32 = panels.iter().map(|p| p.height + CAPTION_PX + GAP_PX).sum();
    let width = column_x(columns.len() as u32 + 1);
    let mut sheet = Canvas::new(Size::new(width, HEAD_PX + height + GAP_PX), palette::PAPER);
    draw_head(&mut sheet, columns, k);
    let mut y = HEAD_PX;
    for (ix, (frame, panel)) in frames.iter().zip(&panels).enumerate() {
        let picture = frame.picture.resized(*panel);
        sheet.paste(&picture, column_x(0) as i32, y as i32);
        for (column, x) in columns.iter().zip((1..).map(column_x)) {
            let (clustering, shown) = &column.clusterings[ix];
            let labels = clustering.labels(*shown, *panel);
            sheet.paste(&tinted(&picture, &labels), x as i32, y as i32);
        }
        let caption = Text {
            size: 13.0,
            color: palette::MUTED,
            ..Text::default()
        };
        let at = (y + panel.height + CAPTION_PX / 2) as i32;
        sheet.text(column_x(0) as i32, at, caption, &describe(&frame.meta));
        y += panel.height + CAPTION_PX + GAP_PX;
    }
    sheet
}

fn draw_head(sheet: &mut Canvas, columns: &[Column], k: i64) {
    let title = Text {
        size: 22.0,
        weight: Weight::Bold,
        ..Text::default()
    };
    let head = Text {
        size: 16.0,
        weight: Weight::Bold,
        ..Text::default()
    };
    let note = Text {
        size: 13.0,
        color: palette::MUTED,
        ..Text::default()
    };
    let heading = format!("What the backbone groups together: K-means of its last map, K = {k}");
    sheet.text(GAP_PX as i32, 24, title, &heading);
    sheet.text(column_x(0) as i32, 56, head, "frame");
    draw_swatches(sheet, column_x(0) as i32, 78, k, note);
    for (column, x) in columns.iter().zip((1..).map(column_x)) {
        sheet.text(x as i32, 56, head, &shortened(&column.title, 52));
        sheet.text(
            x as i32,
            78,
            note,
            &format!(
                "neighbouring cells alike: {:.0} %",
                100.0 * column.agreement()
            ),
        );
    }
}

/// The end of `text`, where the name of a run and the step are.
fn shortened(text: &str, most: usize) -> String {
    match text.chars().count().checked_sub(most) {
        None | Some(0) => text.to_owned(),
        Some(over) => format!("…{}", text.chars().skip(over + 1).collect::<String>()),
    }
}

/// The colours of the clusters, with what they mean.
fn draw_swatches(sheet: &mut Canvas, x: i32, y: i32, k: i64, look: Text) {
    for (ix, color) in CLUSTER_COLORS.into_iter().take(k as usize).enumerate() {
        let square = BoxPx::from_xywh((x + 18 * ix as i32) as f32, (y - 7) as f32, 14.0, 14.0);
        sheet.fill(square, color);
    }
    sheet.text(
        x + 18 * k as i32 + 6,
        y,
        look,
        "clusters of each frame on its own, its top first; no labels used",
    );
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
pub fn tinted(picture: &Canvas, labels: &[i64]) -> Canvas {
    let size = picture.size();
    let width = size.width as usize;
    let mut rgb = Vec::with_capacity(3 * labels.len());
    for (ix, (pixel, label)) in picture.rgb().chunks_exact(3).zip(labels).enumerate() {
        let (x, y) = (ix % width, ix / width);
        let differs = |other: usize| labels[other] != *label;
        let edge = (x > 0 && differs(ix - 1)) || (y > 0 && differs(ix - width));
        let grey = (f32::from(pixel[0]) * 0.299
            + f32::from(pixel[1]) * 0.587
            + f32::from(pixel[2]) * 0.114)
            .round();
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
    let known = [
        &meta.camera,
        &meta.time_of_day,
        &meta.weather,
        &meta.location,
    ];
    let name = meta.frame_id.rsplit('/').next().unwrap_or_default();
    // Waymo's frame ids end with the camera, which then is the name already.
    let known = known
        .into_iter()
        .flatten()
        .filter(|text| *text != name)
        .cloned();
    let name: String = match name.chars().count() > 40 {
        true => name.chars().take(37).chain("...".chars()).collect(),
        false => name.to_owned(),
    };
    let parts: Vec<String> = [meta.dataset.clone(), name]
        .into_iter()
        .chain(known)
        .chain([size])
        .collect();
    parts.join("  ·  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_border_is_a_line() {
        let picture = Canvas::new(Size::new(4, 1), [100, 100, 100]);
        let tinted = tinted(&picture, &[0, 0, 1, 1]);
        assert_eq!(&tinted.rgb()[6..9], [255, 255, 255]);
        assert_ne!(&tinted.rgb()[0..3], [255, 255, 255]);
        assert_ne!(tinted.rgb()[0..3], tinted.rgb()[9..12]);
    }
}
