//! Cars, vans, lorries and buses: outlines swept across their width.

use super::actor::Actor;
use super::hull::{Outline, Painter, TRIM};
use super::illumination::Illumination;
use super::kind::{Body, Lights};
use crate::camera::Vec3;
use crate::canvas::Canvas;
use crate::light::Rgb;

const GLASS: Rgb = Rgb::hex(0x28323a);

/// Body and cabin of the cars.
#[rustfmt::skip]
const SEDAN: [&Outline; 2] = [
    &[[-2.2, 0.30, 0.80], [-2.28, 0.60, 0.87], [-2.18, 0.93, 0.85], [1.05, 0.95, 0.87], [2.0, 0.80, 0.84], [2.25, 0.58, 0.81], [2.2, 0.26, 0.78]],
    &[[-1.85, 0.92, 0.82], [-1.2, 1.40, 0.63], [0.1, 1.44, 0.64], [1.1, 0.94, 0.82]],
];
#[rustfmt::skip]
const HATCHBACK: [&Outline; 2] = [
    &[[-1.9, 0.30, 0.78], [-1.98, 0.60, 0.84], [-1.92, 0.95, 0.83], [0.95, 0.97, 0.84], [1.72, 0.84, 0.81], [1.96, 0.60, 0.79], [1.92, 0.28, 0.76]],
    &[[-1.9, 0.94, 0.82], [-1.6, 1.46, 0.64], [0.0, 1.50, 0.65], [1.0, 0.96, 0.80]],
];
#[rustfmt::skip]
const SUV: [&Outline; 2] = [
    &[[-2.25, 0.40, 0.86], [-2.33, 0.72, 0.94], [-2.28, 1.08, 0.92], [1.05, 1.10, 0.94], [2.05, 1.00, 0.90], [2.32, 0.72, 0.88], [2.28, 0.36, 0.84]],
    &[[-2.26, 1.07, 0.90], [-2.02, 1.70, 0.73], [0.1, 1.74, 0.73], [1.05, 1.09, 0.88]],
];
#[rustfmt::skip]
const VAN: [&Outline; 2] = [
    &[[-2.55, 0.36, 0.92], [-2.6, 0.70, 0.99], [-2.58, 1.12, 0.98], [1.75, 1.14, 0.98], [2.3, 1.02, 0.94], [2.56, 0.70, 0.90], [2.5, 0.32, 0.86]],
    &[[-2.57, 1.11, 0.97], [-2.5, 2.06, 0.86], [0.95, 2.08, 0.84], [1.8, 1.13, 0.94]],
];

/// Draws a vehicle: shadow, tyres, then its hulls from far to near, each with its details.
pub(crate) fn draw(
    actor: &Actor,
    body: Body,
    paint: Rgb,
    lights: Lights,
    canvas: &mut Canvas,
    lit: &Illumination,
) {
    let [half_width, half_length, height] = body.extent();
    actor.box_shadow(canvas, lit, [half_width, half_length, height]);
    actor.contact_shadow(canvas, half_width, half_length);
    let mut painter = Painter {
        actor,
        class: body.class(),
        canvas,
        lit,
        lights,
    };
    match body {
        Body::Truck => painter.truck(paint),
        Body::Bus => painter.bus(paint),
        _ => painter.car(body, paint),
    }
}

/// What the kinds of vehicles consist of.
impl Painter<'_, '_> {
    fn car(&mut self, body: Body, paint: Rgb) {
        let [lower, cabin] = match body {
            Body::Sedan => SEDAN,
            Body::Hatchback => HATCHBACK,
            Body::Suv => SUV,
            _ => VAN,
        };
        let axle = lower[5][0] * 0.60;
        self.tyres(&[-axle, axle], 0.34, lower[1][2]);
        self.hull(lower, paint);
        self.wheels(&[-axle, axle], 0.34, lower[1][2]);
        self.car_ends(lower);
        self.hull(cabin, paint);
        self.cabin_glass(cabin, if body == Body::Van { 0.55 } else { 1.0 });
    }

    fn truck(&mut self, paint: Rgb) {
        let cargo: &Outline = &[
            [-3.55, 0.85, 1.2],
            [-3.55, 3.3, 1.2],
            [1.25, 3.3, 1.2],
            [1.25, 0.85, 1.2],
        ];
        let cab: &Outline = &[
            [1.35, 0.5, 1.08],
            [1.35, 2.45, 1.05],
            [2.5, 2.4, 1.0],
            [3.05, 1.45, 1.08],
            [3.15, 0.95, 1.1],
            [3.12, 0.42, 1.06],
        ];
        self.tyres(&[-2.4, 2.3], 0.48, 1.1);
        let front_is_near = self.faces([1.3, 1.0, 0.0], self.actor.heading);
        let parts = if front_is_near {
            [cargo, cab]
        } else {
            [cab, cargo]
        };
        for part in parts {
            if std::ptr::eq(part, cargo) {
                self.hull(cargo, Rgb(0.86, 0.86, 0.84));
                self.strip(cargo, 0, [0.04, 0.96, -0.02, 0.02], TRIM);
                self.on_sides(
                    &[[-3.2, 1.6], [-3.2, 2.7], [0.9, 2.7], [0.9, 1.6]],
                    1.205,
                    paint,
                );
                self.lamps(cargo, 0, [0.0, 0.07], 0.72);
                self.strip(cargo, 0, [0.0, 0.08, -0.2, 0.2], Rgb(0.85, 0.85, 0.8));
            } else {
                self.hull(cab, paint);
                self.strip(cab, 2, [0.1, 0.9, -0.88, 0.88], GLASS);
                self.strip(cab, 3, [0.25, 0.8, -0.6, 0.6], TRIM);
                self.head_lamps(cab, 4, [0.15, 0.6]);
                self.on_sides(
                    &[[1.6, 1.5], [1.6, 2.2], [2.45, 2.15], [2.8, 1.5]],
                    1.085,
                    GLASS,
                );
            }
        }
        self.wheels(&[-2.4, 2.3], 0.48, 1.2);
    }

    fn bus(&mut self, paint: Rgb) {
        let hull: &Outline = &[
            [-5.5, 0.35, 1.25],
            [-5.55, 3.05, 1.22],
            [5.4, 3.1, 1.22],
            [5.55, 1.3, 1.25],
            [5.55, 0.35, 1.25],
        ];
        self.tyres(&[-3.4, 3.3], 0.5, 1.2);
        self.hull(hull, paint);
        for window in 0..7 {
            let from = -5.2 + 1.42 * window as f32;
            self.on_sides(
                &[
                    [from, 1.45],
                    [from, 2.65],
                    [from + 1.3, 2.65],
                    [from + 1.3, 1.45],
                ],
                1.25,
                GLASS,
            );
        }
        self.on_sides(
            &[[-5.5, 0.85], [-5.5, 1.1], [5.5, 1.1], [5.5, 0.85]],
            1.255,
            Rgb(0.93, 0.93, 0.9),
        );
        self.wheels(&[-3.4, 3.3], 0.5, 1.25);
        self.strip(hull, 0, [0.48, 0.85, -0.85, 0.85], GLASS);
        self.lamps(hull, 0, [0.12, 0.24], 0.8);
        self.strip(hull, 2, [0.12, 0.96, -0.92, 0.92], GLASS);
        self.strip(hull, 2, [0.02, 0.1, -0.6, 0.6], Rgb::hex(0x141414));
        self.head_lamps(hull, 3, [0.3, 0.6]);
    }

    fn car_ends(&mut self, lower: &Outline) {
        let dark = Rgb::hex(0x2d2e31);
        // Rear: bumper, number plate, lamps.
        self.strip(lower, 0, [0.0, 0.45, -0.97, 0.97], dark);
        self.strip(lower, 0, [0.5, 0.95, -0.28, 0.28], Rgb(0.85, 0.85, 0.8));
        self.lamps(lower, 1, [0.25, 0.85], 0.62);
        // Front: grille, plate, lamps.
        self.strip(lower, 5, [0.1, 0.75, -0.62, 0.62], dark);
        self.strip(lower, 5, [0.55, 0.85, -0.26, 0.26], Rgb(0.85, 0.85, 0.8));
        self.head_lamps(lower, 4, [0.25, 0.95]);
        // Door gaps and sill.
        for ahead in [-0.55, 0.45] {
            self.on_sides(
                &[
                    [ahead, 0.42],
                    [ahead, 0.92],
                    [ahead + 0.025, 0.92],
                    [ahead + 0.025, 0.42],
                ],
                lower[1][2] + 0.003,
                dark,
            );
        }
        let sill = lower[0][0].abs() * 0.55;
        self.on_sides(
            &[[-sill, 0.3], [-sill, 0.38], [sill, 0.38], [sill, 0.3]],
            lower[0][2] + 0.02,
            dark,
        );
    }

    fn has_lamps_on(&self) -> bool {
        let light = self.canvas.light;
        self.lights != Lights::Off && (light.is_night() || light.is_wet())
    }

    /// Rear lamps at both ends of a strip, from `inner` outwards.
    fn lamps(&mut self, outline: &Outline, ix: usize, [from, to]: [f32; 2], inner: f32) {
        let shining = self.lights == Lights::Braking || self.has_lamps_on();
        let color = if shining {
            Rgb(0.95, 0.12, 0.08)
        } else {
            Rgb(0.62, 0.05, 0.05)
        };
        for [left, right] in [[-0.98, -inner], [inner, 0.98]] {
            self.lamp(
                outline,
                ix,
                [from, to, left, right],
                color,
                shining.then_some((0.55, Rgb(1.0, 0.1, 0.05))),
            );
        }
    }

    fn head_lamps(&mut self, outline: &Outline, ix: usize, [from, to]: [f32; 2]) {
        let shining = self.has_lamps_on();
        let color = if shining {
            Rgb(1.0, 0.98, 0.9)
        } else {
            Rgb(0.88, 0.9, 0.92)
        };
        for [left, right] in [[-0.96, -0.58], [0.58, 0.96]] {
            self.lamp(
                outline,
                ix,
                [from, to, left, right],
                color,
                shining.then_some((1.1, Rgb(1.0, 0.95, 0.8))),
            );
        }
    }

    fn cabin_glass(&mut self, cabin: &Outline, rear_sides: f32) {
        self.strip(cabin, 0, [0.12, 0.88, -0.9, 0.9], GLASS);
        self.strip(cabin, 2, [0.08, 0.9, -0.92, 0.92], GLASS);
        let (rear, front) = ([cabin[0], cabin[1]], [cabin[3], cabin[2]]);
        let pillar = 0.5 * (cabin[1][0] + cabin[2][0]) - 0.1;
        let at = |edge: [Vec3; 2], t: f32, shift: f32| -> Vec3 {
            [
                edge[0][0] + t * (edge[1][0] - edge[0][0]) + shift,
                edge[0][1] + t * (edge[1][1] - edge[0][1]),
                edge[0][2] + t * (edge[1][2] - edge[0][2]),
            ]
        };
        let (rear_low, rear_high) = (at(rear, 0.12, 0.16), at(rear, 0.86, 0.1));
        let (front_low, front_high) = (at(front, 0.12, -0.2), at(front, 0.86, -0.08));
        let on_pillar = |p: Vec3, ahead: f32| [pillar + ahead, p[1], p[2]];
        let panes = [
            [
                rear_low,
                rear_high,
                on_pillar(rear_high, -0.05),
                on_pillar(rear_low, -0.05),
            ],
            [
                on_pillar(front_low, 0.05),
                on_pillar(front_high, 0.05),
                front_high,
                front_low,
            ],
        ];
        for (ix, pane) in panes.iter().enumerate() {
            if ix == 0 && rear_sides < 1.0 {
                continue;
            }
            for side in [-1.0, 1.0] {
                let corners = pane.map(|p| self.actor.point(side * (p[2] + 0.004), p[1], p[0]));
                let inside = self.actor.point(0.0, pane[0][1], pane[0][0]);
                self.face(&corners, inside, GLASS);
            }
        }
    }
}
