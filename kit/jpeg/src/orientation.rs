//! How a picture is to be turned: by its EXIF data, or by its XMP text where EXIF says nothing of it.
//!
//! Pillow's `ImageOps.exif_transpose` is the model, in every form that it honours.

use image::metadata::Orientation;

use crate::tiff::{self, Found};

/// The orientation of a picture with these EXIF data and this XMP text.
///
/// EXIF that is no TIFF structure stands for itself: Pillow does not look at XMP then.
pub(crate) fn orientation(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Orientation {
    let value = match exif.map_or(Found::Nothing, in_exif) {
        Found::NoTiff => None,
        Found::Nothing => xmp.and_then(in_xmp),
        Found::Value(value) => number(value),
    };
    value
        .and_then(Orientation::from_exif)
        .unwrap_or(Orientation::NoTransforms)
}

/// Some programs write the name of the segment twice, or into a PNG's chunk.
fn in_exif(exif: &[u8]) -> Found {
    const NAME: &[u8] = b"Exif\0\0";
    let once = exif.strip_prefix(NAME).unwrap_or(exif);
    match once.strip_prefix(NAME).unwrap_or(once) {
        [] => Found::Nothing,
        data => tiff::orientation(data),
    }
}

fn number(value: f64) -> Option<u8> {
    (1..=8).find(|&orientation| f64::from(orientation) == value)
}

/// The digit of the first `tiff:Orientation="…` or `tiff:Orientation>…`.
fn in_xmp(xmp: &[u8]) -> Option<u8> {
    const NAME: &[u8] = b"tiff:Orientation";
    let mut rest = xmp;
    while let Some(at) = rest.windows(NAME.len()).position(|text| text == NAME) {
        rest = &rest[at + NAME.len()..];
        match rest {
            [b'=', b'"', digit @ b'0'..=b'9', ..] | [b'>', digit @ b'0'..=b'9', ..] => {
                return Some(digit - b'0');
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;
