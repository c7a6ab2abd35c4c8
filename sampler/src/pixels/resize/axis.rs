//! The taps of one axis: which pixels make an output pixel, and with what weights.
//!
//! Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc` for its bicubic and bilinear filters
//! (Resample.c; RECIPE 1.3), operation by operation, so that the fixed-point weights come out the
//! same. The order of the loops is turned inside out: one tap of all outputs after the other, which
//! vector lanes like.

use serde::{Deserialize, Serialize};

use crate::pixels::simd::{Simd, kernel};

/// How values between pixels are interpolated. Both average when they shrink, as Pillow's filters do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// Keys' cubic with a = -1/2: BYOL's.
    #[default]
    Bicubic,
    /// torchvision's default: MoCo's and PixPro's.
    Bilinear,
}

/// Weights are in units of 2⁻²².
pub(super) const PRECISION_BITS: u32 = 22;

/// Taps are filled up with weights of 0 to a multiple of this.
pub(super) const QUAD: usize = 4;

/// Which part of a line of `len` pixels is to become the output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    /// Where the output begins; Pillow's boxes are `float`.
    pub(super) from: f32,
    /// Where it ends.
    pub(super) to: f32,
    /// No tap lies outside `0..len`.
    pub(super) len: usize,
}

/// Taps and weights for every output pixel along an axis.
#[derive(Clone, Debug, Default)]
pub(super) struct Axis {
    /// The first tap of each output.
    pub(super) first: Vec<u32>,
    /// The number of taps of each output: at least 1, at most `stride`.
    pub(super) count: Vec<u32>,
    /// Weights per output, a multiple of [`QUAD`].
    pub(super) stride: usize,
    /// `[output][stride]`; 0 from `count` on.
    pub(super) weights: Vec<i32>,
    centers: Vec<f64>,
    sums: Vec<f64>,
    /// `[stride][output]`, before and after normalisation.
    raw: Vec<f64>,
}

impl Axis {
    /// The taps of `output`.
    pub(super) fn taps(&self, output: usize) -> std::ops::Range<usize> {
        let first = self.first[output] as usize;
        first..first + self.count[output] as usize
    }

    /// Weights of the taps of `output`.
    pub(super) fn weights_of(&self, output: usize) -> &[i32] {
        &self.weights[output * self.stride..][..self.count[output] as usize]
    }

    /// Computes everything anew for `num_outputs` pixels out of `span`. Allocates only when it
    /// needs more memory than ever before.
    pub(super) fn fit(
        &mut self,
        simd: Simd,
        interpolation: Interpolation,
        span: Span,
        num_outputs: usize,
    ) {
        let scale = f64::from(span.to - span.from) / num_outputs as f64;
        let filter_scale = scale.max(1.0);
        self.place_taps(
            span,
            scale,
            interpolation.support() * filter_scale,
            num_outputs,
        );
        self.sums.clear();
        self.sums.resize(num_outputs, 0.0);
        self.raw.resize(self.stride * num_outputs, 0.0);
        self.weights.resize(self.stride * num_outputs, 0);
        let places = Places {
            interpolation,
            first: &self.first,
            count: &self.count,
            centers: &self.centers,
            inverse_scale: 1.0 / filter_scale,
        };
        raw_weights(simd, places, &mut self.raw, &mut self.sums);
        normalize(simd, &self.sums, &mut self.raw);
        for (tap, raw) in self.raw.chunks_exact(num_outputs).enumerate() {
            for (&raw, weights) in raw.iter().zip(self.weights.chunks_exact_mut(self.stride)) {
                weights[tap] = raw as i32;
            }
        }
    }

    fn place_taps(&mut self, span: Span, scale: f64, support: f64, num_outputs: usize) {
        self.centers.clear();
        self.first.clear();
        self.count.clear();
        for output in 0..num_outputs {
            let center = f64::from(span.from) + (output as f64 + 0.5) * scale;
            let first = (center - support + 0.5) as u32; // negative becomes 0, as in Pillow
            let end = ((center + support + 0.5) as u32).min(span.len as u32);
            self.centers.push(center);
            self.first.push(first);
            self.count.push(end - first);
        }
        let most = self.count.iter().max().map_or(0, |&most| most as usize);
        self.stride = most.next_multiple_of(QUAD);
    }
}

impl Interpolation {
    /// How far taps reach, in units of the scale.
    fn support(self) -> f64 {
        match self {
            Self::Bicubic => 2.0,
            Self::Bilinear => 1.0,
        }
    }
}

/// Where the taps of every output lie, and what is to weigh them.
#[derive(Clone, Copy)]
struct Places<'a> {
    interpolation: Interpolation,
    first: &'a [u32],
    count: &'a [u32],
    centers: &'a [f64],
    inverse_scale: f64,
}

kernel! {
    /// Unnormalised weights `[tap][output]`, and adds them up per output, in the order of the taps.
    fn raw_weights(places: Places<'_>, raw: &mut [f64], sums: &mut [f64]) = raw_weights_body
}

#[inline(always)]
fn raw_weights_body(places: Places<'_>, raw: &mut [f64], sums: &mut [f64]) {
    match places.interpolation {
        Interpolation::Bicubic => weigh_with(cubic, places, raw, sums),
        Interpolation::Bilinear => weigh_with(triangle, places, raw, sums),
    }
}

#[inline(always)]
fn weigh_with(filter: impl Fn(f64) -> f64, places: Places<'_>, raw: &mut [f64], sums: &mut [f64]) {
    let Places {
        first,
        count,
        centers,
        inverse_scale,
        ..
    } = places;
    for (tap, raw) in (0u32..).zip(raw.chunks_exact_mut(centers.len())) {
        let places = first.iter().zip(count).zip(centers);
        for ((raw, sum), ((&first, &count), &center)) in raw.iter_mut().zip(&mut *sums).zip(places)
        {
            let weight = filter((f64::from(first + tap) - center + 0.5) * inverse_scale);
            *raw = if tap < count { weight } else { 0.0 };
            *sum += *raw;
        }
    }
}

/// Keys' bicubic kernel with a = -1/2, in Pillow's order of operations.
#[inline(always)]
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    let inner = ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let outer = (((x - 5.0) * x + 8.0) * x - 4.0) * A;
    let tail = if x < 2.0 { outer } else { 0.0 };
    if x < 1.0 { inner } else { tail }
}

/// The linear kernel.
#[inline(always)]
fn triangle(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 { 1.0 - x } else { 0.0 }
}

kernel! {
    /// Divides `[tap][output]` weights by their sums and scales them to fixed point: whole numbers,
    /// halves away from 0.
    fn normalize(sums: &[f64], raw: &mut [f64]) = normalize_body
}

#[inline(always)]
fn normalize_body(sums: &[f64], raw: &mut [f64]) {
    for raw in raw.chunks_exact_mut(sums.len()) {
        for (raw, &sum) in raw.iter_mut().zip(sums) {
            let fixed = *raw / sum * f64::from(1 << PRECISION_BITS);
            *raw = (fixed + if fixed < 0.0 { -0.5 } else { 0.5 }).trunc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pillow's loops as they stand in Resample.c.
    fn pillow(
        interpolation: Interpolation,
        span: Span,
        num_outputs: usize,
    ) -> Vec<(usize, Vec<i32>)> {
        let scale = f64::from(span.to - span.from) / num_outputs as f64;
        let filter_scale = if scale < 1.0 { 1.0 } else { scale };
        let bicubic = |x: f64| match x.abs() {
            x if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5,
            _ => 0.0,
        };
        let (support, kernel): (f64, &dyn Fn(f64) -> f64) = match interpolation {
            Interpolation::Bicubic => (2.0 * filter_scale, &bicubic),
            Interpolation::Bilinear => (filter_scale, &|x| (1.0 - x.abs()).max(0.0)),
        };
        let taps = |output: usize| {
            let center = f64::from(span.from) + (output as f64 + 0.5) * scale;
            let first = ((center - support + 0.5) as i64).max(0);
            let end = ((center + support + 0.5) as i64).min(span.len as i64);
            let weights: Vec<f64> = (first..end)
                .map(|x| kernel((x as f64 - center + 0.5) * (1.0 / filter_scale)))
                .collect();
            let sum: f64 = weights.iter().fold(0.0, |sum, weight| sum + weight);
            let fixed = weights.iter().map(|weight| weight / sum * 4_194_304.0);
            (
                first as usize,
                fixed
                    .map(|w| {
                        if w < 0.0 {
                            (w - 0.5) as i32
                        } else {
                            (w + 0.5) as i32
                        }
                    })
                    .collect(),
            )
        };
        (0..num_outputs).map(taps).collect()
    }

    #[test]
    fn taps_and_weights_are_pillows() {
        let spans = [
            (0.0, 500.0, 500),
            (0.25, 479.75, 480),
            (0.5, 1.5, 2),
            (0.0, 3.0, 3),
            (0.75, 1919.5, 1920),
        ];
        for simd in Simd::available() {
            let mut axis = Axis::default();
            let sizes = spans
                .into_iter()
                .flat_map(|span| [(span, 224), (span, 7), (span, 1)]);
            let cases = sizes.flat_map(|size| {
                [
                    (size, Interpolation::Bicubic),
                    (size, Interpolation::Bilinear),
                ]
            });
            for (((from, to, len), num_outputs), interpolation) in cases {
                let span = Span { from, to, len };
                axis.fit(simd, interpolation, span, num_outputs);
                for (output, (first, weights)) in pillow(interpolation, span, num_outputs)
                    .into_iter()
                    .enumerate()
                {
                    let what = format!("{interpolation:?} {span:?}, output {output}");
                    assert_eq!(axis.taps(output), first..first + weights.len(), "{what}");
                    assert_eq!(axis.weights_of(output), weights, "{what}");
                    let filling = &axis.weights[output * axis.stride..][weights.len()..axis.stride];
                    assert!(filling.iter().all(|&weight| weight == 0));
                }
            }
        }
    }
}
