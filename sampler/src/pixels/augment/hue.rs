//! Hue shift as Pillow and torchvision do it: RGB bytes → HSV bytes → H shifted modulo 256 → RGB
//! bytes.
//!
//! Pillow computes in a mixture of `float` and `double` with truncation (`rgb2hsv_row`, `hsv2rgb`
//! of Convert.c; RECIPE 1.3). Here all of it is `f32`, and still no byte of any of the 2²⁴ colours,
//! nor of any of the 2²⁴ HSV triples, differs: the tests go through all of them. The two devices
//! that make it so are the exact remainder in [`byte_from_unit`], and integer numerators below 2²⁴
//! in [`channel`]. Even a shift of 0 goes through HSV and loses up to a few levels, as in Pillow.

use super::block::Block;

/// Hue, saturation and value as whole numbers in `0.0..=255.0`.
#[derive(Clone, Copy)]
struct Hsv {
    hue: f32,
    saturation: f32,
    value: f32,
}

/// What `adjust_hue(factor)` adds to the hue byte, modulo 256: `factor` turns, truncated towards 0.
pub(super) fn shift_from_factor(factor: f32) -> f32 {
    (f64::from(factor) * 255.0).trunc().rem_euclid(256.0) as f32
}

/// Turns the hue of every pixel by `shift` of 256 steps, a whole number in `0.0..=255.0`.
#[inline(always)]
pub(super) fn shift_hue(block: &mut Block, shift: f32) {
    for ((red, green), blue) in block
        .red
        .iter_mut()
        .zip(&mut block.green)
        .zip(&mut block.blue)
    {
        let mut hsv = hsv_from_rgb(*red, *green, *blue);
        hsv.hue += shift;
        hsv.hue = if hsv.hue >= 256.0 {
            hsv.hue - 256.0
        } else {
            hsv.hue
        };
        [*red, *green, *blue] = rgb_from_hsv(hsv);
    }
}

/// Pillow divides three differences by the chroma; two of the quotients are 0 and 1, so one
/// division remains.
#[inline(always)]
fn hsv_from_rgb(red: f32, green: f32, blue: f32) -> Hsv {
    let (lower, upper) = (smaller(red, green), larger(red, green));
    let min = smaller(lower, blue);
    let middle = larger(lower, smaller(upper, blue));
    let max = larger(upper, blue);
    let chroma = max - min;
    let step = (max - middle) / larger(chroma, 1.0);
    // Ties are resolved red, then green. `sixths` is the hue in sixths of a turn, possibly
    // negative.
    let of_red = if green <= blue {
        step - 1.0
    } else {
        1.0 - step
    };
    let of_green = if red <= blue { 3.0 - step } else { 1.0 + step };
    let of_blue = if green <= red { 5.0 - step } else { 3.0 + step };
    let of_green_or_blue = if green == max { of_green } else { of_blue };
    let sixths = if red == max { of_red } else { of_green_or_blue };
    let turns = sixths / 6.0;
    let turns = if turns < 0.0 { turns + 1.0 } else { turns };
    Hsv {
        hue: byte_from_unit(turns),
        saturation: byte_from_unit(chroma / larger(max, 1.0)),
        value: max,
    }
}

/// `trunc(255 · unit)` of the exact product. The rounded product may have reached the next integer:
/// then `256 · unit - integer` (exact, for its terms are within a factor of 2) is less than `unit`.
#[inline(always)]
fn byte_from_unit(unit: f32) -> f32 {
    let rounded = (unit * 255.0).trunc();
    if unit * 256.0 - rounded < unit {
        rounded - 1.0
    } else {
        rounded
    }
}

/// Each channel is `value · (1 - saturation · weight)`, where the weight runs 0, 0, ramp, 1, 1,
/// ramp round the circle, from another sixth on for each. In units of 1/255 of a sixth, all angles
/// are whole.
#[inline(always)]
fn rgb_from_hsv(hsv: Hsv) -> [f32; 3] {
    let angle = hsv.hue * 6.0;
    let full_loss = hsv.value * hsv.saturation * (1.0 / 65025.0);
    let channel = |ramp: f32| {
        let weight = larger(smaller(ramp, 255.0), 0.0);
        (hsv.value - full_loss * weight).round_ties_even() // there are no ties: 65025 is odd
    };
    [
        channel(510.0 - (angle - 765.0).abs()),
        channel((angle - 510.0).abs() - 255.0),
        channel((angle - 1020.0).abs() - 255.0),
    ]
}

/// `max` of two numbers that are never NaN: one instruction, where `f32::max` takes three.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// `min` of two numbers that are never NaN.
#[inline(always)]
fn smaller(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pillow's `rgb2hsv_row`, types and all.
    fn pillow_hsv(red: u8, green: u8, blue: u8) -> [u8; 3] {
        let (max, min) = (red.max(green).max(blue), red.min(green).min(blue));
        if max == min {
            return [0, 0, max];
        }
        let chroma = f32::from(max - min);
        let [rc, gc, bc] = [red, green, blue].map(|c| f32::from(max - c) / chroma);
        let sixths = if red == max {
            bc - gc
        } else if green == max {
            (2.0 + f64::from(rc) - f64::from(bc)) as f32
        } else {
            (4.0 + f64::from(gc) - f64::from(rc)) as f32
        };
        let hue = ((f64::from(sixths) / 6.0 + 1.0) % 1.0) as f32;
        let saturation = chroma / f32::from(max);
        [
            (f64::from(hue) * 255.0) as u8,
            (f64::from(saturation) * 255.0) as u8,
            max,
        ]
    }

    /// Pillow's `hsv2rgb`, types and all.
    fn pillow_rgb(hue: u8, saturation: u8, value: u8) -> [u8; 3] {
        if saturation == 0 {
            return [value; 3];
        }
        let sixths = f64::from(hue) * 6.0 / 255.0;
        let sector = sixths.floor();
        let part = f64::from((sixths - sector) as f32);
        let saturation = f64::from((f64::from(saturation) / 255.0) as f32);
        let scaled = |x: f64| (f64::from(value) * x).round() as u8;
        let p = scaled(1.0 - saturation);
        let q = scaled(1.0 - saturation * part);
        let t = scaled(1.0 - saturation * (1.0 - part));
        match sector as u8 % 6 {
            0 => [value, t, p],
            1 => [q, value, p],
            2 => [p, value, t],
            3 => [p, q, value],
            4 => [t, p, value],
            _ => [value, p, q],
        }
    }

    fn all_triples() -> impl Iterator<Item = [u8; 3]> {
        (0..1 << 24).map(|i: u32| [i as u8, (i >> 8) as u8, (i >> 16) as u8])
    }

    #[test]
    fn every_colour_gets_pillows_hsv() {
        for [red, green, blue] in all_triples() {
            let hsv = hsv_from_rgb(red.into(), green.into(), blue.into());
            let [hue, saturation, value] = pillow_hsv(red, green, blue).map(f32::from);
            assert_eq!(
                (hsv.saturation, hsv.value),
                (saturation, value),
                "{red} {green} {blue}"
            );
            // The hue of a grey pixel has no effect, whatever the shift.
            assert!(hsv.hue == hue || saturation == 0.0, "{red} {green} {blue}");
        }
    }

    #[test]
    fn every_hsv_triple_gets_pillows_colour() {
        for [hue, saturation, value] in all_triples() {
            let hsv = Hsv {
                hue: hue.into(),
                saturation: saturation.into(),
                value: value.into(),
            };
            assert_eq!(
                rgb_from_hsv(hsv),
                pillow_rgb(hue, saturation, value).map(f32::from),
                "{hue} {saturation} {value}"
            );
        }
    }

    #[test]
    fn the_shift_is_truncated_towards_zero() {
        assert_eq!(
            [0.1, -0.1, 0.0039, -0.5, 0.5].map(shift_from_factor),
            [25.0, 231.0, 0.0, 129.0, 127.0]
        );
    }
}
