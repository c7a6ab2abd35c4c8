//! Pedestrians and cyclists: flat figures that face the camera, built of bars and discs.

use super::actor::Actor;
use super::illumination::Illumination;
use crate::camera::Vec3;
use crate::canvas::{Canvas, Fill, bar, disc, ellipse};
use crate::class::Class;
use crate::light::Rgb;
use crate::noise::Rng;
use tiny_skia::FillRule;

const SKIN: [u32; 5] = [0xe8bf9f, 0xd2a17c, 0xb07b55, 0x8a5a3c, 0x5e3c28];
const HAIR: [u32; 5] = [0x1c1612, 0x3a2a1e, 0x6b4a2d, 0xa8875a, 0x8c8c8c];
const TOPS: [u32; 9] = [
    0x2b3a55, 0xa33b36, 0xe0ddd2, 0x3f6b4a, 0x222326, 0xd0963a, 0x6d7f93, 0x8b4a6b, 0x4a90b8,
];
const LEGS: [u32; 5] = [0x26303f, 0x1d1d20, 0x5b5348, 0x3f4f6b, 0x8d8370];

/// Clothes and build of somebody.
struct Look {
    scale: f32,
    skin: Rgb,
    hair: Rgb,
    top: Rgb,
    legs: Rgb,
    coat: bool,
    bag: bool,
}

impl Look {
    fn new(actor: &Actor, lit: &Illumination) -> Self {
        let mut rng = Rng::new(actor.seed);
        let mut color = |palette: &[u32]| lit.around(Rgb::hex(rng.pick(palette)));
        let (skin, hair, top, legs) = (color(&SKIN), color(&HAIR), color(&TOPS), color(&LEGS));
        let child = rng.chance(0.12);
        let scale = if child {
            rng.range(0.62, 0.8)
        } else {
            rng.range(0.93, 1.08)
        };
        Self {
            scale,
            skin,
            hair,
            top,
            legs,
            coat: rng.chance(0.3),
            bag: rng.chance(0.3),
        }
    }
}

/// Somebody on foot.
pub(crate) fn pedestrian(actor: &Actor, walks: bool, canvas: &mut Canvas, lit: &Illumination) {
    let look = Look::new(actor, lit);
    actor.box_shadow(canvas, lit, [0.2, 0.14, 1.6 * look.scale]);
    actor.contact_shadow(canvas, 0.16, 0.12);
    let foot = canvas.camera.view_from_world([actor.x, 0.0, actor.z]);
    // Seen from the side one steps across the picture; seen along the walk the legs stay together.
    let right = canvas.camera.right();
    let sideways = actor.heading[0] * right[0] + actor.heading[1] * right[1];
    let pace = actor.x + actor.z;
    let stride = if walks {
        0.26 * libm::sinf(pace * 4.1)
    } else {
        0.05
    };
    let step = stride * sideways;
    let width = 0.62 + 0.38 * (1.0 - sideways.abs());
    let s = look.scale;
    let at = |x: f32, y: f32| [foot[0] + x * s, foot[1] + y * s, foot[2]];
    let mut fill = |polygon: &[Vec3], color: Rgb| {
        canvas.polygon_in_view(polygon, Fill::solid(color, Class::Person))
    };

    let hip = 0.09 * width;
    let lift = 0.10 * stride.abs();
    for (side, swing, dark) in [(-1.0, -step, 0.85), (1.0, step, 1.0)] {
        let knee = at(side * hip + 0.55 * swing, 0.47 + lift);
        let [x, y, z] = at(side * hip + swing, 0.07);
        fill(&bar(at(side * hip, 0.88), knee, 0.17 * s), look.legs * dark);
        fill(&bar(knee, [x, y, z], 0.13 * s), look.legs * dark);
        let foot = [x + 0.05 * sideways * s, y - 0.03 * s, z];
        fill(&ellipse(foot, [0.12 * s, 0.05 * s], 10), look.hair * 0.7);
    }
    let swing = -1.2 * step;
    let (shoulder, hand) = (at(-0.22 * width, 1.36), at(-0.27 * width - swing, 0.92));
    fill(&bar(shoulder, hand, 0.10 * s), look.top * 0.82);
    let hem = if look.coat { 0.55 } else { 0.84 };
    let torso = [
        at(-0.20 * width, 1.42),
        at(-0.09, 1.49),
        at(0.09, 1.49),
        at(0.20 * width, 1.42),
        at(0.19 * width, hem),
        at(-0.19 * width, hem),
    ];
    fill(&torso, look.top);
    if look.bag {
        let (inner, outer) = (-0.2 * width, -0.42 * width);
        let bag = [
            at(inner, 1.2),
            at(inner, 0.85),
            at(outer, 0.85),
            at(-0.4 * width, 1.2),
        ];
        fill(&bag, look.legs * 0.8);
    }
    let (shoulder, wrist) = (at(0.22 * width, 1.36), at(0.27 * width + swing, 0.92));
    fill(&bar(shoulder, wrist, 0.10 * s), look.top * 0.92);
    let hand = at(0.27 * width + swing, 0.90);
    fill(&disc(hand, 0.05 * s, 8), look.skin);
    head(&look, at(0.03 * sideways, 1.63), s, &mut fill);
}

fn head(look: &Look, middle: Vec3, scale: f32, fill: &mut impl FnMut(&[Vec3], Rgb)) {
    let [x, y, depth] = middle;
    fill(
        &bar([x, y, depth], [x, y - 0.18 * scale, depth], 0.09 * scale),
        look.skin * 0.9,
    );
    fill(
        &ellipse(
            [x, y + 0.03 * scale, depth],
            [0.115 * scale, 0.13 * scale],
            14,
        ),
        look.hair,
    );
    fill(
        &ellipse(
            [x, y - 0.015 * scale, depth],
            [0.095 * scale, 0.115 * scale],
            14,
        ),
        look.skin,
    );
}

/// Somebody riding a bicycle.
pub(crate) fn cyclist(actor: &Actor, canvas: &mut Canvas, lit: &Illumination) {
    let look = Look::new(actor, lit);
    bicycle(actor, canvas, lit);
    let at = |ahead: f32, up: f32, right: f32| actor.point(right, up, ahead);
    let mut limb = |a: Vec3, b: Vec3, width: f32, color: Rgb| {
        let (a, b) = (
            canvas.camera.view_from_world(a),
            canvas.camera.view_from_world(b),
        );
        canvas.polygon_in_view(&bar(a, b, width), Fill::solid(color, Class::Rider));
    };
    let turn = libm::sinf(actor.z * 1.7) * 0.14;
    for (right, lift) in [(-0.1, turn), (0.1, -turn)] {
        let knee = at(0.22, 0.72 + lift, right);
        limb(at(-0.14, 0.98, right), knee, 0.16, look.legs);
        limb(knee, at(0.05 + lift, 0.32 + lift, right), 0.12, look.legs);
    }
    limb(at(-0.16, 0.92, 0.0), at(0.2, 1.46, 0.0), 0.36, look.top);
    for right in [-0.22, 0.22] {
        limb(
            at(0.18, 1.40, right),
            at(0.46, 1.04, right),
            0.10,
            look.top * 0.88,
        );
    }
    let middle = canvas.camera.view_from_world(at(0.28, 1.66, 0.0));
    head(&look, middle, 1.0, &mut |polygon, color| {
        canvas.polygon_in_view(polygon, Fill::solid(color, Class::Rider))
    });
    let helmet = ellipse([middle[0], middle[1] + 0.07, middle[2]], [0.14, 0.10], 14);
    canvas.polygon_in_view(
        &helmet,
        Fill::solid(look.top.mix(Rgb(0.9, 0.9, 0.9), 0.5), Class::Rider),
    );
}

/// A bicycle that stands or rides along its heading.
pub(crate) fn bicycle(actor: &Actor, canvas: &mut Canvas, lit: &Illumination) {
    actor.box_shadow(canvas, lit, [0.05, 0.8, 0.7]);
    actor.contact_shadow(canvas, 0.02, 0.7);
    let mut rng = Rng::new(actor.seed).fork(1);
    let frame = lit.around(Rgb::hex(rng.pick(&TOPS)));
    let tyre = lit.around(Rgb::hex(0x202022));
    for wheel in [-0.53, 0.53] {
        let ring = |radius: f32| -> Vec<Vec3> {
            (0..20)
                .map(|i| {
                    let (sin, cos) = libm::sincosf(std::f32::consts::TAU * i as f32 / 20.0);
                    canvas.camera.view_from_world(actor.point(
                        0.0,
                        0.34 + radius * sin,
                        wheel + radius * cos,
                    ))
                })
                .collect()
        };
        let (outer, inner) = (ring(0.34), ring(0.29));
        canvas.polygons_in_view(
            [outer.as_slice(), inner.as_slice()].into_iter(),
            FillRule::EvenOdd,
            Fill::solid(tyre, Class::Bicycle),
        );
        // Seen along the road a wheel is its tyre.
        let tread = [actor.point(0.0, 0.0, wheel), actor.point(0.0, 0.68, wheel)]
            .map(|p| canvas.camera.view_from_world(p));
        canvas.polygon_in_view(
            &bar(tread[0], tread[1], 0.05),
            Fill::solid(tyre, Class::Bicycle),
        );
    }
    let rear = actor.point(0.0, 0.34, -0.53);
    let crank = actor.point(0.0, 0.32, 0.02);
    let saddle = actor.point(0.0, 0.92, -0.18);
    let neck = actor.point(0.0, 0.86, 0.40);
    let front = actor.point(0.0, 0.34, 0.53);
    let bar_ends = [
        actor.point(-0.26, 1.02, 0.44),
        actor.point(0.26, 1.02, 0.44),
    ];
    let tubes = [
        (rear, crank),
        (crank, saddle),
        (crank, neck),
        (saddle, neck),
        (rear, saddle),
        (neck, front),
        (bar_ends[0], bar_ends[1]),
    ];
    for (a, b) in tubes {
        let (a, b) = (
            canvas.camera.view_from_world(a),
            canvas.camera.view_from_world(b),
        );
        canvas.polygon_in_view(&bar(a, b, 0.05), Fill::solid(frame, Class::Bicycle));
    }
}
