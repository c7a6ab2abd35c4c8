//! Pillow's arithmetic in plain loops: one pixel at a time, with the types of its C code. Slow and
//! obvious.

use sampler::Interpolation;
use sampler::pixels::augment::{Jitter, JitterOp, ViewOps};

/// Row-major RGB triples.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Image {
    pub width: usize,
    pub height: usize,
    pub rgb: Vec<u8>,
}

impl Image {
    pub(crate) fn at(&self, x: usize, y: usize) -> [u8; 3] {
        let at = 3 * (y * self.width + x);
        [self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]]
    }

    pub(crate) fn from_fn(
        width: usize,
        height: usize,
        mut pixel: impl FnMut(usize, usize) -> [u8; 3],
    ) -> Self {
        let mut rgb = Vec::with_capacity(3 * width * height);
        for y in 0..height {
            for x in 0..width {
                rgb.extend(pixel(x, y));
            }
        }
        Self { width, height, rgb }
    }

    pub(crate) fn map(&self, mut change: impl FnMut([u8; 3]) -> [u8; 3]) -> Self {
        Self::from_fn(self.width, self.height, |x, y| change(self.at(x, y)))
    }

    fn transposed(&self) -> Self {
        Self::from_fn(self.height, self.width, |x, y| self.at(y, x))
    }
}

/// Everything that torchvision's pipeline does to a view, in its order: the flip comes first.
pub(crate) fn augment(image: &Image, ops: &ViewOps) -> Image {
    let mut image = image.clone();
    if ops.flip {
        image = flip(&image);
    }
    let grayscale = |image: &Image| image.map(|pixel| [luma(pixel); 3]);
    if ops.grayscale && ops.grayscale_first {
        image = grayscale(&image);
    }
    if let Some(jitter) = &ops.jitter {
        for op in jitter.order {
            image = adjust(&image, op, jitter);
        }
    }
    if ops.grayscale && !ops.grayscale_first {
        image = grayscale(&image);
    }
    if let Some(sigma) = ops.blur_sigma {
        image = gaussian_blur(&image, sigma);
    }
    if ops.solarize {
        image = image.map(|pixel| pixel.map(|value| if value < 128 { value } else { 255 - value }));
    }
    image
}

pub(crate) fn flip(image: &Image) -> Image {
    Image::from_fn(image.width, image.height, |x, y| {
        image.at(image.width - 1 - x, y)
    })
}

fn adjust(image: &Image, op: JitterOp, jitter: &Jitter) -> Image {
    match op {
        JitterOp::Brightness => {
            image.map(|pixel| pixel.map(|value| blend(0, value, jitter.brightness)))
        }
        JitterOp::Contrast => {
            let mean = mean_luma(image);
            image.map(|pixel| pixel.map(|value| blend(mean, value, jitter.contrast)))
        }
        JitterOp::Saturation => {
            image.map(|pixel| pixel.map(|value| blend(luma(pixel), value, jitter.saturation)))
        }
        JitterOp::Hue => {
            let shift = (f64::from(jitter.hue) * 255.0) as i32;
            image.map(|pixel| {
                let [hue, saturation, value] = hsv_from_rgb(pixel);
                rgb_from_hsv([
                    (i32::from(hue) + shift).rem_euclid(256) as u8,
                    saturation,
                    value,
                ])
            })
        }
    }
}

fn luma([red, green, blue]: [u8; 3]) -> u8 {
    ((19595 * u32::from(red) + 38470 * u32::from(green) + 7471 * u32::from(blue) + 0x8000) >> 16)
        as u8
}

fn mean_luma(image: &Image) -> u8 {
    let pixels = image.rgb.as_chunks::<3>().0;
    let sum: u64 = pixels.iter().map(|&pixel| u64::from(luma(pixel))).sum();
    (sum as f64 / pixels.len() as f64 + 0.5) as u8
}

/// Pillow's Blend.c.
fn blend(degenerate: u8, value: u8, factor: f32) -> u8 {
    let difference = (i32::from(value) - i32::from(degenerate)) as f32;
    let blended = f32::from(degenerate) + factor * difference;
    if blended <= 0.0 {
        0
    } else if blended >= 255.0 {
        255
    } else {
        blended as u8
    }
}

/// Pillow's `rgb2hsv_row`.
fn hsv_from_rgb([red, green, blue]: [u8; 3]) -> [u8; 3] {
    let (max, min) = (red.max(green).max(blue), red.min(green).min(blue));
    if max == min {
        return [0, 0, max];
    }
    let chroma = f32::from(max - min);
    let [rc, gc, bc] = [red, green, blue].map(|channel| f32::from(max - channel) / chroma);
    let hue = if red == max {
        bc - gc
    } else if green == max {
        (2.0 + f64::from(rc) - f64::from(bc)) as f32
    } else {
        (4.0 + f64::from(gc) - f64::from(rc)) as f32
    };
    let hue = ((f64::from(hue) / 6.0 + 1.0) % 1.0) as f32;
    let saturation = chroma / f32::from(max);
    [
        (f64::from(hue) * 255.0) as u8,
        (f64::from(saturation) * 255.0) as u8,
        max,
    ]
}

/// Pillow's `hsv2rgb`.
fn rgb_from_hsv([hue, saturation, value]: [u8; 3]) -> [u8; 3] {
    if saturation == 0 {
        return [value; 3];
    }
    let sixths = f64::from(hue) * 6.0 / 255.0;
    let part = f64::from((sixths - sixths.floor()) as f32);
    let saturation = f64::from((f64::from(saturation) / 255.0) as f32);
    let scaled = |weight: f64| (f64::from(value) * weight).round() as u8;
    let (p, q, t) = (
        scaled(1.0 - saturation),
        scaled(1.0 - saturation * part),
        scaled(1.0 - saturation * (1.0 - part)),
    );
    match sixths.floor() as u8 % 6 {
        0 => [value, t, p],
        1 => [q, value, p],
        2 => [p, value, t],
        3 => [p, q, value],
        4 => [t, p, value],
        _ => [value, p, q],
    }
}

/// Pillow's BoxBlur.c, every window summed anew.
fn gaussian_blur(image: &Image, sigma: f32) -> Image {
    let variance = sigma * sigma / 3.0;
    let length = (12.0 * f64::from(variance) + 1.0).sqrt() as f32;
    let whole = ((f64::from(length) - 1.0) / 2.0).floor() as f32;
    let part = (2.0 * whole + 1.0) * (whole * (whole + 1.0) - 3.0 * variance);
    let radius = whole + part / (6.0 * (variance - (whole + 1.0) * (whole + 1.0)));
    if radius == 0.0 {
        return image.clone();
    }
    let rows = (0..3).fold(image.clone(), |image, _| box_blur_rows(&image, radius));
    (0..3)
        .fold(rows.transposed(), |image, _| box_blur_rows(&image, radius))
        .transposed()
}

fn box_blur_rows(image: &Image, radius: f32) -> Image {
    let whole = radius as i64;
    let inner = (16_777_216.0 / (radius * 2.0 + 1.0)) as i64;
    let outer = ((1 << 24) - (2 * whole + 1) * inner) / 2;
    Image::from_fn(image.width, image.height, |x, y| {
        let tap = |offset: i64| {
            image.at(
                (x as i64 + offset).clamp(0, image.width as i64 - 1) as usize,
                y,
            )
        };
        std::array::from_fn(|channel| {
            let near: i64 = (-whole..=whole)
                .map(|offset| i64::from(tap(offset)[channel]))
                .sum();
            let far = i64::from(tap(-whole - 1)[channel]) + i64::from(tap(whole + 1)[channel]);
            ((near * inner + far * outer + (1 << 23)) >> 24) as u8
        })
    })
}

/// Pillow's Resample.c: `image.crop(hull).resize((side, side), filter, box)` for a crop
/// `[x, y, width, height]`.
pub(crate) fn resized(
    image: &Image,
    filter: Interpolation,
    [x, y, width, height]: [f64; 4],
    side: usize,
) -> Image {
    let (left, top) = (x.floor() as usize, y.floor() as usize);
    let (right, bottom) = ((x + width).ceil() as usize, (y + height).ceil() as usize);
    let cut = Image::from_fn(right - left, bottom - top, |x, y| {
        image.at(left + x, top + y)
    });
    let inner = |start: f64, length: f64| {
        (
            (start - start.floor()) as f32,
            (start + length - start.floor()) as f32,
        )
    };
    let narrow = resized_rows(&cut, filter, inner(x, width), side);
    resized_rows(&narrow.transposed(), filter, inner(y, height), side).transposed()
}

fn resized_rows(image: &Image, filter: Interpolation, (from, to): (f32, f32), out: usize) -> Image {
    let scale = f64::from(to - from) / out as f64;
    let filter_scale = scale.max(1.0);
    let (reach, kernel): (f64, fn(f64) -> f64) = match filter {
        Interpolation::Bicubic => (2.0, cubic),
        Interpolation::Bilinear => (1.0, |x| if x.abs() < 1.0 { 1.0 - x.abs() } else { 0.0 }),
    };
    let support = reach * filter_scale;
    let taps = |output: usize| {
        let center = f64::from(from) + (output as f64 + 0.5) * scale;
        let first = ((center - support + 0.5) as i64).max(0);
        let end = ((center + support + 0.5) as i64).min(image.width as i64);
        let weights: Vec<f64> = (first..end)
            .map(|x| kernel((x as f64 - center + 0.5) * (1.0 / filter_scale)))
            .collect();
        let sum = weights.iter().fold(0.0, |sum, weight| sum + weight);
        let fixed = weights.iter().map(move |weight| {
            let scaled = weight / sum * f64::from(1 << 22);
            (if scaled < 0.0 {
                scaled - 0.5
            } else {
                scaled + 0.5
            }) as i64
        });
        (first as usize..)
            .zip(fixed.collect::<Vec<_>>())
            .collect::<Vec<_>>()
    };
    let all_taps: Vec<_> = (0..out).map(taps).collect();
    Image::from_fn(out, image.height, |x, y| {
        std::array::from_fn(|channel| {
            let sum: i64 = all_taps[x]
                .iter()
                .map(|&(at, weight)| weight * i64::from(image.at(at, y)[channel]))
                .sum();
            ((sum + (1 << 21)) >> 22).clamp(0, 255) as u8
        })
    })
}

fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}
