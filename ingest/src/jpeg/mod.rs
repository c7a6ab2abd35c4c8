//! JPEG files, through libjpeg-turbo: lossless transcoding, (scaled) decoding, encoding with
//! restart markers.
//!
//! [`Codec`] is the safe face of `turbojpeg-sys`; one is made per thread and reused for every
//! image. [`Transcoder`] is that of libjpeg's own interface; one is made per image, and serves
//! nearly all. What a decoder warns about is a [`Defect`] here, because a decoder that warns has
//! made up pixels. Warnings that cost no pixel are the exception (`is_harmless`); those that come
//! from the header are removed beforehand ([`markers::Markers::repaired`]), because libjpeg words
//! only the first warning of an image.

mod codec;
#[cfg(test)]
pub(crate) mod coefficients;
pub mod markers;
mod transcoder;

pub use codec::{Codec, Restart};
pub use transcoder::Transcoder;

use schemas::geom::Size;

use crate::error::Defect;

/// Result of this module.
pub type Result<T> = std::result::Result<T, Defect>;

/// Sorts libjpeg-turbo's message under a stable reason.
fn defect(message: &str) -> Defect {
    const REASONS: [(&str, &str); 7] = [
        ("Not a JPEG file", "not-a-jpeg"),
        ("Empty input file", "empty-file"),
        ("Premature end of JPEG file", "truncated-jpeg"),
        ("Corrupt JPEG data", "corrupt-jpeg"),
        ("Invalid SOS parameters", "corrupt-jpeg"),
        ("Inconsistent progression sequence", "corrupt-jpeg"),
        ("Maximum supported image dimension", "too-large"),
    ];
    let reason = REASONS.iter().find(|(text, _)| message.contains(text));
    Defect::new(
        reason.map_or("undecodable-jpeg", |(_, reason)| reason),
        message.trim(),
    )
}

/// Bytes between the last block and the EOI marker: every pixel has been decoded by then. Some
/// cameras pad so.
fn is_harmless(warning: &str) -> bool {
    warning.contains("extraneous bytes before marker 0xd9")
}

/// How the samples of a JPEG are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColorModel {
    /// One component.
    Grey,
    /// The usual one.
    YCbCr,
    /// Three components without conversion.
    Rgb,
    /// CMYK or YCCK.
    Cmyk,
}

/// What the header of a JPEG says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// As stored, before any EXIF rotation.
    pub size: Size,
    /// Meaning of the components.
    pub color: ColorModel,
    /// Chroma is halved in both directions, in the way that a plain 4:2:0 encoder does it.
    pub is_420: bool,
    /// libjpeg-turbo has a name for the sampling factors.
    pub has_known_sampling: bool,
    /// Bits of a sample.
    pub bits: u8,
    /// Coded by prediction (JPEG's rare lossless mode): there are no DCT coefficients.
    pub is_predictive: bool,
}

/// Reduction while decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// All pixels.
    Full,
    /// Half the width and height, rounded up, by a 4 × 4 inverse DCT of each block.
    Half,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_sorted_under_stable_reasons() {
        let reason = |message| defect(message).reason;
        assert_eq!(
            reason("Not a JPEG file: starts with 0x3c 0x68"),
            "not-a-jpeg"
        );
        assert_eq!(reason("Premature end of JPEG file"), "truncated-jpeg");
        assert_eq!(
            reason("Corrupt JPEG data: bad Huffman code"),
            "corrupt-jpeg"
        );
        assert_eq!(reason("Unsupported marker type 0xc3"), "undecodable-jpeg");
    }

    #[test]
    fn only_padding_before_the_end_is_harmless() {
        assert!(is_harmless(
            "Corrupt JPEG data: 4 extraneous bytes before marker 0xd9"
        ));
        assert!(!is_harmless(
            "Corrupt JPEG data: 4 extraneous bytes before marker 0xd3"
        ));
        assert!(!is_harmless("Premature end of JPEG file"));
    }
}
