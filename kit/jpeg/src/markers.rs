//! The marker segments in front of a JPEG's first scan, as far as libjpeg-turbo does not report
//! them.
//!
//! Nothing here decides whether a file is valid: a header that cannot be walked yields what was
//! found so far, and the decoder has the last word. Bytes between segments are passed over, as the
//! decoder passes over them.

use std::borrow::Cow;

const SOS: u8 = 0xDA;
const EOI: u8 = 0xD9;

/// What the segments say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Markers<'a> {
    /// Number of components in the frame header.
    pub(crate) components: u8,
    /// Largest horizontal sampling factor.
    pub(crate) max_horizontal: u8,
    /// The text of the last XMP segment.
    pub(crate) xmp: Option<&'a [u8]>,
    /// The contents of the EXIF segments.
    exif: Vec<&'a [u8]>,
}

impl<'a> Markers<'a> {
    /// Walks the segments up to the first scan.
    pub(crate) fn scan(jpeg: &'a [u8]) -> Self {
        let mut found = Self::default();
        let mut at = 2;
        while let Some(&[first, marker]) = jpeg.get(at..at + 2) {
            match (first, marker) {
                (0xFF, SOS | EOI) => break,
                (0xFF, 0x00 | 0x01 | 0xD0..=0xD8) => at += 2,
                (0xFF, 0x02..=0xFE) => {
                    let Some(&[high, low]) = jpeg.get(at + 2..at + 4) else {
                        break;
                    };
                    let end = at + 2 + usize::from(u16::from_be_bytes([high, low]));
                    let Some(body) = jpeg.get(at + 4..end) else {
                        break;
                    };
                    found.read_segment(marker, body);
                    at = end;
                }
                _ => at += 1, // junk, or a fill byte
            }
        }
        found
    }

    fn read_segment(&mut self, marker: u8, body: &'a [u8]) {
        match marker {
            0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) && body.len() >= 6 => {
                self.components = body[5];
                let factors = body[6..].chunks_exact(3).map(|component| component[1] >> 4);
                self.max_horizontal = factors.max().unwrap_or(1);
            }
            0xE1 => {
                self.exif.extend(body.strip_prefix(b"Exif\0\0"));
                let xmp = body.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0");
                self.xmp = xmp.or(self.xmp);
            }
            _ => {}
        }
    }

    /// The TIFF structure of the EXIF segments: one that is too long for a segment goes on in the
    /// next.
    pub(crate) fn exif(&self) -> Option<Cow<'a, [u8]>> {
        match self.exif[..] {
            [] => None,
            [whole] => Some(Cow::Borrowed(whole)),
            ref parts => Some(Cow::Owned(parts.concat())),
        }
    }

    /// Width of a minimum coded unit in pixels; a scan of one component is not interleaved,
    /// whatever its factors.
    pub(crate) fn mcu_width(&self) -> u32 {
        if self.components == 1 {
            8
        } else {
            8 * u32::from(self.max_horizontal.max(1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u16 + 2).to_be_bytes();
        [&[0xFF, marker][..], &length, body].concat()
    }

    fn with(segments: &[Vec<u8>]) -> Vec<u8> {
        [vec![0xFF, 0xD8], segments.concat(), segment(SOS, &[0; 8])].concat()
    }

    const GREY: [u8; 9] = [8, 0, 10, 0, 10, 1, 1, 0x11, 0];

    #[test]
    fn sampling_exif_and_xmp_are_found() {
        let jpeg = with(&[
            segment(0xE1, b"Exif\0\0II*\0"),
            segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"),
            segment(
                0xC0,
                &[8, 0, 10, 0, 10, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1],
            ),
        ]);
        let markers = Markers::scan(&jpeg);
        assert_eq!(markers.exif().as_deref(), Some(&b"II*\0"[..]));
        assert_eq!(markers.xmp, Some(&b"<x/>"[..]));
        assert_eq!((markers.components, markers.mcu_width()), (3, 16));
    }

    #[test]
    fn exif_in_two_segments_is_one() {
        let parts = [b"Exif\0\0MM\0*", b"Exif\0\0\0\0\0\x08"];
        let jpeg = with(&parts.map(|part| segment(0xE1, part)));
        let markers = Markers::scan(&jpeg);
        assert_eq!(markers.exif().as_deref(), Some(&b"MM\0*\0\0\0\x08"[..]));
    }

    #[test]
    fn junk_and_fill_bytes_between_segments_are_passed_over() {
        let junk = [&[7, 0, 0xFF, 0][..], &[0xFF, 0xFF, 0xD3]].concat();
        let jpeg = with(&[junk, segment(0xE1, b"Exif\0\0II"), segment(0xC0, &GREY)]);
        let markers = Markers::scan(&jpeg);
        assert_eq!(markers.exif().as_deref(), Some(&b"II"[..]));
        assert_eq!(markers.components, 1);
    }

    #[test]
    fn a_cut_off_header_yields_what_was_found() {
        let jpeg = with(&[segment(0xE1, b"Exif\0\0MM"), segment(0xC0, &GREY)]);
        for len in 0..jpeg.len() {
            Markers::scan(&jpeg[..len]);
        }
        let markers = Markers::scan(&jpeg[..14]);
        assert_eq!(markers.exif().as_deref(), Some(&b"MM"[..]));
    }
}
