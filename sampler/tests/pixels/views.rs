//! The augmentation of a view: each operation alone, and chains as the sampler draws them.

use sampler::pixels::augment::{Jitter, JitterOp, Out, ViewOps, Workspace, apply};
use sampler::pixels::simd::Simd;
use sampler::stages::StageTimes;

use crate::Random;
use crate::oracle::{self, Image};

/// What `apply` makes of `image`.
pub(crate) fn augmented(
    image: &Image,
    ops: &ViewOps,
    workspace: &mut Workspace,
    simd: Simd,
) -> Image {
    let mut out = Image {
        rgb: vec![0; image.rgb.len()],
        ..*image
    };
    workspace.planes.load(simd, &image.rgb);
    apply(
        ops,
        workspace,
        Out::Bytes(&mut out.rgb),
        &mut StageTimes::default(),
    );
    out
}

/// Draws `num_inputs` images and operations; all instruction sets must make what the oracle makes.
fn check(seed: u64, num_inputs: usize, mut draw: impl FnMut(&mut Random) -> ViewOps) {
    let mut random = Random(seed);
    for input in 0..num_inputs {
        // Mostly small views: what is special happens at edges, in rests of vectors, and in values.
        let side = if input % 250 == 0 {
            224
        } else {
            1 + random.below(70)
        };
        let image = random.image(side, side);
        let ops = draw(&mut random);
        let expected = oracle::augment(&image, &ops);
        for simd in Simd::available() {
            let mut workspace = Workspace::with_simd(side, simd);
            let found = augmented(&image, &ops, &mut workspace, simd);
            assert!(
                found == expected,
                "input {input}, side {side}, {}: {ops:?}",
                simd.name()
            );
        }
    }
}

/// The same operation four times would be no permutation; leaving the other factors at 1 makes them
/// the identity, all but the hue, which therefore is tested together with the others only, and
/// alone in the library.
fn jitter(random: &mut Random, strength: f64) -> Jitter {
    let mut order = [
        JitterOp::Brightness,
        JitterOp::Contrast,
        JitterOp::Saturation,
        JitterOp::Hue,
    ];
    for last in (1..4).rev() {
        order.swap(last, random.below(last + 1));
    }
    let mut factor = || random.between(1.0 - strength, 1.0 + strength) as f32;
    let (brightness, contrast, saturation) = (factor(), factor(), factor());
    Jitter {
        brightness,
        contrast,
        saturation,
        hue: random.between(-0.5, 0.5) as f32,
        order,
    }
}

#[test]
fn an_unaugmented_view_is_stored_as_it_is() {
    check(1, 300, |_| ViewOps::default());
}

#[test]
fn flip_mirrors() {
    check(2, 300, |_| ViewOps {
        flip: true,
        ..ViewOps::default()
    });
}

#[test]
fn one_jitter_operation_repeated_is_pillows() {
    for (seed, op) in [
        JitterOp::Brightness,
        JitterOp::Contrast,
        JitterOp::Saturation,
        JitterOp::Hue,
    ]
    .iter()
    .enumerate()
    {
        check(3 + seed as u64, 500, |random| {
            let jitter = Jitter {
                order: [*op; 4],
                ..jitter(random, 1.0)
            };
            ViewOps {
                jitter: Some(jitter),
                ..ViewOps::default()
            }
        });
    }
}

#[test]
fn jitter_in_any_order_is_pillows() {
    check(8, 2000, |random| {
        let strength = if random.chance(0.5) { 0.4 } else { 1.0 };
        ViewOps {
            jitter: Some(jitter(random, strength)),
            ..ViewOps::default()
        }
    });
}

#[test]
fn factors_at_their_limits_are_pillows() {
    let limits = [0.0, 0.6, 1.0, 1.4, 2.0, 25.0];
    check(9, 500, |random| {
        let mut limit = || limits[random.below(limits.len())];
        let (brightness, contrast, saturation) = (limit(), limit(), limit());
        let drawn = jitter(random, 0.4);
        ViewOps {
            jitter: Some(Jitter {
                brightness,
                contrast,
                saturation,
                ..drawn
            }),
            ..ViewOps::default()
        }
    });
}

#[test]
fn grayscale_is_pillows() {
    check(10, 300, |_| ViewOps {
        grayscale: true,
        ..ViewOps::default()
    });
}

#[test]
fn grayscale_before_the_jitter_is_pillows() {
    check(16, 500, |random| ViewOps {
        jitter: Some(jitter(random, 0.4)),
        grayscale: true,
        grayscale_first: true,
        ..ViewOps::default()
    });
}

#[test]
fn solarize_is_pillows() {
    check(11, 300, |_| ViewOps {
        solarize: true,
        ..ViewOps::default()
    });
}

#[test]
fn blur_is_pillows() {
    check(12, 2000, |random| ViewOps {
        blur_sigma: Some(random.between(0.0, 2.2) as f32),
        ..ViewOps::default()
    });
}

#[test]
fn blur_with_more_than_five_taps_is_pillows() {
    check(13, 300, |random| ViewOps {
        blur_sigma: Some(random.between(2.0, 30.0) as f32),
        ..ViewOps::default()
    });
}

#[test]
fn whole_chains_are_pillows() {
    check(14, 3000, |random| ViewOps {
        flip: random.chance(0.5),
        jitter: random.chance(0.8).then(|| jitter(random, 0.4)),
        grayscale: random.chance(0.2),
        grayscale_first: random.chance(0.5),
        blur_sigma: random.chance(0.6).then(|| random.between(0.1, 2.0) as f32),
        solarize: random.chance(0.2),
    });
}

#[test]
fn a_workspace_keeps_nothing_of_the_view_before() {
    let mut random = Random(15);
    let images = [random.image(65, 65), random.image(65, 65)];
    for simd in Simd::available() {
        let mut workspace = Workspace::with_simd(65, simd);
        for round in 0..20 {
            let ops = ViewOps {
                grayscale: round % 3 == 0,
                jitter: Some(jitter(&mut random, 0.4)),
                blur_sigma: Some(0.3 + 0.2 * round as f32),
                ..ViewOps::default()
            };
            let image = &images[round % 2];
            assert_eq!(
                augmented(image, &ops, &mut workspace, simd),
                oracle::augment(image, &ops),
                "round {round}"
            );
        }
    }
}
