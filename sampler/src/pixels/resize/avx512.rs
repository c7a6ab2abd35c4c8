//! The horizontal pass in AVX-512: one register holds the three channels of five output pixels.
//!
//! The taps of five neighbouring outputs lie close together: one or two loads fetch them all, one
//! byte permutation brings four taps of each of the 15 sums into its 32-bit lane, and `vpdpbusd`
//! multiplies and adds the four. It takes weights of 8 bits, so the 22-bit weights are cut into
//! three balanced digits, each with its own sum, which are exact and joined at the end: the result
//! is that of 32-bit arithmetic.
#![expect(unsafe_code, reason = "intrinsics")]

use std::arch::x86_64::*;

use super::axis::{Axis, PRECISION_BITS, QUAD};
use super::strip::Strip;
use crate::pixels::simd::{Level, Simd, kernel};

/// Output pixels of a group.
const PIXELS: usize = 5;

/// 32-bit lanes of a register; the last one computes nothing of use.
const LANES: usize = 16;

/// Base-256 digits of a weight.
const DIGITS: usize = 3;

/// Bytes that one load fetches.
const LOAD: usize = 64;

/// Bytes that two neighbouring loads fetch.
const TWO_LOADS: usize = 2 * LOAD;

/// Rows that [`Shape::Moving`] works on together, to load weights once for all.
const MOVING_ROWS: usize = 4;

type Register = [u32; LANES];

/// Weights and permutations of all groups of an axis.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    /// `None` if the taps of some group lie too far apart.
    shape: Option<Shape>,
    groups: Vec<Group>,
    /// `[group][quad][digit]`
    weights: Vec<Aligned>,
    digits: [Vec<u8>; DIGITS],
}

/// The variants of the kernel.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// One load holds all taps of a group: so many fours a pixel.
    Near1,
    Near2,
    Near3,
    /// Two loads hold them.
    Far3,
    Far4,
    Far5,
    Far6,
    /// Two loads hold the first four of each pixel, and others the next four: any number.
    Moving,
}

impl Shape {
    /// For so many fours a pixel, the bytes from the first to the last tap of a group, and those
    /// that four taps of each of its pixels span.
    fn new(num_quads: usize, span_bytes: usize, quad_span_bytes: usize) -> Option<Self> {
        match (num_quads, span_bytes) {
            (1, ..=LOAD) => Some(Self::Near1),
            (2, ..=LOAD) => Some(Self::Near2),
            (3, ..=LOAD) => Some(Self::Near3),
            (3, ..=TWO_LOADS) => Some(Self::Far3),
            (4, ..=TWO_LOADS) => Some(Self::Far4),
            (5, ..=TWO_LOADS) => Some(Self::Far5),
            (6, ..=TWO_LOADS) => Some(Self::Far6),
            _ => (quad_span_bytes <= TWO_LOADS).then_some(Self::Moving),
        }
    }
}

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Aligned(Register);

/// Where the taps of five pixels are.
#[derive(Clone, Copy, Debug)]
struct Group {
    /// For the first four taps: which byte of the load goes where. The next four are 12 bytes on.
    places: Aligned,
    /// Byte of the row that the load starts at.
    start: usize,
    /// Bytes of the row from there on.
    available: usize,
}

impl Groups {
    /// Whether [`gather`](Self::gather) succeeded.
    pub(super) fn is_usable(&self) -> bool {
        self.shape.is_some()
    }

    /// Prepares `axis` for rows of `row_bytes` bytes; false if its taps spread too far.
    pub(super) fn gather(&mut self, simd: Simd, axis: &Axis, row_bytes: usize) -> bool {
        let num_outputs = axis.first.len();
        let (mut span, mut quad_span) = (0, 0);
        for first in (0..num_outputs).step_by(PIXELS) {
            let last = axis.taps((first + PIXELS - 1).min(num_outputs - 1));
            let start = axis.taps(first).start;
            span = span.max(3 * (last.end - start));
            quad_span = quad_span.max(3 * (last.start + QUAD - start));
        }
        self.shape = Shape::new(axis.stride / QUAD, span, quad_span);
        if self.shape.is_some() {
            split_digits(simd, &axis.weights, &mut self.digits);
            self.groups.clear();
            self.weights.clear();
            for first_pixel in (0..num_outputs).step_by(PIXELS) {
                self.push_group(axis, first_pixel, row_bytes);
            }
        }
        self.shape.is_some()
    }

    fn push_group(&mut self, axis: &Axis, first_pixel: usize, row_bytes: usize) {
        let start = 3 * axis.first[first_pixel] as usize;
        let mut places = Aligned([0; LANES]);
        let pixel_of = |lane: usize| (first_pixel + lane / 3).min(axis.first.len() - 1);
        for (lane, place) in places.0.iter_mut().enumerate() {
            let byte = 3 * axis.first[pixel_of(lane)] as usize - start + lane % 3;
            *place = (byte as u32 & 0x7f) * 0x0101_0101 + 0x0906_0300; // taps are 3 bytes apart
        }
        self.groups.push(Group {
            places,
            start,
            available: row_bytes - start,
        });
        for quad in 0..axis.stride / QUAD {
            for digits in &self.digits {
                let mut weights = Aligned([0; LANES]);
                for (lane, weight) in weights.0.iter_mut().enumerate() {
                    let at = pixel_of(lane) * axis.stride + quad * QUAD;
                    *weight = u32::from_ne_bytes(
                        *digits[at..].first_chunk().expect("weights come in fours"),
                    );
                }
                self.weights.push(weights);
            }
        }
    }

    /// Runs the pass over `strip`.
    pub(super) fn run(&self, simd: Simd, strip: Strip<'_>, out: &mut [u8], stride: usize) {
        assert!(simd.level() == Level::Avx512, "these instructions");
        assert!(
            stride > self.groups.len() * 3 * PIXELS && out.len() >= strip.rows * stride,
            "room for the rows"
        );
        let Some(shape) = self.shape else { return };
        // SAFETY: the CPU has the instructions, and there is room for the rows.
        unsafe {
            match shape {
                Shape::Near1 => self.run_groups::<1, false>(strip, out, stride),
                Shape::Near2 => self.run_groups::<2, false>(strip, out, stride),
                Shape::Near3 => self.run_groups::<3, false>(strip, out, stride),
                Shape::Far3 => self.run_groups::<3, true>(strip, out, stride),
                Shape::Far4 => self.run_groups::<4, true>(strip, out, stride),
                Shape::Far5 => self.run_groups::<5, true>(strip, out, stride),
                Shape::Far6 => self.run_groups::<6, true>(strip, out, stride),
                Shape::Moving => self.run_moving(strip, out, stride),
            }
        }
    }

    /// All weights of a group in registers.
    ///
    /// # Safety
    ///
    /// The CPU has the instructions.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni")]
    unsafe fn run_groups<const QUADS: usize, const FAR: bool>(
        &self,
        strip: Strip<'_>,
        out: &mut [u8],
        stride: usize,
    ) {
        let all_weights = self.weights.chunks_exact(QUADS * DIGITS);
        for ((ix, group), aligned) in self.groups.iter().enumerate().zip(all_weights) {
            let mut places = [register(&group.places); QUADS];
            let mut weights = [[_mm512_setzero_si512(); DIGITS]; QUADS];
            for quad in 0..QUADS {
                places[quad] =
                    _mm512_add_epi8(places[quad], _mm512_set1_epi8(3 * (QUAD * quad) as i8));
                for digit in 0..DIGITS {
                    weights[quad][digit] = register(&aligned[quad * DIGITS + digit]);
                }
            }
            let masks = masks(group.available);
            for (row, out) in strip.rows().zip(out.chunks_exact_mut(stride)) {
                // SAFETY: the masks leave out all bytes beyond the row.
                let (near, far) =
                    unsafe { load::<FAR>(row.as_ptr().wrapping_add(group.start), masks) };
                let mut sums = zero_sums();
                for quad in 0..QUADS {
                    add_taps(
                        &mut sums,
                        permuted::<FAR>(near, far, places[quad]),
                        weights[quad],
                    );
                }
                store(sums, &mut out[ix * 3 * PIXELS..]);
            }
        }
    }

    /// Weights loaded as needed.
    ///
    /// # Safety
    ///
    /// The CPU has the instructions.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni")]
    unsafe fn run_moving(&self, strip: Strip<'_>, out: &mut [u8], stride: usize) {
        let all_weights = self
            .weights
            .chunks_exact(self.weights.len() / self.groups.len());
        for ((ix, group), weights) in self.groups.iter().enumerate().zip(all_weights) {
            for (part, out) in out[..strip.rows * stride]
                .chunks_mut(MOVING_ROWS * stride)
                .enumerate()
            {
                let sums =
                    weigh_moving(group, weights, strip.part(part * MOVING_ROWS, MOVING_ROWS));
                for (sums, out) in sums.into_iter().zip(out.chunks_exact_mut(stride)) {
                    store(sums, &mut out[ix * 3 * PIXELS..]);
                }
            }
        }
    }
}

/// The sums of a group for up to [`MOVING_ROWS`] rows.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni")]
fn weigh_moving(group: &Group, weights: &[Aligned], strip: Strip<'_>) -> [Sums; MOVING_ROWS] {
    let places = register(&group.places);
    let mut sums = [zero_sums(); MOVING_ROWS];
    let mut rows = [strip.bytes_from(0).as_ptr(); MOVING_ROWS];
    for (row, ix) in rows.iter_mut().zip(0..strip.rows) {
        *row = strip.bytes_from(ix).as_ptr();
    }
    let (quads, _) = weights.as_chunks::<DIGITS>();
    for (quad, weights) in quads.iter().enumerate() {
        let offset = 3 * QUAD * quad;
        let masks = masks(group.available.saturating_sub(offset));
        let weights = [
            register(&weights[0]),
            register(&weights[1]),
            register(&weights[2]),
        ];
        for (sums, row) in sums.iter_mut().zip(rows) {
            // SAFETY: the masks leave out all bytes beyond the row.
            let (near, far) =
                unsafe { load::<true>(row.wrapping_add(group.start + offset), masks) };
            add_taps(sums, permuted::<true>(near, far, places), weights);
        }
    }
    sums
}

/// Sums by digit: 15 of use in each.
type Sums = [__m512i; DIGITS];

/// Nothing but what rounds.
#[inline]
#[target_feature(enable = "avx512f")]
fn zero_sums() -> Sums {
    [
        _mm512_set1_epi32(1 << (PRECISION_BITS - 1)),
        _mm512_setzero_si512(),
        _mm512_setzero_si512(),
    ]
}

/// Which bytes of two loads are among the `available` ones.
fn masks(available: usize) -> [u64; 2] {
    [
        low_bits(available),
        low_bits(available.saturating_sub(LOAD)),
    ]
}

/// The lowest `count` bits.
fn low_bits(count: usize) -> u64 {
    if count < 64 {
        (1 << count) - 1
    } else {
        u64::MAX
    }
}

/// 64 bytes, and the next 64 if `FAR`.
///
/// # Safety
///
/// The CPU has the instructions; the bytes that the masks let through can be read. Others are not
/// touched.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn load<const FAR: bool>(bytes: *const u8, masks: [u64; 2]) -> (__m512i, __m512i) {
    // SAFETY: the caller's duty.
    let near = unsafe { _mm512_maskz_loadu_epi8(masks[0], bytes.cast()) };
    let far = if FAR {
        // SAFETY: the caller's duty.
        unsafe { _mm512_maskz_loadu_epi8(masks[1], bytes.wrapping_add(LOAD).cast()) }
    } else {
        near
    };
    (near, far)
}

/// Four taps of each sum.
#[inline]
#[target_feature(enable = "avx512f,avx512vbmi")]
fn permuted<const FAR: bool>(near: __m512i, far: __m512i, places: __m512i) -> __m512i {
    if FAR {
        _mm512_permutex2var_epi8(near, places, far)
    } else {
        _mm512_permutexvar_epi8(places, near)
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn add_taps(sums: &mut Sums, taps: __m512i, weights: [__m512i; DIGITS]) {
    for (sum, weights) in sums.iter_mut().zip(weights) {
        *sum = _mm512_dpbusd_epi32(*sum, taps, weights);
    }
}

/// Joins the digits, rounds, clips, and writes 15 bytes of use and one of none.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn store(sums: Sums, out: &mut [u8]) {
    let upper = _mm512_add_epi32(_mm512_slli_epi32::<8>(sums[2]), sums[1]);
    let sum = _mm512_add_epi32(_mm512_slli_epi32::<8>(upper), sums[0]);
    let level = _mm512_srai_epi32::<PRECISION_BITS>(sum);
    let bytes = _mm512_cvtusepi32_epi8(_mm512_max_epi32(level, _mm512_setzero_si512()));
    // SAFETY: the slice has 16 bytes.
    unsafe { _mm_storeu_si128(out[..LANES].as_mut_ptr().cast(), bytes) };
}

#[inline]
#[target_feature(enable = "avx512f")]
fn register(aligned: &Aligned) -> __m512i {
    // SAFETY: 64 readable, aligned bytes.
    unsafe { _mm512_load_si512(aligned.0.as_ptr().cast()) }
}

/// Cuts weights into digits of -128 to 127, the lowest first: `weight = d0 + 256 (d1 + 256 d2)`.
fn split_digits(simd: Simd, weights: &[i32], digits: &mut [Vec<u8>; DIGITS]) {
    for digit in &mut *digits {
        digit.resize(weights.len(), 0);
    }
    let [low, middle, high] = digits;
    cut(simd, weights, low, middle, high);
}

kernel! {
    fn cut(weights: &[i32], low: &mut [u8], middle: &mut [u8], high: &mut [u8]) = cut_body
}

#[inline(always)]
fn cut_body(weights: &[i32], low: &mut [u8], middle: &mut [u8], high: &mut [u8]) {
    for (((&weight, low), middle), high) in weights.iter().zip(low).zip(middle).zip(high) {
        let upper = (weight - i32::from(weight as i8)) >> 8;
        *low = weight as u8;
        *middle = upper as u8;
        *high = ((upper - i32::from(upper as i8)) >> 8) as u8; // |weight| < 2²³
    }
}
