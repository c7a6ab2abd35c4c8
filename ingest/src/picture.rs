//! Image files that cannot be transcoded: decoded in full, turned upright, converted to grey or
//! RGB.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageError, ImageReader, RgbImage};
use schemas::geom::Size;
use schemas::untrusted::caught;

use crate::error::Defect;
use crate::jpeg::markers::Markers;
use crate::jpeg::{Codec, ColorModel, Header, Scale};
use crate::raster::{Layout, Raster};

/// What a file is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JPEG in any of its modes.
    Jpeg,
    /// PNG.
    Png,
}

impl Format {
    /// Recognises a file.
    ///
    /// # Errors
    /// [`Defect`] if it is empty or neither JPEG nor PNG.
    pub fn of(bytes: &[u8]) -> Result<Self, Defect> {
        match bytes {
            [] => Err(Defect::new("empty-file", "the file has no bytes")),
            [0xFF, 0xD8, ..] => Ok(Self::Jpeg),
            [0x89, b'P', b'N', b'G', ..] => Ok(Self::Png),
            _ => {
                let start = bytes[..bytes.len().min(8)].escape_ascii();
                Err(Defect::new(
                    "not-an-image",
                    format!("neither JPEG nor PNG: it starts with \"{start}\""),
                ))
            }
        }
    }
}

/// The rotation and reflection that an EXIF segment asks for.
pub fn orientation(markers: &Markers<'_>) -> Orientation {
    markers
        .exif
        .and_then(Orientation::from_exif_chunk)
        .unwrap_or(Orientation::NoTransforms)
}

/// Decodes any JPEG to upright grey or RGB.
///
/// # Errors
/// [`Defect`] if the decoder fails or warns.
pub fn decode_jpeg(
    codec: &mut Codec,
    jpeg: &[u8],
    header: &Header,
    markers: &Markers<'_>,
) -> Result<DynamicImage, Defect> {
    let layout = if header.color == ColorModel::Grey {
        Layout::Grey
    } else {
        Layout::Rgb
    };
    let pixels = match (header.color, header.bits) {
        (ColorModel::Cmyk, 8) => rgb_from_cmyk(
            &codec.decode_cmyk(jpeg, header.size)?,
            markers.adobe.is_some(),
        ),
        (ColorModel::Cmyk, bits) => {
            return Err(Defect::new(
                "unsupported-jpeg",
                format!("CMYK with {bits} bits a sample"),
            ));
        }
        (_, 2..=8) => tight_rows(&codec.decode(jpeg, header, layout, Scale::Full, 8)?),
        _ => codec.decode_deep(jpeg, header, layout)?,
    };
    let mut image = dynamic_image(header.size, layout, pixels);
    image.apply_orientation(orientation(markers));
    Ok(image)
}

/// Reads the header of a PNG.
///
/// # Errors
/// [`Defect`] if it is damaged, has more than `max_pixels`, or more than four times as many bytes
/// when decoded.
pub fn open_png(png: &[u8], max_pixels: u64) -> Result<impl ImageDecoder, Defect> {
    let reader = ImageReader::with_format(Cursor::new(png), image::ImageFormat::Png);
    let decoder = reader.into_decoder().map_err(broken_png)?;
    let (width, height) = decoder.dimensions();
    check_size(Size::new(width, height), max_pixels)?;
    let decoded_bytes = decoder.total_bytes();
    if decoded_bytes > max_pixels.saturating_mul(4) {
        let detail = format!(
            "{decoded_bytes} bytes when decoded; the limit is 4 for each of {max_pixels} pixels"
        );
        return Err(Defect::new("too-large", detail));
    }
    Ok(decoder)
}

/// Decodes a PNG to upright grey or RGB; 16 bits become 8, transparency is dropped.
///
/// # Errors
/// [`Defect`] if it is damaged.
pub fn decode_png(mut decoder: impl ImageDecoder) -> Result<DynamicImage, Defect> {
    let orientation = decoder.orientation().map_err(broken_png)?;
    // Some contradictions make the library panic.
    let decoded = caught(|| DynamicImage::from_decoder(decoder));
    let decoded =
        decoded.ok_or_else(|| Defect::new("broken-png", "its parts contradict each other"))?;
    let decoded = decoded.map_err(broken_png)?;
    let has_color = decoded.color().has_color();
    let mut image = if has_color {
        decoded.into_rgb8().into()
    } else {
        DynamicImage::from(decoded.into_luma8())
    };
    image.apply_orientation(orientation);
    Ok(image)
}

fn broken_png(error: ImageError) -> Defect {
    let reason = if matches!(error, ImageError::Limits(_)) {
        "too-large"
    } else {
        "broken-png"
    };
    Defect::new(reason, error.to_string())
}

/// # Errors
/// [`Defect`] if an image of `size` cannot be stored: JPEG ends at 65,500 pixels a side.
pub fn check_size(size: Size, max_pixels: u64) -> Result<(), Defect> {
    const MAX_SIDE_PX: u32 = 65_500;
    if size.width > MAX_SIDE_PX || size.height > MAX_SIDE_PX || size.area() > max_pixels {
        let detail =
            format!("{size} pixels; the limits are {MAX_SIDE_PX} a side and {max_pixels} in all");
        return Err(Defect::new("too-large", detail));
    }
    Ok(())
}

/// The pixels of `image` (grey or RGB) as a raster for an encoding whose MCU is `mcu_width` pixels
/// wide.
pub fn raster(image: &DynamicImage, mcu_width: u32) -> Raster {
    let layout = if image.color().has_color() {
        Layout::Rgb
    } else {
        Layout::Grey
    };
    let size = Size::new(image.width(), image.height());
    Raster::from_pixels(size, layout, mcu_width, image.as_bytes())
}

fn dynamic_image(size: Size, layout: Layout, pixels: Vec<u8>) -> DynamicImage {
    let image = match layout {
        Layout::Grey => {
            GrayImage::from_raw(size.width, size.height, pixels).map(DynamicImage::from)
        }
        _ => RgbImage::from_raw(size.width, size.height, pixels).map(DynamicImage::from),
    };
    image.expect("the decoder wrote every pixel")
}

fn tight_rows(raster: &Raster) -> Vec<u8> {
    let plane = &raster.planes[0];
    let row_bytes = plane.size.width as usize * plane.channels as usize;
    let rows = plane
        .data
        .chunks_exact(plane.stride())
        .take(plane.size.height as usize);
    rows.flat_map(|row| &row[..row_bytes]).copied().collect()
}

/// Each ink subtracts its colour, black all of them. Files with an Adobe segment store the light
/// that is left instead of the ink.
fn rgb_from_cmyk(samples: &[u8], is_inverted: bool) -> Vec<u8> {
    let light = |sample: u8| u32::from(if is_inverted { sample } else { 255 - sample });
    let pixels = samples.chunks_exact(4);
    pixels
        .flat_map(|p| [0, 1, 2].map(|i| ((light(p[i]) * light(p[3]) + 127) / 255) as u8))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_their_bytes() {
        assert_eq!(Format::of(&[0xFF, 0xD8, 0xFF]), Ok(Format::Jpeg));
        assert_eq!(Format::of(b"\x89PNG\r\n"), Ok(Format::Png));
        assert_eq!(Format::of(b"").unwrap_err().reason, "empty-file");
        let text = Format::of(b"<html>\n</html>").unwrap_err();
        assert_eq!(
            (text.reason, text.detail.contains("<html>\\n")),
            ("not-an-image", true)
        );
    }

    #[test]
    fn cmyk_is_light_times_light() {
        assert_eq!(rgb_from_cmyk(&[255, 0, 255, 255], true), [255, 0, 255]);
        assert_eq!(rgb_from_cmyk(&[0, 255, 0, 0], false), [255, 0, 255]);
        assert_eq!(rgb_from_cmyk(&[255, 255, 255, 128], true), [128, 128, 128]);
    }

    #[test]
    fn sizes_beyond_jpeg_or_the_limit_are_refused() {
        assert!(check_size(Size::new(65_500, 1), 1 << 20).is_ok());
        assert_eq!(
            check_size(Size::new(65_501, 1), 1 << 20)
                .unwrap_err()
                .reason,
            "too-large"
        );
        assert!(check_size(Size::new(1025, 1024), 1 << 20).is_err());
    }
}
