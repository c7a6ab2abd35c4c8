//! PNG files, through the `image` crate.

use std::io::Cursor;

use image::codecs::png::PngDecoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, Limits};
use schemas::geom::Size;
use schemas::untrusted::caught;

use crate::defect::{Defect, Result};
use crate::limit::check_size;
use crate::orientation::orientation;
use crate::png_text::PngText;

/// A PNG whose header has been read.
pub struct Png<'a> {
    decoder: PngDecoder<Cursor<&'a [u8]>>,
    orientation: Orientation,
}

impl<'a> Png<'a> {
    /// Reads the header of a PNG.
    ///
    /// # Errors
    /// [`Defect`] if it is damaged, has more than `max_pixels`, or more than four times as many
    /// bytes when decoded.
    pub fn open(bytes: &'a [u8], max_pixels: u64) -> Result<Self> {
        let decoder =
            PngDecoder::with_limits(Cursor::new(bytes), Limits::default()).map_err(broken)?;
        let text = PngText::scan(bytes);
        let png = Self {
            decoder,
            orientation: orientation(text.exif().as_deref(), text.xmp.as_deref()),
        };
        check_size(png.size(), max_pixels)?;
        let decoded_bytes = png.decoder.total_bytes();
        if decoded_bytes > max_pixels.saturating_mul(4) {
            let detail = format!(
                "{decoded_bytes} bytes when decoded; the limit is 4 for each of {max_pixels} pixels"
            );
            return Err(Defect::new("too-large", detail));
        }
        Ok(png)
    }

    /// As stored, before any rotation.
    pub fn size(&self) -> Size {
        let (width, height) = self.decoder.dimensions();
        Size::new(width, height)
    }

    /// Decodes it to upright grey or RGB; 16 bits become 8, transparency is dropped.
    ///
    /// # Errors
    /// [`Defect`] if it is damaged.
    pub fn decode(self) -> Result<DynamicImage> {
        // Some contradictions make the library panic.
        let decoded = caught(|| DynamicImage::from_decoder(self.decoder));
        let decoded =
            decoded.ok_or_else(|| Defect::new("broken-png", "its parts contradict each other"))?;
        let decoded = decoded.map_err(broken)?;
        let has_color = decoded.color().has_color();
        let mut image = if has_color {
            decoded.into_rgb8().into()
        } else {
            DynamicImage::from(decoded.into_luma8())
        };
        image.apply_orientation(self.orientation);
        Ok(image)
    }
}

fn broken(error: ImageError) -> Defect {
    let reason = if matches!(error, ImageError::Limits(_)) {
        "too-large"
    } else {
        "broken-png"
    };
    Defect::new(reason, error.to_string())
}
