//! The second pass: weighted sums of rows.

use super::axis::PRECISION_BITS;
use crate::pixels::simd::kernel;

/// Bytes of a row that are summed at a time; rows are padded to a multiple.
pub(super) const CHUNK: usize = 64;

kernel! {
    /// `out := Σ weights[t] · rows[t]`, rounded and clipped. `rows` yields slices of a ring of rows
    /// of `stride` bytes, a multiple of [`CHUNK`], beginning with row `first` modulo the number of
    /// rows in the ring.
    pub(super) fn weigh_rows(ring: &[u8], stride: usize, first: usize, weights: &[i32], out: &mut [u8]) = weigh_rows_body
}

#[inline(always)]
fn weigh_rows_body(ring: &[u8], stride: usize, first: usize, weights: &[i32], out: &mut [u8]) {
    let (whole, rest) = out.as_chunks_mut();
    for (ix, out) in whole.iter_mut().enumerate() {
        *out = weigh_chunk(ring, stride, first, ix, weights);
    }
    if !rest.is_empty() {
        let last = weigh_chunk(ring, stride, first, whole.len(), weights);
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

/// Chunk `ix` of the weighted sum of rows.
#[inline(always)]
fn weigh_chunk(
    ring: &[u8],
    stride: usize,
    first: usize,
    ix: usize,
    weights: &[i32],
) -> [u8; CHUNK] {
    let num_rows = ring.len() / stride;
    let mut sums = [1 << (PRECISION_BITS - 1); CHUNK];
    let mut row = first % num_rows;
    for &weight in weights {
        let bytes: &[u8; CHUNK] = ring[row * stride + ix * CHUNK..]
            .first_chunk()
            .expect("rows are whole chunks");
        for (sum, &byte) in sums.iter_mut().zip(bytes) {
            *sum += weight * i32::from(byte);
        }
        row = if row + 1 == num_rows { 0 } else { row + 1 };
    }
    let mut bytes = [0; CHUNK];
    for (byte, &sum) in bytes.iter_mut().zip(&sums) {
        *byte = clip(sum);
    }
    bytes
}

/// From fixed point to a byte.
#[inline(always)]
pub(super) fn clip(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}
