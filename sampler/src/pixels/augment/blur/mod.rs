//! Pillow's `GaussianBlur`: three box passes along the rows, then three along the columns
//! (BoxBlur.c, RECIPE 1.3).
//!
//! A box has a fractional radius `R = r + part`: taps up to `r` weigh `inner`, the two at `r + 1`
//! weigh `outer`, in 24-bit fixed point; edges are replicated; every pass rounds to bytes. Rows
//! stream through all six passes: a row is padded and blurred along itself three times, then enters
//! a cascade of three column passes, each of which keeps the few rows that its taps still need. So
//! a plane is read once and written once, and all else stays in first-level cache. Values travel as
//! `i16`.

mod weigh;

use crate::pixels::simd::{Simd, kernel};
use weigh::{BoxFilter, HALF, LANES, Lanes, Narrow, PASSES, PRECISION_BITS, Weigh};

/// The widest tap distance of the streaming passes; wider boxes take [`blur_wide`].
const MAX_REACH: usize = 2;

/// Rows that a column pass keeps: at least `2 * MAX_REACH + 1`.
const RING: usize = 8;

/// Lanes in memory, aligned so that no vector straddles two cache lines.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Aligned(Lanes);

/// Line and row buffers of the passes.
#[derive(Clone, Debug)]
pub(super) struct Scratch {
    side: usize,
    lines: [Vec<i16>; 2],
    rings: [Vec<Aligned>; PASSES],
    wide: [Vec<u8>; 2],
}

impl Scratch {
    pub(super) fn new(side: usize) -> Self {
        let steps = side.div_ceil(LANES);
        let line = vec![0; steps * LANES + 2 * MAX_REACH];
        let ring = vec![Aligned([0; LANES]); steps * RING];
        Self {
            side,
            lines: [line.clone(), line],
            rings: [ring.clone(), ring.clone(), ring],
            wide: [vec![0; side], vec![0; side]],
        }
    }
}

/// Blurs `planes` of `scratch.side`² pixels as Pillow's `GaussianBlur(sigma)`.
pub(super) fn blur<'a>(
    simd: Simd,
    sigma: f32,
    planes: impl IntoIterator<Item = &'a mut [u8]>,
    scratch: &mut Scratch,
) {
    let filter = BoxFilter::from_sigma(sigma);
    let is_narrow = Narrow::new(filter).is_some();
    for plane in planes {
        match filter.radius {
            0 if is_narrow => blur_narrow(simd, filter, plane, scratch),
            0 => blur_three(simd, filter, plane, scratch),
            1 => blur_five(simd, filter, plane, scratch),
            _ => blur_wide(filter, plane, scratch),
        }
    }
}

kernel! {
    fn blur_narrow(filter: BoxFilter, plane: &mut [u8], scratch: &mut Scratch) = blur_narrow_body
}

kernel! {
    fn blur_three(filter: BoxFilter, plane: &mut [u8], scratch: &mut Scratch) = blur_three_body
}

kernel! {
    fn blur_five(filter: BoxFilter, plane: &mut [u8], scratch: &mut Scratch) = blur_five_body
}

#[inline(always)]
fn blur_narrow_body(filter: BoxFilter, plane: &mut [u8], scratch: &mut Scratch) {
    stream(plane, scratch, Narrow::split(filter.outer));
}

#[inline(always)]
fn blur_three_body(filter: BoxFilter, plane: &mut [u8], scratch: &mut Scratch) {
    stream::<3>(plane, scratch, filter);
}

#[inline(always)]
fn blur_five_body(filter: BoxFilter, plane: &mut [u8], scratch: &mut Scratch) {
    stream::<5>(plane, scratch, filter);
}

/// All six passes over one plane.
#[inline(always)]
fn stream<const TAPS: usize>(plane: &mut [u8], scratch: &mut Scratch, filter: impl Weigh<TAPS>) {
    let side = scratch.side;
    let reach = TAPS / 2;
    for step in 0..side + PASSES * reach {
        if step < side {
            let row = &plane[step * side..][..side];
            let steps = side.div_ceil(LANES);
            let first = &mut scratch.rings[0][step % RING * steps..][..steps];
            blur_row(row, &mut scratch.lines, first, filter);
        }
        // Column pass k may finish the row that lies k + 1 reaches behind: its own lowest tap has
        // just come in.
        for pass in 0..PASSES {
            let Some(y) = step.checked_sub((pass + 1) * reach) else {
                break;
            };
            if y < side {
                blur_column_row(pass, y, plane, scratch, filter);
            }
        }
    }
}

/// Three passes along one row, from bytes to `out`.
#[inline(always)]
fn blur_row<const TAPS: usize>(
    row: &[u8],
    [from, to]: &mut [Vec<i16>; 2],
    out: &mut [Aligned],
    filter: impl Weigh<TAPS>,
) {
    let reach = TAPS / 2;
    for (wide, &byte) in from[reach..].iter_mut().zip(row) {
        *wide = i16::from(byte);
    }
    replicate_edges(from, reach, row.len());
    blur_padded(from, to, row.len(), filter);
    blur_padded(to, from, row.len(), filter);
    for (step, out) in out.iter_mut().enumerate() {
        out.0 = weigh_window(from, step, filter);
    }
}

/// One pass from a padded line of `len` values to another.
#[inline(always)]
fn blur_padded<const TAPS: usize>(
    from: &[i16],
    to: &mut [i16],
    len: usize,
    filter: impl Weigh<TAPS>,
) {
    let reach = TAPS / 2;
    for (step, out) in to[reach..].chunks_exact_mut(LANES).enumerate() {
        out.copy_from_slice(&weigh_window(from, step, filter));
    }
    replicate_edges(to, reach, len);
}

/// The outcome of one step along a padded line.
#[inline(always)]
fn weigh_window<const TAPS: usize>(line: &[i16], step: usize, filter: impl Weigh<TAPS>) -> Lanes {
    let window = &line[step * LANES..][..LANES + TAPS - 1];
    let mut taps = [&[0; LANES]; TAPS];
    for (offset, tap) in taps.iter_mut().enumerate() {
        *tap = window[offset..]
            .first_chunk()
            .expect("a window holds the lanes of every tap");
    }
    filter.weigh(taps)
}

/// Copies the first and the last of `len` values, which start at `reach`, outwards.
#[inline(always)]
fn replicate_edges(line: &mut [i16], reach: usize, len: usize) {
    let (first, last) = (line[reach], line[reach + len - 1]);
    line[..reach].fill(first);
    line[reach + len..][..reach].fill(last);
}

/// Row `y` of column pass `pass`, into the next pass's ring or, after the last, into the plane.
#[inline(always)]
fn blur_column_row<const TAPS: usize>(
    pass: usize,
    y: usize,
    plane: &mut [u8],
    scratch: &mut Scratch,
    filter: impl Weigh<TAPS>,
) {
    let side = scratch.side;
    let steps = side.div_ceil(LANES);
    let reach = TAPS / 2;
    let (done, ahead) = scratch.rings.split_at_mut(pass + 1);
    let ring = &done[pass];
    let mut rows: [&[Aligned]; TAPS] = [&[]; TAPS];
    for (tap, row) in rows.iter_mut().enumerate() {
        let y = (y + tap).saturating_sub(reach).min(side - 1);
        *row = &ring[y % RING * steps..][..steps];
    }
    if let Some(next) = ahead.first_mut() {
        for (step, out) in next[y % RING * steps..][..steps].iter_mut().enumerate() {
            out.0 = weigh_step(&rows, step, filter);
        }
    } else {
        let (whole, rest) = plane[y * side..][..side].as_chunks_mut();
        for (step, out) in whole.iter_mut().enumerate() {
            *out = narrowed(&weigh_step(&rows, step, filter));
        }
        if !rest.is_empty() {
            let last = narrowed(&weigh_step(&rows, steps - 1, filter));
            rest.copy_from_slice(&last[..rest.len()]);
        }
    }
}

#[inline(always)]
fn weigh_step<const TAPS: usize>(
    rows: &[&[Aligned]; TAPS],
    step: usize,
    filter: impl Weigh<TAPS>,
) -> Lanes {
    let mut taps = [&[0; LANES]; TAPS];
    for (tap, row) in taps.iter_mut().zip(rows) {
        *tap = &row[step].0;
    }
    filter.weigh(taps)
}

/// Bytes of values that are within 0 to 255, as every weighted mean of bytes is.
#[inline(always)]
fn narrowed(values: &Lanes) -> [u8; LANES] {
    let mut bytes = [0; LANES];
    for (byte, &value) in bytes.iter_mut().zip(values) {
        *byte = value as u8;
    }
    bytes
}

/// Any radius, a line at a time: no recipe needs it to be fast.
fn blur_wide(filter: BoxFilter, plane: &mut [u8], scratch: &mut Scratch) {
    let side = scratch.side;
    let [from, to] = &mut scratch.wide;
    for (start_step, step) in [(side, 1), (1, side)] {
        for line in 0..side {
            let at = |i: usize| line * start_step + i * step;
            (0..side).for_each(|i| from[i] = plane[at(i)]);
            for _ in 0..PASSES {
                box_line(filter, from, to);
                std::mem::swap(from, to);
            }
            (0..side).for_each(|i| plane[at(i)] = from[i]);
        }
    }
}

/// One pass with a running sum.
fn box_line(filter: BoxFilter, from: &[u8], to: &mut [u8]) {
    let last = from.len() as isize - 1;
    let value = |i: isize| u32::from(from[i.clamp(0, last) as usize]);
    let radius = filter.radius as isize;
    let mut sum: u32 = (-radius - 1..radius).map(value).sum();
    for (x, out) in (0..).zip(to) {
        sum += value(x + radius);
        sum -= value(x - radius - 1);
        let outer = value(x - radius - 1) + value(x + radius + 1);
        *out = ((sum * filter.inner + outer * filter.outer + HALF) >> PRECISION_BITS) as u8;
    }
}
