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

#[cfg(test)]
mod tests {
    use super::*;
    use draw::Color;

    fn pair(size: Size, color: Color, id: u8) -> Labelled {
        let pixels = (size.width * size.height) as usize;
        Labelled {
            image: Canvas::from_rgb(size, &color.repeat(pixels)),
            labels: vec![id; pixels],
        }
    }

    #[test]
    fn panels_lie_side_by_side_and_rows_below_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sheet.png");
        let (red, blue) = ([200, 30, 40], [10, 20, 230]);
        let wide = pair(Size::new(80, 40), red, 0);
        let tall = pair(Size::new(20, 30), blue, 13);
        let rows = [(&wide, &[8; 80 * 40][..]), (&tall, &[255; 20 * 30])]
            .map(|(pair, predicted)| Row { pair, predicted });
        save(&rows, &path).unwrap();
        let sheet = image::open(&path).unwrap().to_rgb8();
        let at = |x: u32, y: u32| sheet.get_pixel(x, y).0;
        // Panels of 400 × 200 and 400 × 600, 12 around them and 36 above.
        assert_eq!(sheet.dimensions(), (1248, 860));
        // Road, vegetation; car, ignored.
        for (y, height, colors) in [
            (36, 200, [red, [128, 64, 128], [107, 142, 35]]),
            (248, 600, [blue, [0, 0, 142], [0, 0, 0]]),
        ] {
            for (x, color) in [12, 424, 836].into_iter().zip(colors) {
                let (right, below) = (x + 400, y + height);
                assert_eq!([at(x, y), at(right - 1, below - 1)], [color; 2]);
                let around = [at(x - 1, y), at(right, y), at(x, below)];
                assert_eq!(around, [palette::PAPER; 3], "around {x}, {y}");
            }
        }
        for x in [12, 424, 836] {
            let mut head = (x..x + 400).flat_map(|x| (0..36).map(move |y| (x, y)));
            assert!(head.any(|(x, y)| at(x, y) != palette::PAPER), "title");
            let edges = (x..x + 400).flat_map(|x| [at(x, 0), at(x, 35)]);
            assert!(edges.into_iter().all(|color| color == palette::PAPER));
        }
    }
}
