//! The samples of a PNG as they lie in the file.
//!
//! [`Png`](crate::Png) makes colours of 8 bits of everything, as whoever looks at a picture wants.
//! A picture of labels is a table of numbers: a palette's indices and values of 16 bits are kept
//! here. There is no rotation: a table has no EXIF.

use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, DecodingError, Transformations};
use schemas::geom::Size;
use schemas::untrusted::caught;

use crate::defect::{Defect, Result};
use crate::limit::check_size;

/// A PNG before its samples become colours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPng {
    /// Pixels.
    pub size: Size,
    /// Bits of a sample: 1, 2, 4, 8 or 16.
    pub bits: u8,
    /// Samples of a pixel: 1 (grey or an index), 2 (grey and alpha), 3 (RGB), 4 (RGB and alpha).
    pub channels: usize,
    /// The samples, row by row, those of a pixel side by side.
    pub samples: Vec<u16>,
    /// The colour of every index, if samples are indices.
    pub palette: Option<Vec<[u8; 3]>>,
}

impl StoredPng {
    /// Reads a whole PNG.
    ///
    /// # Errors
    /// [`Defect`] if it is damaged or has more than `max_pixels`.
    pub fn read(bytes: &[u8], max_pixels: u64) -> Result<Self> {
        // Some contradictions make the library panic.
        caught(|| Self::decode(bytes, max_pixels)).unwrap_or_else(|| {
            Err(Defect::new(
                "broken-png",
                "its parts contradict each other".to_owned(),
            ))
        })
    }

    fn decode(bytes: &[u8], max_pixels: u64) -> Result<Self> {
        let mut decoder = Decoder::new(Cursor::new(bytes));
        decoder.set_transformations(Transformations::IDENTITY);
        let mut reader = decoder.read_info().map_err(broken)?;
        let info = reader.info();
        let size = Size::new(info.width, info.height);
        check_size(size, max_pixels)?;
        let palette = (info.color_type == ColorType::Indexed)
            .then(|| info.palette.as_deref().unwrap_or_default())
            .map(|colors| colors.as_chunks().0.to_vec());
        let (channels, bits) = (info.color_type.samples(), info.bit_depth as u8);
        let depth = info.bit_depth;
        let too_large = || Defect::new("too-large", format!("{size} pixels"));
        let mut rows = vec![0; reader.output_buffer_size().ok_or_else(too_large)?];
        let frame = reader.next_frame(&mut rows).map_err(broken)?;
        let samples = rows
            .chunks_exact(frame.line_size.max(1))
            .flat_map(|row| unpacked(row, depth, size.width as usize * channels))
            .collect();
        Ok(Self {
            size,
            bits,
            channels,
            samples,
            palette,
        })
    }
}

/// The first `count` samples of a row.
fn unpacked(row: &[u8], depth: BitDepth, count: usize) -> Vec<u16> {
    match depth {
        BitDepth::Sixteen => row
            .as_chunks()
            .0
            .iter()
            .map(|&sample| u16::from_be_bytes(sample))
            .collect(),
        depth => {
            let bits = depth as usize;
            let mask = (1 << bits) - 1;
            let sample = |ix: usize| {
                let shift = 8 - bits - ix * bits % 8; // the leftmost sample has the highest bits
                u16::from(row[ix * bits / 8]) >> shift & mask
            };
            (0..count).map(sample).collect()
        }
    }
}

fn broken(error: DecodingError) -> Defect {
    Defect::new("broken-png", error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use png::Encoder;

    fn written(
        (width, height): (u32, u32),
        color: ColorType,
        depth: BitDepth,
        palette: Option<&[u8]>,
        data: &[u8],
    ) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, width, height);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if let Some(palette) = palette {
            encoder.set_palette(palette.to_vec());
        }
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(data).unwrap();
        writer.finish().unwrap();
        bytes
    }

    #[test]
    fn indices_and_packed_samples_are_those_of_the_file() {
        let palette = [9, 9, 9, 200, 0, 0, 0, 0, 7];
        // Two bits each: 2, 0, 1, 1, 2 and then 1, 1, 0, 0, 0, rows padded to bytes.
        let data = [0b1000_0101, 0b1000_0000, 0b0101_0000, 0];
        let bytes = written(
            (5, 2),
            ColorType::Indexed,
            BitDepth::Two,
            Some(&palette),
            &data,
        );
        let png = StoredPng::read(&bytes, u64::MAX).unwrap();
        assert_eq!(png.samples, [2, 0, 1, 1, 2, 1, 1, 0, 0, 0]);
        let colors = vec![[9, 9, 9], [200, 0, 0], [0, 0, 7]];
        assert_eq!(
            (png.size, png.bits, png.channels, png.palette),
            (Size::new(5, 2), 2, 1, Some(colors))
        );
    }

    #[test]
    fn interlaced_rows_come_in_their_order() {
        // Adam7, two bits, written by hand and read alike by Pillow: pixel ix has index ix % 4.
        let bytes = b"\x89PNG\x0D\x0A\x1A\x0A\0\0\0\x0DIHDR\0\0\0\x05\0\0\0\x03\x02\x03\0\0\x01Q_\x1D\xFD\0\0\0\x0CPLTE\0\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0A\x0B\xDCL8\x9C\0\0\0\x15IDATx\xDAc`\0\x82\x06\x86\x0E\x86\x02\x86\x0B\x0C9\x0E\0\x10G\x02\xF5\xB2\xB6\xAB\xBE\0\0\0\0IEND\xAEB`\x82";
        let png = StoredPng::read(bytes, u64::MAX).unwrap();
        let expected: Vec<u16> = (0..15).map(|ix| ix % 4).collect();
        assert_eq!((png.samples, png.size), (expected, Size::new(5, 3)));
    }

    #[test]
    fn sixteen_bits_are_not_scaled() {
        let data = [0, 7, 255, 255, 1, 0, 0, 19];
        let bytes = written(
            (2, 1),
            ColorType::GrayscaleAlpha,
            BitDepth::Sixteen,
            None,
            &data,
        );
        let png = StoredPng::read(&bytes, u64::MAX).unwrap();
        assert_eq!(
            (png.samples, png.channels, png.palette),
            (vec![7, 65_535, 256, 19], 2, None)
        );
    }

    #[test]
    fn damage_and_size_are_named() {
        let bytes = written(
            (4, 4),
            ColorType::Grayscale,
            BitDepth::Eight,
            None,
            &[7; 16],
        );
        let cut = StoredPng::read(&bytes[..bytes.len() - 20], u64::MAX).unwrap_err();
        assert_eq!(cut.reason, "broken-png");
        assert_eq!(StoredPng::read(&bytes, 15).unwrap_err().reason, "too-large");
    }
}
