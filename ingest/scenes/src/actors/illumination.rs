//! The light at an actor's place, and the shadows that the actor throws.

use super::actor::Actor;
use crate::camera::Vec3;
use crate::canvas::{Canvas, Fill};
use crate::light::{Light, Rgb};
use crate::street::Street;

/// The light at an actor's place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Illumination<'a> {
    light: &'a Light,
    sun: f32,
    lamps: Rgb,
}

impl<'a> Illumination<'a> {
    /// That of `actor`.
    pub(crate) fn at(actor: &Actor, light: &'a Light, street: &Street) -> Self {
        let lamps = if light.is_night() {
            Rgb(0.30, 0.27, 0.22)
        } else {
            Rgb(0.0, 0.0, 0.0)
        };
        let sun = street.sun_at(light.sun, [actor.x, 0.5, actor.z]);
        Self { light, sun, lamps }
    }

    /// A surface of colour `albedo` with unit normal `normal`.
    pub(crate) fn on(&self, albedo: Rgb, normal: Vec3) -> Rgb {
        albedo.under(self.light.on(normal, self.sun) + self.lamps)
    }

    /// A surface of colour `albedo` that is no plane: cloth, leaves.
    pub(crate) fn around(&self, albedo: Rgb) -> Rgb {
        albedo.under(self.light.ambient + self.light.sunlight * (0.6 * self.sun) + self.lamps)
    }

    /// Where the shadow of a point falls on the ground.
    fn shadow_of(&self, p: Vec3) -> Vec3 {
        let sun = self.light.sun;
        [
            p[0] - sun[0] / sun[1] * p[1],
            0.01,
            p[2] - sun[2] / sun[1] * p[1],
        ]
    }

    /// Darkens a patch of ground from which the sun is kept.
    fn cast(&self, canvas: &mut Canvas, patch: &[Vec3]) {
        let strength = 0.55 * self.sun * (self.light.sunlight.0 * 1.4).min(1.0);
        if strength > 0.03 {
            canvas.polygon(patch, Fill::veil(Rgb(0.02, 0.02, 0.05), strength));
        }
    }
}

impl Actor {
    /// The shadow that the sun throws of a box: half width, half length, height, in metres.
    pub(crate) fn box_shadow(
        &self,
        canvas: &mut Canvas,
        lit: &Illumination,
        [half_width, half_length, height]: [f32; 3],
    ) {
        let foot = CORNERS.map(|[r, a]| self.point(r * half_width, 0.01, a * half_length));
        let top = foot.map(|p| lit.shadow_of([p[0], height, p[2]]));
        lit.cast(
            canvas,
            &hull_over_ground(foot.iter().chain(&top).copied().collect()),
        );
    }

    /// The shadow that the sun throws of a ball: height of its middle and radius, in metres.
    pub(crate) fn ball_shadow(
        &self,
        canvas: &mut Canvas,
        lit: &Illumination,
        height: f32,
        radius: f32,
    ) {
        let rim: Vec<Vec3> = (0..16)
            .map(|i| {
                let (sin, cos) = libm::sincosf(std::f32::consts::TAU * i as f32 / 16.0);
                lit.shadow_of(self.point(radius * cos, height, radius * sin))
            })
            .collect();
        lit.cast(canvas, &rim);
    }

    /// The darkness under a low body, soft at its edge.
    pub(crate) fn contact_shadow(&self, canvas: &mut Canvas, half_width: f32, half_length: f32) {
        for margin in [0.16, 0.09, 0.02, -0.06, -0.14] {
            let edge = CORNERS.map(|[r, a]| {
                self.point(r * (half_width + margin), 0.01, a * (half_length + margin))
            });
            canvas.polygon(&edge, Fill::veil(Rgb(0.0, 0.0, 0.0), 0.2));
        }
    }
}

/// Signs of (right, ahead) of the corners of a box.
const CORNERS: [[f32; 2]; 4] = [[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]];

/// Convex hull over the ground (Andrew's monotone chain).
fn hull_over_ground(mut points: Vec<Vec3>) -> Vec<Vec3> {
    points.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[2].total_cmp(&b[2])));
    let turns_left = |o: Vec3, a: Vec3, b: Vec3| {
        (a[0] - o[0]) * (b[2] - o[2]) - (a[2] - o[2]) * (b[0] - o[0]) > 0.0
    };
    let chain = |points: &mut dyn Iterator<Item = Vec3>| {
        let mut chain: Vec<Vec3> = Vec::new();
        for p in points {
            while chain.len() >= 2 && !turns_left(chain[chain.len() - 2], chain[chain.len() - 1], p)
            {
                chain.pop();
            }
            chain.push(p);
        }
        chain.pop();
        chain
    };
    let mut hull = chain(&mut points.iter().copied());
    hull.extend(chain(&mut points.iter().rev().copied()));
    hull
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hull_drops_inner_points() {
        let square = [
            [0.0, 0.0, 0.0],
            [2.0, 0.0, 0.0],
            [2.0, 0.0, 2.0],
            [0.0, 0.0, 2.0],
            [1.0, 0.0, 1.0],
        ];
        let hull = hull_over_ground(square.to_vec());
        assert_eq!(hull.len(), 4);
        assert!(!hull.contains(&square[4]));
    }
}
