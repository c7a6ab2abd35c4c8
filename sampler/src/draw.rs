//! Pictures for people: an RGB canvas with text, boxes and legends.
//!
//! Small on purpose: contact sheets, plots and the trainer's cluster pictures are made of images
//! that lie side by side, outlined boxes, tinted areas and captions. Positions are pixels from the
//! top left corner; whatever lies outside the canvas is clipped. Charts are drawn by plotters into
//! a part of the canvas ([`Canvas::chart`]), enlarged and averaged down: plotters places glyphs on
//! whole pixels, which shows in small print.

mod axes;

use std::path::Path;
use std::sync::{LazyLock, Once};

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use plotters::coord::Shift;
use plotters::prelude::{BitMapBackend, DrawingArea, IntoDrawingArea};
use plotters::style::text_anchor::Pos;
use plotters::style::{Color as _, FontStyle, IntoFont, RGBColor, TextStyle, register_font};
use schemas::geom::{BoxPx, Rect, Size};

use crate::error::{Error, Result};
pub use axes::{Axes, Chart};

/// A colour: red, green, blue.
pub type Color = [u8; 3];

/// Colours that stay apart in print and for colour-blind readers (Okabe and Ito, 2008), and greys
/// for text.
pub mod palette {
    use super::Color;

    /// Canvas.
    pub const PAPER: Color = [255, 255, 255];
    /// Text.
    pub const INK: Color = [32, 33, 36];
    /// Captions, axes.
    pub const MUTED: Color = [112, 117, 122];
    /// Frames of panels.
    pub const FAINT: Color = [222, 224, 228];
    /// First view.
    pub const ORANGE: Color = [230, 122, 0];
    /// Second view.
    pub const BLUE: Color = [0, 114, 200];
    /// What both views share.
    pub const GREEN: Color = [0, 170, 120];
    /// Further series, in order.
    pub const SERIES: [Color; 8] = [
        ORANGE,
        BLUE,
        GREEN,
        [204, 80, 160],
        [240, 200, 40],
        [90, 190, 235],
        [150, 80, 30],
        [120, 120, 120],
    ];
}

/// Weight of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Running text.
    Regular,
    /// Headings.
    Bold,
}

/// Where a text lies relative to its position; vertically its capitals are always centred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// It begins there.
    Left,
    /// Its middle is there.
    Center,
    /// It ends there.
    Right,
}

/// How a text looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Text {
    /// Height of a line in pixels.
    pub size: f64,
    /// Weight.
    pub weight: Weight,
    /// Colour.
    pub color: Color,
    /// Anchor.
    pub align: Align,
}

impl Default for Text {
    fn default() -> Self {
        Self {
            size: 15.0,
            weight: Weight::Regular,
            color: palette::INK,
            align: Align::Left,
        }
    }
}

/// An RGB picture in memory.
#[derive(Clone, Debug)]
pub struct Canvas {
    image: RgbImage,
}

/// How much larger charts are drawn than they appear. Lengths given to plotters are to be
/// multiplied by it.
pub const CHART_SCALE: u32 = 3;

/// Half the height of a capital letter, as a share of the line height of this font.
const HALF_CAPITAL: f32 = 0.313;
/// Name under which plotters finds the font.
const CHART_FONT: &str = "sampler";

static REGULAR: LazyLock<FontRef<'static>> = LazyLock::new(|| parse_font(dejavu::sans::regular()));
static BOLD: LazyLock<FontRef<'static>> = LazyLock::new(|| parse_font(dejavu::sans::bold()));

fn parse_font(bytes: &'static [u8]) -> FontRef<'static> {
    FontRef::try_from_slice(bytes).expect("the fonts that are part of this program are fonts")
}

impl Canvas {
    /// A canvas of one colour; `size` must not be empty.
    pub fn new(size: Size, color: Color) -> Self {
        Self {
            image: RgbImage::from_pixel(size.width, size.height, Rgb(color)),
        }
    }

    /// A picture from RGB bytes, rows without gaps; `rgb` must hold `size`'s pixels.
    pub fn from_rgb(size: Size, rgb: &[u8]) -> Self {
        let image = RgbImage::from_raw(size.width, size.height, rgb.to_vec());
        Self {
            image: image.expect("the bytes of an RGB image are 3 · width · height"),
        }
    }

    /// Width and height.
    pub fn size(&self) -> Size {
        Size::new(self.image.width(), self.image.height())
    }

    /// The pixels, RGB, rows without gaps.
    pub fn rgb(&self) -> &[u8] {
        self.image.as_raw()
    }

    /// A copy of another size; averages when it is smaller.
    pub fn resized(&self, size: Size) -> Self {
        Self {
            image: imageops::resize(&self.image, size.width, size.height, FilterType::CatmullRom),
        }
    }

    /// A copy with left and right exchanged.
    pub fn flipped(&self) -> Self {
        Self {
            image: imageops::flip_horizontal(&self.image),
        }
    }

    /// A copy of the top left `size` pixels (of what there is of them).
    pub fn cropped(&self, size: Size) -> Self {
        Self {
            image: imageops::crop_imm(&self.image, 0, 0, size.width, size.height).to_image(),
        }
    }

    /// A copy of the pixels in `area` (of what there is of it).
    pub fn part(&self, area: BoxPx) -> Self {
        let (x0, y0) = (
            area.x0.round().max(0.0) as u32,
            area.y0.round().max(0.0) as u32,
        );
        let (x1, y1) = (
            area.x1.round().max(0.0) as u32,
            area.y1.round().max(0.0) as u32,
        );
        Self {
            image: imageops::crop_imm(&self.image, x0, y0, x1 - x0, y1 - y0).to_image(),
        }
    }

    /// Puts another picture with its top left corner at (`x`, `y`).
    pub fn paste(&mut self, picture: &Self, x: i32, y: i32) {
        imageops::replace(&mut self.image, &picture.image, x.into(), y.into());
    }

    /// Mixes `color` into the pixels of `rect`; `share` 1 covers them.
    pub fn tint(&mut self, area: BoxPx, color: Color, share: f32) {
        self.for_each_in(area, |pixel, _, _| *pixel = mixed(*pixel, color, share));
    }

    /// Fills `area`.
    pub fn fill(&mut self, area: BoxPx, color: Color) {
        self.tint(area, color, 1.0);
    }

    /// Diagonal stripes of `color` over `area`, two pixels wide, every `period` pixels.
    pub fn hatch(&mut self, area: BoxPx, color: Color, share: f32, period: u32) {
        self.for_each_in(area, |pixel, x, y| {
            if (x + y) % period < 2 {
                *pixel = mixed(*pixel, color, share);
            }
        });
    }

    /// The edge of `area`, `width` pixels wide, inside it.
    pub fn outline(&mut self, area: BoxPx, color: Color, width: f32) {
        let BoxPx { x0, y0, x1, y1 } = area;
        self.fill(
            BoxPx {
                y1: y0 + width,
                ..area
            },
            color,
        );
        self.fill(
            BoxPx {
                y0: y1 - width,
                ..area
            },
            color,
        );
        self.fill(
            BoxPx {
                x1: x0 + width,
                ..area
            },
            color,
        );
        self.fill(
            BoxPx {
                x0: x1 - width,
                ..area
            },
            color,
        );
    }

    fn for_each_in(&mut self, area: BoxPx, mut change: impl FnMut(&mut Color, u32, u32)) {
        let clip = |value: f32, limit: u32| value.round().clamp(0.0, limit as f32) as u32;
        let (x0, x1) = (
            clip(area.x0, self.image.width()),
            clip(area.x1, self.image.width()),
        );
        let (y0, y1) = (
            clip(area.y0, self.image.height()),
            clip(area.y1, self.image.height()),
        );
        for y in y0..y1 {
            for x in x0..x1 {
                change(&mut self.image.get_pixel_mut(x, y).0, x, y);
            }
        }
    }

    /// Writes one line of text at (`x`, `y`), capitals vertically centred on `y`.
    pub fn text(&mut self, x: i32, y: i32, look: Text, text: &str) {
        let width = Self::text_width(look, text) as f32;
        let left = x as f32
            - match look.align {
                Align::Left => 0.0,
                Align::Center => width / 2.0,
                Align::Right => width,
            };
        let baseline = (y as f32 + look.size as f32 * HALF_CAPITAL).round();
        let font = font_of(look);
        let (columns, rows) = (self.image.width(), self.image.height());
        lay_out(look, text, |glyph, offset| {
            let scale = PxScale::from(look.size as f32);
            let glyph = glyph.with_scale_and_position(scale, point(left + offset, baseline));
            let Some(outline) = font.outline_glyph(glyph) else {
                return;
            };
            let corner = outline.px_bounds().min;
            outline.draw(|dx, dy, coverage| {
                let (x, y) = (
                    corner.x as i64 + i64::from(dx),
                    corner.y as i64 + i64::from(dy),
                );
                if (0..i64::from(columns)).contains(&x) && (0..i64::from(rows)).contains(&y) {
                    let pixel = &mut self.image.get_pixel_mut(x as u32, y as u32).0;
                    *pixel = mixed(*pixel, look.color, coverage.min(1.0));
                }
            });
        });
    }

    /// Width in pixels that a text takes.
    pub fn text_width(look: Text, text: &str) -> u32 {
        lay_out(look, text, |_, _| ()).ceil() as u32
    }

    /// A row of coloured squares with their meanings, from (`x`, `y`) to the right; `y` is its
    /// middle. Returns where it ends.
    pub fn legend(&mut self, mut x: i32, y: i32, entries: &[(Color, &str)]) -> i32 {
        let look = Text::default();
        for (color, meaning) in entries {
            let square = BoxPx::from_xywh(x as f32, (y - 7) as f32, 14.0, 14.0);
            self.fill(square, *color);
            self.text(x + 20, y, look, meaning);
            x += 20 + Self::text_width(look, meaning) as i32 + 24;
        }
        x
    }

    /// Lets `draw` put a plotters chart into `area`.
    ///
    /// # Errors
    /// [`Error::Draw`] with what plotters says (a range without extent, for instance).
    pub fn chart<E: std::error::Error>(
        &mut self,
        area: Rect,
        draw: impl FnOnce(&DrawingArea<BitMapBackend<'_>, Shift>) -> Result<(), E>,
    ) -> Result<()> {
        load_chart_font();
        let part =
            imageops::crop_imm(&self.image, area.x, area.y, area.width, area.height).to_image();
        let (width, height) = (part.width() * CHART_SCALE, part.height() * CHART_SCALE);
        let mut large = imageops::resize(&part, width, height, FilterType::Nearest);
        let backend = BitMapBackend::with_buffer(&mut large, (width, height));
        let failed = |detail: String| Error::Draw {
            path: "chart".into(),
            detail,
        };
        draw(&backend.into_drawing_area()).map_err(|error| failed(error.to_string()))?;
        let small = imageops::resize(&large, part.width(), part.height(), FilterType::Triangle);
        imageops::replace(&mut self.image, &small, area.x.into(), area.y.into());
        Ok(())
    }

    /// Writes the picture as PNG, under a temporary name first.
    ///
    /// # Errors
    /// [`Error::Draw`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let temporary = path.with_extension("png.tmp");
        std::fs::write(&temporary, self.png())
            .and_then(|()| std::fs::rename(&temporary, path))
            .map_err(|error| Error::Draw {
                path: path.to_owned(),
                detail: error.to_string(),
            })
    }

    /// The picture as the bytes of a PNG file.
    pub fn png(&self) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let written = self.image.write_to(&mut bytes, image::ImageFormat::Png);
        written.expect("a picture that is not empty becomes PNG, and memory takes it");
        bytes.into_inner()
    }
}

/// The font of charts; `size` in pixels as they appear.
pub fn chart_font(size: f64, color: Color) -> TextStyle<'static> {
    load_chart_font();
    let font = (CHART_FONT, size * f64::from(CHART_SCALE)).into_font();
    TextStyle {
        font,
        color: chart_color(color).to_backend_color(),
        pos: Pos::default(),
    }
}

/// A colour as plotters has it.
pub fn chart_color([red, green, blue]: Color) -> RGBColor {
    RGBColor(red, green, blue)
}

/// plotters keeps fonts in a global table.
fn load_chart_font() {
    static LOADED: Once = Once::new();
    LOADED.call_once(|| {
        let registered = register_font(CHART_FONT, FontStyle::Normal, dejavu::sans::regular());
        assert!(
            registered.is_ok(),
            "the fonts that are part of this program are fonts"
        );
    });
}

fn font_of(look: Text) -> &'static FontRef<'static> {
    match look.weight {
        Weight::Regular => &REGULAR,
        Weight::Bold => &BOLD,
    }
}

/// Calls `place` with every glyph and its offset from the left, and returns the width of all.
fn lay_out(look: Text, text: &str, mut place: impl FnMut(ab_glyph::GlyphId, f32)) -> f32 {
    let font = font_of(look).as_scaled(look.size as f32);
    let mut offset = 0.0;
    let mut previous = None;
    for character in text.chars() {
        let glyph = font.glyph_id(character);
        offset += previous.map_or(0.0, |previous| font.kern(previous, glyph));
        place(glyph, offset);
        offset += font.h_advance(glyph);
        previous = Some(glyph);
    }
    offset
}

fn mixed(pixel: Color, color: Color, share: f32) -> Color {
    let mix = |a: u8, b: u8| (f32::from(a) + (f32::from(b) - f32::from(a)) * share).round() as u8;
    [
        mix(pixel[0], color[0]),
        mix(pixel[1], color[1]),
        mix(pixel[2], color[2]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(canvas: &Canvas, color: Color) -> usize {
        canvas
            .rgb()
            .chunks_exact(3)
            .filter(|pixel| **pixel == color)
            .count()
    }

    #[test]
    fn boxes_are_clipped_and_half_open() {
        let mut canvas = Canvas::new(Size::new(10, 8), palette::PAPER);
        canvas.fill(BoxPx::from_xywh(8.0, -5.0, 50.0, 7.0), palette::BLUE);
        assert_eq!(count(&canvas, palette::BLUE), 2 * 2);
        canvas.outline(BoxPx::from_xywh(0.0, 2.0, 5.0, 4.0), palette::ORANGE, 1.0);
        assert_eq!(count(&canvas, palette::ORANGE), 2 * 5 + 2 * 2);
    }

    #[test]
    fn text_leaves_ink_about_its_position() {
        let mut canvas = Canvas::new(Size::new(200, 40), palette::PAPER);
        canvas.text(
            100,
            20,
            Text {
                align: Align::Center,
                ..Text::default()
            },
            "IoU ≥ 0.5",
        );
        let inked: Vec<usize> = canvas
            .rgb()
            .chunks_exact(3)
            .enumerate()
            .filter(|(_, pixel)| pixel[0] < 128)
            .map(|(ix, _)| ix)
            .collect();
        assert!(inked.len() > 50);
        let columns = inked.iter().map(|ix| ix % 200);
        let (left, right) = (columns.clone().min().unwrap(), columns.max().unwrap());
        assert!(
            (90..110).contains(&((left + right) / 2)),
            "{left} to {right}"
        );
        let rows = inked.iter().map(|ix| ix / 200);
        let (top, bottom) = (rows.clone().min().unwrap(), rows.max().unwrap());
        assert!(
            (15..25).contains(&((top + bottom) / 2)),
            "{top} to {bottom}"
        );
    }

    #[test]
    fn a_saved_picture_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut canvas = Canvas::new(Size::new(20, 10), palette::PAPER);
        canvas.tint(BoxPx::from_xywh(0.0, 0.0, 5.0, 5.0), palette::INK, 0.5);
        canvas.save(&dir.path().join("a.png")).unwrap();
        let read = image::open(dir.path().join("a.png")).unwrap().to_rgb8();
        assert_eq!(read.as_raw(), canvas.rgb());
        assert!(canvas.save(&dir.path().join("none/a.png")).is_err());
    }
}
