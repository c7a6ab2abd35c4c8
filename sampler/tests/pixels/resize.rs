//! The resize against Pillow's loops, for sizes and crops of every kind.

use proptest::prelude::*;
use sampler::Interpolation::{self, Bicubic, Bilinear};
use sampler::pixels::augment::{Out, Planes};
use sampler::pixels::resize::Resizer;
use sampler::pixels::simd::Simd;
use schemas::geom::Size;

use crate::Random;
use crate::oracle::{self, Image};

/// What `resizer` makes of a crop of `image`.
pub(crate) fn resized(
    image: &Image,
    filter: Interpolation,
    crop: [f64; 4],
    side: usize,
    resizer: &mut Resizer,
) -> Image {
    let mut planes = Planes::new(side);
    let size = Size::new(image.width as u32, image.height as u32);
    resizer.resize(&image.rgb, size, 3 * image.width, crop, filter, &mut planes);
    let mut out = Image {
        width: side,
        height: side,
        rgb: vec![0; 3 * side * side],
    };
    planes.store(Simd::SCALAR, false, Out::Bytes(&mut out.rgb));
    out
}

fn check(image: &Image, crop: [f64; 4], side: usize) {
    for filter in [Bicubic, Bilinear] {
        let expected = oracle::resized(image, filter, crop, side);
        for simd in Simd::available() {
            let found = resized(image, filter, crop, side, &mut Resizer::with_simd(simd));
            let (name, width, height) = (simd.name(), image.width, image.height);
            assert!(
                found == expected,
                "{name}, {filter:?}: {crop:?} of {width}x{height} to {side}"
            );
        }
    }
}

/// A stretch of `available` pixels whose ends are multiples of `step`.
fn stretch(random: &mut Random, available: usize, step: f64) -> [f64; 2] {
    let steps = (available as f64 / step) as usize;
    let length = 1 + random.below(steps);
    let start = random.below(steps - length + 1);
    [start as f64 * step, length as f64 * step]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_crop_of_any_image_is_pillows(
        width in 1usize..160, height in 1usize..160, side in 1usize..80, step in 0usize..3, seed: u64,
    ) {
        let mut random = Random(seed);
        let image = random.image(width, height);
        let step = [1.0, 0.5, 0.25][step];
        let ([x, width], [y, height]) = (stretch(&mut random, width, step), stretch(&mut random, height, step));
        check(&image, [x, y, width, height], side);
    }
}

#[test]
fn downscaling_by_any_factor_is_pillows() {
    let mut random = Random(20);
    for side in [5, 16, 31, 64] {
        for factor in [1.0, 1.3, 2.0, 2.37, 2.7, 3.2, 4.0, 5.2, 5.4, 6.0, 8.6, 15.0] {
            let length = (f64::from(side) * factor).ceil() as usize;
            let image = random.image(length + 3, length + 2);
            check(
                &image,
                [0.0, 0.0, length as f64, length as f64],
                side as usize,
            );
            check(
                &image,
                [3.0, 2.0, length as f64, length as f64],
                side as usize,
            );
        }
    }
}

#[test]
fn the_sizes_of_training_are_pillows() {
    let mut random = Random(21);
    for (width, height) in [(480, 320), (500, 400), (224, 224), (300, 260), (200, 150)] {
        let image = random.image(width, height);
        let crop = [0.25, 0.5, width as f64 - 1.0, height as f64 - 0.75];
        check(&image, crop, 224);
        check(&image, [0.0, 0.0, width as f64, height as f64], 224);
    }
}

#[test]
fn nothing_outside_the_crop_has_influence() {
    let mut random = Random(22);
    let image = random.image(90, 70);
    let crop = [10.25, 20.5, 50.5, 33.25];
    let inside = |x: usize, y: usize| (10..61).contains(&x) && (20..54).contains(&y);
    let other = Image::from_fn(90, 70, |x, y| {
        if inside(x, y) {
            image.at(x, y)
        } else {
            [255; 3]
        }
    });
    for simd in Simd::available() {
        let mut resizer = Resizer::with_simd(simd);
        let made = [&image, &other].map(|image| resized(image, Bicubic, crop, 40, &mut resizer));
        assert_eq!(made[0], made[1]);
    }
}

#[test]
fn rows_may_lie_further_apart() {
    let mut random = Random(23);
    let image = random.image(50, 40);
    let apart: Vec<u8> = image
        .rgb
        .chunks(150)
        .flat_map(|row| row.iter().copied().chain([7; 13]))
        .collect();
    for simd in Simd::available() {
        let mut planes = Planes::new(24);
        let mut resizer = Resizer::with_simd(simd);
        resizer.resize(
            &apart,
            Size::new(50, 40),
            163,
            [1.5, 2.0, 44.0, 37.5],
            Bicubic,
            &mut planes,
        );
        let mut rgb = vec![0; 3 * 24 * 24];
        planes.store(simd, false, Out::Bytes(&mut rgb));
        assert_eq!(
            rgb,
            oracle::resized(&image, Bicubic, [1.5, 2.0, 44.0, 37.5], 24).rgb
        );
    }
}

#[test]
fn a_resizer_keeps_nothing_of_the_crop_before() {
    let mut random = Random(24);
    let image = random.image(140, 120);
    for simd in Simd::available() {
        let mut resizer = Resizer::with_simd(simd);
        for round in 0..60 {
            let side = 1 + random.below(50);
            let ([x, width], [y, height]) = (
                stretch(&mut random, 140, 0.5),
                stretch(&mut random, 120, 0.5),
            );
            let crop = [x, y, width, height];
            let filter = if round % 3 == 0 { Bilinear } else { Bicubic };
            let found = resized(&image, filter, crop, side, &mut resizer);
            assert_eq!(
                found,
                oracle::resized(&image, filter, crop, side),
                "{crop:?}"
            );
        }
    }
}

#[test]
#[should_panic(expected = "lies in 50 pixels")]
fn a_crop_outside_the_image_is_our_bug() {
    let image = Random(25).image(50, 40);
    resized(
        &image,
        Bicubic,
        [10.0, 0.0, 40.5, 10.0],
        8,
        &mut Resizer::new(),
    );
}
