//! Hulls: closed outlines in the plane of driving, swept across the width of a vehicle, and what is
//! painted on them.

use super::actor::Actor;
use super::illumination::Illumination;
use super::kind::Lights;
use crate::camera::Vec3;
use crate::canvas::{Canvas, Fill};
use crate::class::Class;
use crate::light::Rgb;

/// Black rubber and plastic.
const TYRE: Rgb = Rgb::hex(0x1b1b1d);
pub(crate) const TRIM: Rgb = Rgb::hex(0x26272a);

/// A closed outline in the plane of driving, as (ahead, up, half width), from the rear bottom over
/// the top to the front bottom.
pub(crate) type Outline = [Vec3];

/// Draws the parts of one vehicle.
pub(crate) struct Painter<'c, 'a> {
    pub(crate) actor: &'c Actor,
    pub(crate) class: Class,
    pub(crate) canvas: &'c mut Canvas<'a>,
    pub(crate) lit: &'c Illumination<'c>,
    pub(crate) lights: Lights,
}

impl Painter<'_, '_> {
    /// Whether a side with outward ground direction `outward` at the local point (ahead, up, right)
    /// faces the camera.
    pub(crate) fn faces(&self, at: Vec3, outward: [f32; 2]) -> bool {
        let p = self.actor.point(at[2], at[1], at[0]);
        let eye = self.canvas.camera.position;
        (eye[0] - p[0]) * outward[0] + (eye[2] - p[2]) * outward[1] > 0.0
    }

    /// Fills a face if the camera sees its outside.
    pub(crate) fn face(&mut self, corners: &[Vec3], inside: Vec3, color: Rgb) {
        let mut normal = normal(corners);
        let eye = self.canvas.camera.position;
        let towards = |p: Vec3| {
            (p[0] - corners[0][0]) * normal[0]
                + (p[1] - corners[0][1]) * normal[1]
                + (p[2] - corners[0][2]) * normal[2]
        };
        let sign = if towards(inside) > 0.0 { -1.0 } else { 1.0 };
        if towards(eye) * sign <= 0.0 {
            return;
        }
        normal = normal.map(|v| v * sign);
        // Paint mirrors a little of the sky.
        let gloss = self.canvas.light.haze * (0.10 * normal[1].max(0.0));
        let color = self.lit.on(color, normal) + gloss;
        self.canvas.polygon(corners, Fill::solid(color, self.class));
    }

    fn strip_corners(
        &self,
        outline: &Outline,
        ix: usize,
        [from, to, left, right]: [f32; 4],
    ) -> [Vec3; 4] {
        let (a, b) = (outline[ix], outline[(ix + 1) % outline.len()]);
        let at = |t: f32, side: f32| {
            let p: Vec3 = std::array::from_fn(|i| a[i] + t * (b[i] - a[i]));
            self.actor.point(side * p[2], p[1], p[0])
        };
        [at(from, left), at(to, left), at(to, right), at(from, right)]
    }

    fn middle(&self, outline: &Outline) -> Vec3 {
        let n = outline.len() as f32;
        let sum = outline
            .iter()
            .fold([0.0, 0.0], |s, p| [s[0] + p[0] / n, s[1] + p[1] / n]);
        self.actor.point(0.0, sum[1], sum[0])
    }

    /// All faces of a swept outline.
    pub(crate) fn hull(&mut self, outline: &Outline, paint: Rgb) {
        let inside = self.middle(outline);
        for ix in 0..outline.len() - 1 {
            let corners = self.strip_corners(outline, ix, [0.0, 1.0, -1.0, 1.0]);
            self.face(&corners, inside, paint);
        }
        for side in [-1.0, 1.0] {
            let corners: Vec<Vec3> = outline
                .iter()
                .map(|p| self.actor.point(side * p[2], p[1], p[0]))
                .collect();
            self.face(&corners, inside, paint);
        }
    }

    /// A patch on strip `ix` of an outline: `area` is from, to along the strip (0 to 1), left and
    /// right (-1 to 1).
    pub(crate) fn strip(&mut self, outline: &Outline, ix: usize, area: [f32; 4], color: Rgb) {
        let inside = self.middle(outline);
        let corners = self.strip_corners(outline, ix, area);
        self.face(&corners, inside, color);
    }

    /// A patch on both sides, given as (ahead, up).
    pub(crate) fn on_sides(&mut self, patch: &[[f32; 2]], half_width: f32, color: Rgb) {
        for side in [-1.0, 1.0] {
            let corners: Vec<Vec3> = patch
                .iter()
                .map(|p| self.actor.point(side * half_width, p[1], p[0]))
                .collect();
            let inside = self.actor.point(0.0, patch[0][1], patch[0][0]);
            self.face(&corners, inside, color);
        }
    }

    pub(crate) fn lamp(
        &mut self,
        outline: &Outline,
        ix: usize,
        area: [f32; 4],
        color: Rgb,
        glow: Option<(f32, Rgb)>,
    ) {
        let corners = self.strip_corners(outline, ix, area);
        let middle: Vec3 = std::array::from_fn(|i| 0.5 * (corners[0][i] + corners[2][i]));
        // Lamps shine by themselves: no light falls on them, but the camera has to be on their
        // side.
        let outward = if ix * 2 < outline.len() {
            [-self.actor.heading[0], -self.actor.heading[1]]
        } else {
            self.actor.heading
        };
        let eye = self.canvas.camera.position;
        if (eye[0] - middle[0]) * outward[0] + (eye[2] - middle[2]) * outward[1] <= 0.0 {
            return;
        }
        let color = if glow.is_some() {
            color
        } else {
            self.lit.on(color, [0.0, 0.5, 0.0])
        };
        self.canvas
            .polygon(&corners, Fill::solid(color, self.class));
        if let Some((radius, color)) = glow {
            let strength = if self.canvas.light.is_night() {
                0.45
            } else {
                0.2
            };
            let view = self.canvas.camera.view_from_world(middle);
            self.canvas.glow_in_view(view, radius, color, strength);
        }
    }

    /// Tyres as seen below the bumpers, drawn before the hull.
    pub(crate) fn tyres(&mut self, axles: &[f32], radius: f32, half_width: f32) {
        for &axle in axles {
            for side in [-1.0, 1.0] {
                for end in [-radius * 0.8, radius * 0.8] {
                    let at = |right: f32, up: f32| self.actor.point(side * right, up, axle + end);
                    let corners = [
                        at(half_width - 0.22, 0.0),
                        at(half_width - 0.22, radius * 1.6),
                        at(half_width, radius * 1.6),
                        at(half_width, 0.0),
                    ];
                    self.canvas
                        .polygon(&corners, Fill::solid(self.lit.around(TYRE), self.class));
                }
            }
        }
    }

    /// Wheels in their arches, on the side that is seen.
    pub(crate) fn wheels(&mut self, axles: &[f32], radius: f32, half_width: f32) {
        for side in [-1.0, 1.0] {
            let outward = [side * self.actor.heading[1], -side * self.actor.heading[0]];
            if !self.faces([0.0, radius, side * half_width], outward) {
                continue;
            }
            for &axle in axles {
                for (size, color) in [
                    (1.18, Rgb::hex(0x151517)),
                    (1.0, TYRE),
                    (0.62, Rgb::hex(0x9b9da0)),
                    (0.2, TRIM),
                ] {
                    let rim: Vec<Vec3> = (0..20)
                        .map(|i| {
                            let (sin, cos) = libm::sincosf(std::f32::consts::TAU * i as f32 / 20.0);
                            let up = (radius + radius * size * sin).max(0.0);
                            self.actor.point(
                                side * (half_width + 0.01),
                                up,
                                axle + radius * size * cos,
                            )
                        })
                        .collect();
                    self.canvas
                        .polygon(&rim, Fill::solid(self.lit.around(color), self.class));
                }
            }
        }
    }
}

/// Unit normal of a polygon that is not quite flat (Newell's method).
fn normal(corners: &[Vec3]) -> Vec3 {
    let mut n = [0.0; 3];
    for (ix, a) in corners.iter().enumerate() {
        let b = corners[(ix + 1) % corners.len()];
        n[0] += (a[1] - b[1]) * (a[2] + b[2]);
        n[1] += (a[2] - b[2]) * (a[0] + b[0]);
        n[2] += (a[0] - b[0]) * (a[1] + b[1]);
    }
    let length = (n[0] * n[0] + n[1] * n[1] + n[2] * n[2]).sqrt().max(1e-6);
    n.map(|v| v / length)
}
