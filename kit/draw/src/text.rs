//! Text on a canvas, in a font that is part of the program.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};
use schemas::geom::BoxPx;

use crate::canvas::Canvas;
use crate::color::{Color, mixed, palette};

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

/// Half the height of a capital letter, as a share of the line height of this font.
const HALF_CAPITAL: f32 = 0.313;

static REGULAR: LazyLock<FontRef<'static>> = LazyLock::new(|| parse_font(dejavu::sans::regular()));
static BOLD: LazyLock<FontRef<'static>> = LazyLock::new(|| parse_font(dejavu::sans::bold()));

fn parse_font(bytes: &'static [u8]) -> FontRef<'static> {
    FontRef::try_from_slice(bytes).expect("the fonts that are part of this program are fonts")
}

impl Canvas {
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

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::geom::Size;

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
}
