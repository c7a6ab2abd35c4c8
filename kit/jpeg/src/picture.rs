//! The front door: the pixels of any image file, turned upright, grey or RGB.

use image::{DynamicImage, RgbImage};

use crate::defect::{Defect, Result};
use crate::jpeg::Jpeg;
use crate::png::Png;

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
    pub fn of(bytes: &[u8]) -> Result<Self> {
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

/// Decodes a JPEG or PNG of any kind to upright grey or RGB: of 8 bits, without transparency.
///
/// # Errors
/// [`Defect`] if it is none, or it is damaged.
pub fn decode(bytes: &[u8]) -> Result<DynamicImage> {
    match Format::of(bytes)? {
        Format::Jpeg => Jpeg::open(bytes, u64::MAX)?.decode(),
        Format::Png => Png::open(bytes, u64::MAX)?.decode(),
    }
}

/// As [`decode`], to RGB; the three channels of grey are the same.
///
/// # Errors
/// As [`decode`].
pub fn decode_rgb(bytes: &[u8]) -> Result<RgbImage> {
    Ok(decode(bytes)?.into_rgb8())
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
}
