//! The horizontal pass in AVX2: one pixel of four rows at a time, for any scale.
//!
//! A register half holds 16 bytes of one row: four taps of three channels and a bit. Two byte
//! shuffles pair the taps of each channel as 16-bit numbers; `vpmaddwd` multiplies and adds the
//! pairs. It takes 16-bit weights, so the 22-bit weights are cut into two halves with sums of their
//! own, which are exact and joined at the end: the result is that of 32-bit arithmetic.
#![expect(unsafe_code, reason = "intrinsics")]

use std::arch::x86_64::*;

use super::axis::{Axis, PRECISION_BITS, QUAD};
use super::strip::Strip;
use crate::pixels::simd::{Level, Simd};

/// `weight = low + (high << HALF_BITS)`, with both within 16 bits.
const HALF_BITS: u32 = 11;

/// Bytes that one load fetches from a row.
const LOAD: usize = 16;

/// Rows that share the loads of the weights.
const ROWS: usize = 4;

/// Weights of two neighbouring taps, 16 bits each, the first in the lower half.
type Pair = i32;

/// The weights of an axis, cut in two.
#[derive(Clone, Debug, Default)]
pub(super) struct Halves {
    /// `[output][quad][2]`
    high: Vec<Pair>,
    /// `[output][quad][2]`
    low: Vec<Pair>,
    /// How far from its first byte a row is read, bytes past its end included.
    reach: usize,
    /// Copies of rows that end too close to the end of the image for that.
    padded: [Vec<u8>; ROWS],
}

impl Halves {
    /// Prepares `axis`.
    pub(super) fn split(&mut self, axis: &Axis) {
        let (pairs, _) = axis.weights.as_chunks::<2>();
        let high_of = |weight: i32| (weight + (1 << (HALF_BITS - 1))) >> HALF_BITS;
        let low_of = |weight: i32| weight - (high_of(weight) << HALF_BITS);
        self.high.clear();
        self.high
            .extend(pairs.iter().map(|pair| joined(pair.map(high_of))));
        self.low.clear();
        self.low
            .extend(pairs.iter().map(|pair| joined(pair.map(low_of))));
        let last = axis.first.iter().max().map_or(0, |&first| first as usize);
        self.reach = 3 * (last + axis.stride - QUAD) + LOAD;
        for padded in &mut self.padded {
            padded.resize(self.reach, 0);
        }
    }

    /// Runs the pass over `strip`.
    pub(super) fn run(
        &mut self,
        simd: Simd,
        axis: &Axis,
        strip: Strip<'_>,
        out: &mut [u8],
        stride: usize,
    ) {
        assert!(simd.level() != Level::Scalar, "these instructions");
        assert!(stride > 3 * axis.first.len(), "room for a row and a byte");
        for (part, out) in out[..strip.rows * stride]
            .chunks_mut(ROWS * stride)
            .enumerate()
        {
            let strip = strip.part(part * ROWS, ROWS);
            let mut rows: [&[u8]; ROWS] = [&[]; ROWS];
            for (ix, (row, padded)) in rows.iter_mut().zip(&mut self.padded).enumerate() {
                *row = readable(strip.bytes_from(ix.min(strip.rows - 1)), self.reach, padded);
            }
            // SAFETY: the CPU has the instructions; the rows are as long as the reach of the axis.
            unsafe { run_rows(axis, &self.high, &self.low, rows, out, stride) };
        }
    }
}

/// `bytes`, or if they are too few, a copy that is not.
fn readable<'a>(bytes: &'a [u8], reach: usize, padded: &'a mut [u8]) -> &'a [u8] {
    if bytes.len() >= reach {
        return bytes;
    }
    padded[..bytes.len()].copy_from_slice(bytes);
    padded
}

/// A row of output from each row for which there is room.
///
/// # Safety
///
/// The CPU has AVX2, and the rows are at least as long as [`Halves::reach`] for `axis`.
#[target_feature(enable = "avx2")]
unsafe fn run_rows(
    axis: &Axis,
    high: &[Pair],
    low: &[Pair],
    rows: [&[u8]; ROWS],
    out: &mut [u8],
    stride: usize,
) {
    let pairs = axis.stride / 2;
    let weights = high.chunks_exact(pairs).zip(low.chunks_exact(pairs));
    for ((output, &first), (high, low)) in axis.first.iter().enumerate().zip(weights) {
        let starts = rows.map(|row| row.as_ptr().wrapping_add(3 * first as usize));
        // SAFETY: `reach` counts the loads of every output pixel.
        let pixels = unsafe { weigh(starts, high, low) };
        for (pixel, out) in pixels.iter().zip(out.chunks_exact_mut(stride)) {
            out[3 * output..][..4].copy_from_slice(pixel);
        }
    }
}

/// One pixel of each row, and a byte that means nothing.
///
/// # Safety
///
/// The CPU has AVX2; from all starts on, 16 bytes can be read at every multiple of 12 that four of
/// the taps begin at.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn weigh(starts: [*const u8; ROWS], high: &[Pair], low: &[Pair]) -> [[u8; 4]; ROWS] {
    // Bytes of taps t and t + 1 beside each other, as 16-bit numbers: red, green, blue, nothing.
    let first_two = both(_mm_setr_epi8(
        0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1,
    ));
    let last_two = both(_mm_setr_epi8(
        6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1,
    ));
    let mut high_sums = [_mm256_setzero_si256(); ROWS / 2];
    let mut low_sums = [_mm256_set1_epi32(1 << (PRECISION_BITS - 1)); ROWS / 2];
    let (high, low) = (high.as_chunks::<2>().0, low.as_chunks::<2>().0);
    for (quad, (high, low)) in high.iter().zip(low).enumerate() {
        let (high, low) = (
            [broadcast(&high[0]), broadcast(&high[1])],
            [broadcast(&low[0]), broadcast(&low[1])],
        );
        for two in 0..ROWS / 2 {
            let at = |row: usize| starts[row].wrapping_add(3 * QUAD * quad).cast::<__m128i>();
            // SAFETY: the caller's duty.
            let bytes = unsafe {
                _mm256_set_m128i(
                    _mm_loadu_si128(at(2 * two + 1)),
                    _mm_loadu_si128(at(2 * two)),
                )
            };
            let taps = [
                _mm256_shuffle_epi8(bytes, first_two),
                _mm256_shuffle_epi8(bytes, last_two),
            ];
            for pair in 0..2 {
                high_sums[two] =
                    _mm256_add_epi32(high_sums[two], _mm256_madd_epi16(taps[pair], high[pair]));
                low_sums[two] =
                    _mm256_add_epi32(low_sums[two], _mm256_madd_epi16(taps[pair], low[pair]));
            }
        }
    }
    let mut pixels = [[0; 4]; ROWS];
    for two in 0..ROWS / 2 {
        let sums = _mm256_add_epi32(
            _mm256_slli_epi32::<{ HALF_BITS as i32 }>(high_sums[two]),
            low_sums[two],
        );
        let levels = _mm256_srai_epi32::<{ PRECISION_BITS as i32 }>(sums);
        let words = _mm256_packs_epi32(levels, levels);
        let bytes = _mm256_packus_epi16(words, words);
        pixels[2 * two] = _mm256_extract_epi32::<0>(bytes).to_ne_bytes();
        pixels[2 * two + 1] = _mm256_extract_epi32::<4>(bytes).to_ne_bytes();
    }
    pixels
}

#[inline]
#[target_feature(enable = "avx2")]
fn both(half: __m128i) -> __m256i {
    _mm256_broadcastsi128_si256(half)
}

/// One instruction, which loads too; from a value, the compiler would make several.
#[inline]
#[target_feature(enable = "avx2")]
fn broadcast(pair: &Pair) -> __m256i {
    // SAFETY: four readable bytes.
    _mm256_broadcastd_epi32(unsafe { _mm_loadu_si32(std::ptr::from_ref(pair).cast()) })
}

/// Two numbers within 16 bits as one.
fn joined([first, second]: [i32; 2]) -> Pair {
    (first & 0xffff) | (second << 16)
}
