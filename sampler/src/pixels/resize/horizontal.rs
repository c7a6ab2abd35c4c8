//! The first pass: along rows of RGB triples.
//!
//! Output pixels begin at different places of their row, so the compiler cannot vectorise this by
//! itself. Three ways give the same bytes: the plain loop; AVX2, four rows at a time; AVX-512, five
//! pixels at a time, for downscaling by up to 9.6 (AVX2 serves beyond).

#[cfg(target_arch = "x86_64")]
use super::avx2;
#[cfg(target_arch = "x86_64")]
use super::avx512;
use super::axis::{Axis, Interpolation, PRECISION_BITS, Span};
use super::strip::Strip;
use super::vertical::clip;
use crate::pixels::simd::{Level, Simd};

/// The horizontal taps in the form that the chosen kernel wants.
#[derive(Clone, Debug, Default)]
pub(super) struct Horizontal {
    pub(super) axis: Axis,
    #[cfg(target_arch = "x86_64")]
    halves: avx2::Halves,
    #[cfg(target_arch = "x86_64")]
    groups: avx512::Groups,
}

impl Horizontal {
    /// What an output row must be longer than its pixels: kernels write whole registers.
    pub(super) const SPARE_BYTES: usize = 16;

    /// Computes taps and weights anew, for rows of `span.len` pixels.
    pub(super) fn fit(
        &mut self,
        simd: Simd,
        interpolation: Interpolation,
        span: Span,
        num_outputs: usize,
    ) {
        self.axis.fit(simd, interpolation, span, num_outputs);
        match simd.level() {
            Level::Scalar => {}
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => self.halves.split(&self.axis),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => {
                if !self.groups.gather(simd, &self.axis, 3 * span.len) {
                    self.halves.split(&self.axis);
                }
            }
        }
    }

    /// Runs the pass over the rows of `strip`, into rows of `stride` bytes. What it writes beyond
    /// the last pixel of an output row means nothing.
    pub(super) fn run(&mut self, simd: Simd, strip: Strip<'_>, out: &mut [u8], stride: usize) {
        match simd.level() {
            Level::Scalar => run_scalar(&self.axis, strip, out, stride),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 if self.groups.is_usable() => self.groups.run(simd, strip, out, stride),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 | Level::Avx512 => self.halves.run(simd, &self.axis, strip, out, stride),
        }
    }
}

fn run_scalar(axis: &Axis, strip: Strip<'_>, out: &mut [u8], stride: usize) {
    for (row, out) in strip.rows().zip(out.chunks_exact_mut(stride)) {
        let (triples, _) = row.as_chunks::<3>();
        let (pixels, _) = out.as_chunks_mut::<3>();
        for (output, pixel) in pixels.iter_mut().enumerate().take(axis.first.len()) {
            let mut sums = [1 << (PRECISION_BITS - 1); 3];
            for (triple, &weight) in triples[axis.taps(output)]
                .iter()
                .zip(axis.weights_of(output))
            {
                for (sum, &byte) in sums.iter_mut().zip(triple) {
                    *sum += weight * i32::from(byte);
                }
            }
            *pixel = sums.map(clip);
        }
    }
}
