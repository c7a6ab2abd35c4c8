//! Brightness, contrast, saturation and grayscale, and the pass that runs a list of colour
//! operations.
//!
//! Pillow rounds to bytes after every operation (RECIPE 1.3). A pass keeps 64 pixels at a time as
//! whole numbers in `f32`, runs all of its steps on them while they are in registers or first-level
//! cache, and writes bytes once. Every value and every product below is either exact in `f32` or
//! rounded as Pillow's own `float` arithmetic rounds it.

use super::block::{BLOCK, Block, byte_from_whole};
use super::hue;
use crate::pixels::simd::kernel;

/// One colour operation with its parameters resolved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// Blend with black.
    Brightness { factor: f32 },
    /// Blend with the flat image of the mean luma, a whole number.
    Contrast { factor: f32, mean: f32 },
    /// Blend with the grey image.
    Saturation { factor: f32 },
    /// Turn the hue byte by a whole number of steps.
    Hue { shift: f32 },
    /// Luma in all three channels.
    Grayscale,
}

kernel! {
    /// Runs `steps` in order on every pixel.
    pub(super) fn run_steps(planes: [&mut [u8]; 3], steps: &[Step]) = run_steps_body
}

kernel! {
    /// Runs `steps` in order on every pixel and returns the sum of the lumas that result.
    pub(super) fn run_steps_and_sum(planes: [&mut [u8]; 3], steps: &[Step]) -> u64 = run_steps_and_sum_body
}

#[inline(always)]
fn run_steps_body(planes: [&mut [u8]; 3], steps: &[Step]) {
    pass::<false>(planes, steps);
}

#[inline(always)]
fn run_steps_and_sum_body(planes: [&mut [u8]; 3], steps: &[Step]) -> u64 {
    pass::<true>(planes, steps)
}

/// Runs `steps` block by block; the sum of the lumas if `SUM`, else 0.
#[inline(always)]
fn pass<const SUM: bool>([red, green, blue]: [&mut [u8]; 3], steps: &[Step]) -> u64 {
    let mut sum = 0;
    let (reds, red_rest) = red.as_chunks_mut();
    let (greens, green_rest) = green.as_chunks_mut();
    let (blues, blue_rest) = blue.as_chunks_mut();
    for ((red, green), blue) in reds.iter_mut().zip(greens).zip(blues) {
        let mut block = Block::from_bytes(red, green, blue);
        run(&mut block, steps);
        if SUM {
            sum += luma_sum(&block, BLOCK);
        }
        block.write_bytes(red, green, blue);
    }
    let len = red_rest.len();
    if len > 0 {
        let mut bytes = [[0; BLOCK]; 3];
        let [red, green, blue] = &mut bytes;
        red[..len].copy_from_slice(red_rest);
        green[..len].copy_from_slice(green_rest);
        blue[..len].copy_from_slice(blue_rest);
        let mut block = Block::from_bytes(red, green, blue);
        run(&mut block, steps);
        if SUM {
            sum += luma_sum(&block, len);
        }
        block.write_bytes(red, green, blue);
        red_rest.copy_from_slice(&red[..len]);
        green_rest.copy_from_slice(&green[..len]);
        blue_rest.copy_from_slice(&blue[..len]);
    }
    sum
}

#[inline(always)]
fn run(block: &mut Block, steps: &[Step]) {
    for step in steps {
        match *step {
            Step::Brightness { factor } => scale(block, factor),
            Step::Contrast { factor, mean } => blend_with_flat(block, mean, factor),
            Step::Saturation { factor } => blend_with_luma(block, factor),
            Step::Hue { shift } => hue::shift_hue(block, shift),
            Step::Grayscale => fill_with_luma(block),
        }
    }
}

#[inline(always)]
fn scale(block: &mut Block, factor: f32) {
    for plane in [&mut block.red, &mut block.green, &mut block.blue] {
        for value in plane {
            *value = clipped((factor * *value).trunc());
        }
    }
}

#[inline(always)]
fn blend_with_flat(block: &mut Block, flat: f32, factor: f32) {
    for plane in [&mut block.red, &mut block.green, &mut block.blue] {
        for value in plane {
            *value = blend(flat, *value, factor);
        }
    }
}

#[inline(always)]
fn blend_with_luma(block: &mut Block, factor: f32) {
    for ((red, green), blue) in block
        .red
        .iter_mut()
        .zip(&mut block.green)
        .zip(&mut block.blue)
    {
        let grey = luma(*red, *green, *blue);
        *red = blend(grey, *red, factor);
        *green = blend(grey, *green, factor);
        *blue = blend(grey, *blue, factor);
    }
}

#[inline(always)]
fn fill_with_luma(block: &mut Block) {
    for ((red, green), blue) in block
        .red
        .iter_mut()
        .zip(&mut block.green)
        .zip(&mut block.blue)
    {
        let grey = luma(*red, *green, *blue);
        (*red, *green, *blue) = (grey, grey, grey);
    }
}

#[inline(always)]
fn luma_sum(block: &Block, len: usize) -> u64 {
    let mut sum = 0;
    for ((&red, &green), &blue) in block.red[..len].iter().zip(&block.green).zip(&block.blue) {
        sum += u32::from(byte_from_whole(luma(red, green, blue)));
    }
    u64::from(sum)
}

/// Pillow's `Image.blend`: away from `degenerate` by `factor`, truncated.
#[inline(always)]
fn blend(degenerate: f32, value: f32, factor: f32) -> f32 {
    clipped((degenerate + factor * (value - degenerate)).trunc())
}

/// Pillow clips only where a factor lies outside 0 to 1; inside, clipping changes nothing.
#[inline(always)]
fn clipped(value: f32) -> f32 {
    let value = if value > 0.0 { value } else { 0.0 };
    if value < 255.0 { value } else { 255.0 }
}

/// Pillow's luma, `(19595 R + 38470 G + 7471 B + 2¹⁵) >> 16`. The sum in units of 2⁻¹⁶ stays below
/// 2²⁴: every step is exact.
#[inline(always)]
fn luma(red: f32, green: f32, blue: f32) -> f32 {
    const UNIT: f32 = 1.0 / 65536.0;
    (19595.0 * UNIT * red + 38470.0 * UNIT * green + 7471.0 * UNIT * blue + 0.5).trunc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn luma_is_exact_for_every_colour() {
        for i in 0..1u32 << 24 {
            let [red, green, blue, _] = i.to_le_bytes();
            let fixed = (19595 * u32::from(red)
                + 38470 * u32::from(green)
                + 7471 * u32::from(blue)
                + 32768)
                >> 16;
            assert_eq!(luma(red.into(), green.into(), blue.into()), fixed as f32);
        }
    }

    #[test]
    fn bytes_survive_the_round_trip_through_f32() {
        assert!((0..=255).all(|byte| byte_from_whole(f32::from(byte)) == byte));
    }

    #[test]
    fn blend_truncates_and_clips() {
        assert_eq!(blend(0.0, 255.0, 1.4), 255.0);
        assert_eq!(blend(200.0, 0.0, 1.4), 0.0);
        assert_eq!(blend(0.0, 3.0, 0.6), 1.0);
    }

    #[test]
    fn the_rest_of_a_plane_is_neither_skipped_nor_counted_twice() {
        for len in [1, 63, 64, 65, 200] {
            let (mut red, mut green, mut blue) =
                (vec![10u8; len], vec![10u8; len], vec![10u8; len]);
            let steps = [Step::Brightness { factor: 1.5 }];
            let sum = run_steps_and_sum_body([&mut red, &mut green, &mut blue], &steps);
            assert_eq!(sum, 15 * len as u64);
            assert!(
                [red, green, blue]
                    .iter()
                    .flatten()
                    .all(|&value| value == 15)
            );
        }
    }
}
