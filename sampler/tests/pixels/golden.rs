//! Against pictures that Pillow 13 made: `scripts/golden/pixels.py` writes them.

use std::path::Path;

use sampler::Interpolation;
use sampler::pixels::augment::{Jitter, JitterOp, ViewOps, Workspace};
use sampler::pixels::resize::Resizer;
use sampler::pixels::simd::Simd;

use crate::oracle::{self, Image};
use crate::{resize, views};

#[derive(serde::Deserialize)]
struct Cases {
    views: Vec<ViewCase>,
    scene: String,
    resizes: Vec<ResizeCase>,
}

#[derive(serde::Deserialize)]
struct ViewCase {
    input: String,
    /// Names as in torchvision, with the factor or sigma.
    steps: Vec<(String, f32)>,
    output: String,
}

#[derive(serde::Deserialize)]
struct ResizeCase {
    filter: Interpolation,
    crop: [f64; 4],
    side: usize,
    output: String,
}

fn folder() -> &'static Path {
    Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/pixels"
    ))
}

fn cases() -> Cases {
    serde_json::from_slice(&std::fs::read(folder().join("cases.json")).unwrap()).unwrap()
}

fn picture(name: &str) -> Image {
    let rgb = image::open(folder().join(name)).unwrap().into_rgb8();
    Image {
        width: rgb.width() as usize,
        height: rgb.height() as usize,
        rgb: rgb.into_raw(),
    }
}

/// The operations of a case. Jitter operations that it lacks get none of the four places, so a case
/// has four or one.
fn ops_from_steps(steps: &[(String, f32)]) -> ViewOps {
    let mut ops = ViewOps::default();
    let mut order = Vec::new();
    let mut jitter = Jitter {
        brightness: 1.0,
        contrast: 1.0,
        saturation: 1.0,
        hue: 0.0,
        order: [JitterOp::Brightness; 4],
    };
    for (name, value) in steps {
        match name.as_str() {
            "flip" => ops.flip = true,
            "grayscale" => (ops.grayscale, ops.grayscale_first) = (true, order.is_empty()),
            "blur" => ops.blur_sigma = Some(*value),
            "solarize" => ops.solarize = true,
            "brightness" => (jitter.brightness, _) = (*value, order.push(JitterOp::Brightness)),
            "contrast" => (jitter.contrast, _) = (*value, order.push(JitterOp::Contrast)),
            "saturation" => (jitter.saturation, _) = (*value, order.push(JitterOp::Saturation)),
            "hue" => (jitter.hue, _) = (*value, order.push(JitterOp::Hue)),
            other => panic!("{other} is no step"),
        }
    }
    if !order.is_empty() {
        // A factor of 1 leaves the view as it is, so brightness fills the places of what a case
        // lacks.
        let idle = if order == [JitterOp::Brightness] {
            JitterOp::Saturation
        } else {
            JitterOp::Brightness
        };
        order.resize(4, idle);
        ops.jitter = Some(Jitter {
            order: order.try_into().unwrap(),
            ..jitter
        });
    }
    ops
}

#[test]
fn pillow_made_the_same_views() {
    let cases = cases().views;
    assert!(cases.len() >= 30);
    for case in cases {
        let (input, expected) = (picture(&case.input), picture(&case.output));
        let ops = ops_from_steps(&case.steps);
        assert!(
            oracle::augment(&input, &ops) == expected,
            "the oracle itself: {} {:?}",
            case.output,
            case.steps
        );
        for simd in Simd::available() {
            let mut workspace = Workspace::with_simd(input.width, simd);
            let found = views::augmented(&input, &ops, &mut workspace, simd);
            assert!(
                found == expected,
                "{} {:?} {}",
                case.output,
                case.steps,
                simd.name()
            );
        }
    }
}

#[test]
fn pillow_made_the_same_resizes() {
    let Cases { scene, resizes, .. } = cases();
    assert!(resizes.len() >= 15);
    let scene = picture(&scene);
    for ResizeCase {
        filter,
        crop,
        side,
        output,
    } in resizes
    {
        let expected = picture(&output);
        assert!(
            oracle::resized(&scene, filter, crop, side) == expected,
            "the oracle itself: {output} {crop:?}"
        );
        for simd in Simd::available() {
            let found = resize::resized(&scene, filter, crop, side, &mut Resizer::with_simd(simd));
            assert!(found == expected, "{output} {crop:?} {}", simd.name());
        }
    }
}
