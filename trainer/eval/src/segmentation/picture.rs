//! Predictions beside labels, for people.

use std::path::Path;

use console::usage;
use draw::{Canvas, Text, palette};
use schemas::geom::Size;

use super::classes::color_of;
use super::dataset::Labelled;

/// Width of a panel, and the space around it, in pixels.
const PANEL_PX: u32 = 400;
const GAP_PX: u32 = 12;
const HEAD_PX: u32 = 36;

/// One line of a sheet: a picture, what it shows, and what was predicted (a train id for every
/// pixel).
pub struct Row<'a> {
    /// Image and labels.
    pub pair: &'a Labelled,
    /// Prediction.
    pub predicted: &'a [u8],
}

/// Draws image, label and prediction of each row side by side and writes the PNG.
///
/// # Errors
/// If the file cannot be written.
pub fn save(rows: &[Row<'_>], path: &Path) -> anyhow::Result<()> {
    let panel = |row: &Row<'_>| {
        let size = row.pair.image.size();
        Size::new(PANEL_PX, (PANEL_PX * size.height / size.width).max(1))
    };
    let height: u32 = rows.iter().map(|row| panel(row).height + GAP_PX).sum();
    let mut sheet = Canvas::new(
        Size::new(3 * PANEL_PX + 4 * GAP_PX, HEAD_PX + height),
        palette::PAPER,
    );
    let x = |column: u32| (GAP_PX + column * (PANEL_PX + GAP_PX)) as i32;
    for (column, title) in (0..).zip(["image", "label (black: ignored)", "prediction"]) {
        sheet.text(x(column), HEAD_PX as i32 / 2, Text::default(), title);
    }
    let mut y = HEAD_PX;
    for row in rows {
        let size = row.pair.image.size();
        let panels = [
            row.pair.image.clone(),
            painted(size, &row.pair.labels),
            painted(size, row.predicted),
        ];
        for (column, picture) in (0..).zip(panels) {
            sheet.paste(&picture.resized(panel(row)), x(column), y as i32);
        }
        y += panel(row).height + GAP_PX;
    }
    sheet.save(path).map_err(|error| usage(error.to_string()))
}

/// Train ids in their colours.
fn painted(size: Size, ids: &[u8]) -> Canvas {
    let rgb: Vec<u8> = ids.iter().flat_map(|&id| color_of(id)).collect();
    Canvas::from_rgb(size, &rgb)
}
