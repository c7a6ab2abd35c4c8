//! Trees and bushes: a trunk and clouds of leaves in a few shades.

use super::actor::Actor;
use super::illumination::Illumination;
use crate::camera::Vec3;
use crate::canvas::{Canvas, Fill, bar};
use crate::class::Class;
use crate::light::Rgb;
use crate::noise::Rng;
use tiny_skia::FillRule;

const GREENS: [u32; 6] = [0x4f7a33, 0x5f8a3e, 0x44693a, 0x7a8f3c, 0x3d6640, 0x8a8a3a];
const NUM_SHADES: usize = 5;

/// A tree on its place.
pub(crate) fn draw(
    actor: &Actor,
    height: f32,
    conifer: bool,
    canvas: &mut Canvas,
    lit: &Illumination,
) {
    let foot = canvas.camera.view_from_world([actor.x, 0.0, actor.z]);
    actor.ball_shadow(canvas, lit, 0.62 * height, 0.27 * height);
    actor.box_shadow(canvas, lit, [0.12, 0.12, 0.5 * height]);
    let bark = lit.around(Rgb::hex(0x554b43));
    let fork = [foot[0], foot[1] + 0.5 * height, foot[2]];
    let thick = 0.035 * height;
    canvas.polygon_in_view(
        &bar(foot, fork, thick),
        Fill::solid(bark, Class::Vegetation),
    );
    for side in [-1.0, 1.0] {
        let tip = [
            foot[0] + side * 0.16 * height,
            foot[1] + 0.68 * height,
            foot[2],
        ];
        canvas.polygon_in_view(
            &bar(
                [foot[0], foot[1] + 0.36 * height, foot[2]],
                tip,
                0.5 * thick,
            ),
            Fill::solid(bark * 0.9, Class::Vegetation),
        );
    }
    let crown = if conifer {
        Crown {
            base: 0.12 * height,
            top: height,
            radius: 0.2 * height,
            cone: true,
        }
    } else {
        Crown {
            base: 0.34 * height,
            top: height,
            radius: 0.3 * height,
            cone: false,
        }
    };
    let green = if conifer {
        Rgb::hex(0x32513a)
    } else {
        Rgb::hex(Rng::new(actor.seed).pick(&GREENS))
    };
    crown.draw(actor, foot, green, canvas, lit);
}

/// A bush on its place.
pub(crate) fn bush(actor: &Actor, canvas: &mut Canvas, lit: &Illumination) {
    actor.contact_shadow(canvas, 0.6, 0.5);
    actor.ball_shadow(canvas, lit, 0.6, 0.7);
    let mut rng = Rng::new(actor.seed);
    let green = Rgb::hex(rng.pick(&GREENS)) * 0.9;
    let crown = Crown {
        base: 0.05,
        top: rng.range(0.9, 1.5),
        radius: rng.range(0.7, 1.0),
        cone: false,
    };
    let foot = canvas.camera.view_from_world([actor.x, 0.0, actor.z]);
    crown.draw(actor, foot, green, canvas, lit);
}

/// A cloud of leaves between two heights, in metres.
struct Crown {
    base: f32,
    top: f32,
    radius: f32,
    cone: bool,
}

impl Crown {
    fn draw(&self, actor: &Actor, foot: Vec3, green: Rgb, canvas: &mut Canvas, lit: &Illumination) {
        if foot[2] < 1.0 {
            return;
        }
        let height = self.top - self.base;
        let pixels = height * canvas.camera.focal / foot[2];
        // As many leaves as the picture resolves; fewer ones are larger.
        let count = (pixels * 3.2).clamp(24.0, 4_000.0) as usize;
        let leaf = 1.15 * (height * self.radius).sqrt() / (count as f32).sqrt();
        let mut rng = Rng::new(actor.seed).fork(2);
        let sunward = self.sunward(canvas);
        let mut shades: [Vec<Vec3>; NUM_SHADES] = Default::default();
        for _ in 0..count {
            let (u, v, jitter) = (
                rng.range(-1.0, 1.0),
                rng.range(-1.0, 1.0),
                rng.range(-0.35, 0.35),
            );
            let turn = rng.range(0.0, std::f32::consts::TAU);
            let (x, y) = if self.cone {
                (u * (0.5 - 0.5 * v), v)
            } else {
                (u * (1.0 - v * v * 0.8).max(0.0).sqrt(), v)
            };
            let bright = 0.5 + 0.34 * (x * sunward[0] + y * sunward[1]) + jitter;
            let shade = ((bright * NUM_SHADES as f32) as usize).min(NUM_SHADES - 1);
            let middle = [
                foot[0] + x * self.radius,
                foot[1] + self.base + (0.5 + 0.5 * y) * height,
                foot[2],
            ];
            shades[shade].extend(leaf_at(middle, leaf, turn));
        }
        for (ix, leaves) in shades.iter().enumerate() {
            let color = lit.around(green * (0.55 + 0.24 * ix as f32));
            canvas.polygons_in_view(
                leaves.chunks(CORNERS),
                FillRule::Winding,
                Fill::solid(color, Class::Vegetation),
            );
        }
    }

    /// From where the sun shines, in the picture: right, up.
    fn sunward(&self, canvas: &Canvas) -> [f32; 2] {
        let (sun, right) = (canvas.light.sun, canvas.camera.right());
        [sun[0] * right[0] + sun[2] * right[1], sun[1]]
    }
}

const CORNERS: usize = 5;

/// An irregular pentagon.
fn leaf_at(middle: Vec3, radius: f32, turn: f32) -> [Vec3; CORNERS] {
    std::array::from_fn(|i| {
        let (sin, cos) = libm::sincosf(turn + std::f32::consts::TAU * i as f32 / CORNERS as f32);
        let r = radius * if i % 2 == 0 { 1.25 } else { 0.8 };
        [middle[0] + r * cos, middle[1] + r * sin, middle[2]]
    })
}
