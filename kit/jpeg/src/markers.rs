//! The marker segments in front of a JPEG's first scan, as far as libjpeg-turbo does not report
//! them.
//!
//! Nothing here decides whether a file is valid: a header that cannot be walked yields what was
//! found so far, and the decoder has the last word.

use std::borrow::Cow;

const SOS: u8 = 0xDA;
const EOI: u8 = 0xD9;

/// What the segments say. Positions are byte offsets into the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Markers<'a> {
    /// Number of components in the frame header.
    pub(crate) components: u8,
    /// Largest horizontal sampling factor.
    pub(crate) max_horizontal: u8,
    /// The TIFF structure of an EXIF segment.
    pub(crate) exif: Option<&'a [u8]>,
    /// Adobe's colour transform (0: none, 1: YCbCr, 2: YCCK) and its position.
    pub(crate) adobe: Option<(u8, usize)>,
    /// Major version of a JFIF segment and its position.
    jfif: Option<(u8, usize)>,
}

impl<'a> Markers<'a> {
    /// Walks the segments up to the first scan.
    pub(crate) fn scan(jpeg: &'a [u8]) -> Self {
        let mut found = Self::default();
        let mut at = 2;
        while let Some(&[0xFF, marker]) = jpeg.get(at..at + 2) {
            match marker {
                SOS | EOI => break,
                0xFF => at += 1, // fill byte
                0x01 | 0xD0..=0xD8 => at += 2,
                _ => {
                    let Some(&[high, low]) = jpeg.get(at + 2..at + 4) else {
                        break;
                    };
                    let end = at + 2 + usize::from(u16::from_be_bytes([high, low]));
                    let Some(body) = jpeg.get(at + 4..end) else {
                        break;
                    };
                    found.read_segment(marker, body, at + 4);
                    at = end;
                }
            }
        }
        found
    }

    fn read_segment(&mut self, marker: u8, body: &'a [u8], at: usize) {
        match marker {
            0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) && body.len() >= 6 => {
                self.components = body[5];
                let factors = body[6..].chunks_exact(3).map(|component| component[1] >> 4);
                self.max_horizontal = factors.max().unwrap_or(1);
            }
            0xE0 if body.len() >= 12 && body.starts_with(b"JFIF\0") => {
                self.jfif = Some((body[5], at + 5))
            }
            0xE1 if self.exif.is_none() => self.exif = body.strip_prefix(b"Exif\0\0"),
            0xEE if body.len() >= 12 && body.starts_with(b"Adobe") => {
                self.adobe = Some((body[11], at + 11))
            }
            _ => {}
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

    /// `jpeg` without what libjpeg warns about in headers though it costs no pixel: an unknown JFIF
    /// version and an unknown Adobe transform, which become the ones that libjpeg assumes anyway.
    pub(crate) fn repaired(&self, jpeg: &'a [u8]) -> Cow<'a, [u8]> {
        let mut jpeg = Cow::Borrowed(jpeg);
        if let Some((version, at)) = self.jfif
            && version != 1
        {
            jpeg.to_mut()[at] = 1;
        }
        if let Some((transform, at)) = self.adobe {
            let assumed = if self.components == 4 { 2 } else { 1 };
            if transform != 0 && transform != assumed {
                jpeg.to_mut()[at] = assumed;
            }
        }
        jpeg
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

    #[test]
    fn sampling_adobe_and_exif_are_found() {
        let jpeg = with(&[
            segment(0xE1, b"Exif\0\0II*\0"),
            segment(0xEE, b"Adobe\0\x64\0\0\0\0\x02"),
            segment(
                0xC0,
                &[8, 0, 10, 0, 10, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1],
            ),
        ]);
        let markers = Markers::scan(&jpeg);
        assert_eq!(markers.exif, Some(&b"II*\0"[..]));
        assert_eq!(markers.adobe.map(|(transform, _)| transform), Some(2));
        assert_eq!((markers.components, markers.mcu_width()), (3, 16));
    }

    #[test]
    fn harmless_header_oddities_are_repaired() {
        let jpeg = with(&[
            segment(0xE0, b"JFIF\0\x02\x01\0\0\x01\0\x01\0\0"),
            segment(0xEE, b"Adobe\0\x64\0\0\0\0\x07"),
        ]);
        let repaired = Markers::scan(&jpeg).repaired(&jpeg).into_owned();
        let again = Markers::scan(&repaired);
        assert_eq!(again.jfif.map(|(version, _)| version), Some(1));
        assert_eq!(again.adobe.map(|(transform, _)| transform), Some(1));
        assert!(matches!(again.repaired(&repaired), Cow::Borrowed(_)));
    }

    #[test]
    fn a_cut_off_header_yields_what_was_found() {
        let jpeg = with(&[
            segment(0xE1, b"Exif\0\0MM"),
            segment(0xC0, &[8, 0, 10, 0, 10, 1, 1, 0x11, 0]),
        ]);
        for len in 0..jpeg.len() {
            Markers::scan(&jpeg[..len]);
        }
        assert_eq!(Markers::scan(&jpeg[..14]).exif, Some(&b"MM"[..]));
    }
}
