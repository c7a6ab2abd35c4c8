//! PNG files, through the `image` crate.

use std::borrow::Cow;
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
    decoder: PngDecoder<Cursor<Cow<'a, [u8]>>>,
    orientation: Orientation,
}

impl<'a> Png<'a> {
    /// Reads the header of a PNG.
    ///
    /// # Errors
    /// [`Defect`] if it is damaged, has more than `max_pixels`, or more than four times as many
    /// bytes when decoded.
    pub fn open(bytes: &'a [u8], max_pixels: u64) -> Result<Self> {
        let text = PngText::scan(bytes);
        let file = Cursor::new(with_end(bytes, &text));
        let decoder = PngDecoder::with_limits(file, Limits::default()).map_err(broken)?;
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

/// The file, with its last chunk if that is all it lacks: whether its pixels are whole is for the
/// decoder to say.
fn with_end<'a>(bytes: &'a [u8], text: &PngText<'_>) -> Cow<'a, [u8]> {
    const END: &[u8] = b"\0\0\0\0IEND\xAE\x42\x60\x82";
    if text.lacks_end {
        Cow::Owned([bytes, END].concat())
    } else {
        Cow::Borrowed(bytes)
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
