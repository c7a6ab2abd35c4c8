//! Crop to view: Pillow's antialiased resize, bicubic or bilinear, bit for bit.
//!
//! What comes out are the bytes of `image.crop(hull).resize((side, side), BICUBIC, box)` in Pillow
//! 13: taps reach two source pixels times the scale (one if bilinear), rows are resized before
//! columns, with bytes in between, weights have 22 bits (RECIPE 1.3). `hull` is the crop rounded
//! outwards to pixels, and nothing outside of it has any influence; `box` is the crop inside it,
//! fractional if the crop was (a crop of a frame has its corners between the pixels of a stored
//! level). With an integral crop this is torchvision's `resized_crop`.
//!
//! Rows of the first pass go to a small ring that the second reads, so that all of it stays in
//! cache. `benches/pixels.rs` compares with `fast_image_resize`, whose weights have fewer bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod axis;
mod horizontal;
mod strip;
mod vertical;

use schemas::geom::Size;

use crate::pixels::augment::{Planes, deinterleave};
use crate::pixels::simd::Simd;
pub use axis::Interpolation;
use axis::{Axis, Span};
use horizontal::Horizontal;
use strip::Strip;
use vertical::{CHUNK, weigh_rows};

/// Rows that the first pass makes at a time.
const STRIP_ROWS: usize = 8;

/// Resizes crops to square views. Keep one per thread: once it has met the largest crop, it
/// allocates nothing.
#[derive(Clone, Debug)]
pub struct Resizer {
    simd: Simd,
    horizontal: Horizontal,
    vertical: Axis,
    /// Rows between the passes; a multiple of [`STRIP_ROWS`].
    ring: Vec<u8>,
    /// The view as RGB triples, and room for the last chunk.
    rgb: Vec<u8>,
}

impl Default for Resizer {
    fn default() -> Self {
        Self::new()
    }
}

impl Resizer {
    /// With the best instructions of this CPU.
    pub fn new() -> Self {
        Self::with_simd(Simd::detect())
    }

    /// With the instructions that `simd` names; the pixels are the same.
    pub fn with_simd(simd: Simd) -> Self {
        Self {
            simd,
            horizontal: Horizontal::default(),
            vertical: Axis::default(),
            ring: Vec::new(),
            rgb: Vec::new(),
        }
    }

    /// Fills `out` with the part `crop`, `[x, y, width, height]`, of an image of RGB triples, rows
    /// `stride` bytes apart.
    ///
    /// # Panics
    ///
    /// If the crop is empty or not inside `size`, `stride` is shorter than a row, or `rgb` is shorter
    /// than the image.
    pub fn resize(
        &mut self,
        rgb: &[u8],
        size: Size,
        stride: usize,
        crop: [f64; 4],
        interpolation: Interpolation,
        out: &mut Planes,
    ) {
        let [x, y, width, height] = crop;
        let (x_pixels, x_span) = hull(x, width, size.width);
        let (y_pixels, y_span) = hull(y, height, size.height);
        let side = out.side();
        let crop = Strip {
            rgb: &rgb[y_pixels.start * stride + 3 * x_pixels.start..],
            stride,
            row_bytes: 3 * x_pixels.len(),
            rows: y_pixels.len(),
        };
        assert!(
            stride >= 3 * size.width as usize && crop.rgb.len() >= crop.len_bytes(),
            "{size} pixels in {stride}"
        );
        self.horizontal.fit(self.simd, interpolation, x_span, side);
        self.vertical.fit(self.simd, interpolation, y_span, side);
        self.run(crop, side);
        let [red, green, blue] = out.split_mut();
        deinterleave(self.simd, &self.rgb[..3 * side * side], red, green, blue);
    }

    /// Both passes: a row of the view as soon as the rows that it needs are in the ring.
    fn run(&mut self, crop: Strip<'_>, side: usize) {
        let stride = (3 * side + Horizontal::SPARE_BYTES).next_multiple_of(CHUNK);
        let ring_rows = (self.vertical.stride + STRIP_ROWS).next_multiple_of(STRIP_ROWS);
        self.ring.resize(ring_rows * stride, 0);
        self.rgb.resize(3 * side * side, 0);
        let mut rows_done = 0;
        for (y, row) in self.rgb.chunks_exact_mut(3 * side).enumerate() {
            let taps = self.vertical.taps(y);
            while rows_done < taps.end {
                let strip = crop.part(rows_done, STRIP_ROWS);
                let out = &mut self.ring[rows_done % ring_rows * stride..][..strip.rows * stride];
                self.horizontal.run(self.simd, strip, out, stride);
                rows_done += strip.rows;
            }
            weigh_rows(
                self.simd,
                &self.ring,
                stride,
                taps.start,
                self.vertical.weights_of(y),
                row,
            );
        }
    }
}

/// The pixels that the stretch `start .. start + length` of `available` pixels touches, and the
/// stretch within them.
fn hull(start: f64, length: f64, available: u32) -> (std::ops::Range<usize>, Span) {
    let end = start + length;
    assert!(
        0.0 <= start && length > 0.0 && end <= f64::from(available),
        "{start} + {length} lies in {available} pixels"
    );
    let (first, last) = (start.floor(), end.ceil());
    let span = Span {
        from: (start - first) as f32,
        to: (end - first) as f32,
        len: (last - first) as usize,
    };
    (first as usize..last as usize, span)
}
