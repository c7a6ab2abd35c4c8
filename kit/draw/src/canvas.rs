//! The canvas: pixels, and areas of them.

use std::io::Write;
use std::path::Path;

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use schemas::geom::{BoxPx, Size};

use crate::color::{Color, mixed};
use crate::error::{Error, Result};

/// An RGB picture in memory.
#[derive(Clone, Debug)]
pub struct Canvas {
    pub(crate) image: RgbImage,
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

    /// Writes the picture as PNG; afterwards the file is whole, or what it was before.
    ///
    /// # Errors
    /// [`Error`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        host::replace(path, |out| out.write_all(&self.png())).map_err(|error| Error {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::color::palette;

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
