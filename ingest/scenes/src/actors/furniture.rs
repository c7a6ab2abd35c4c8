//! Street lamps, traffic lights and signs.

use super::actor::Actor;
use super::illumination::Illumination;
use super::kind::SignShape;
use crate::camera::Vec3;
use crate::canvas::{Canvas, Fill, bar, disc};
use crate::class::Class;
use crate::light::Rgb;

const STEEL: Rgb = Rgb::hex(0x6f7478);
const MAST: Rgb = Rgb::hex(0x4a4f52);

/// A street lamp; its arm reaches along the heading.
pub(crate) fn lamp(actor: &Actor, canvas: &mut Canvas, lit: &Illumination) {
    let steel = Fill::solid(lit.around(STEEL), Class::Pole);
    let view = |p: Vec3, canvas: &Canvas| canvas.camera.view_from_world(p);
    let (foot, top) = (
        view(actor.point(0.0, 0.0, 0.0), canvas),
        view(actor.point(0.0, 6.8, 0.0), canvas),
    );
    let head = [
        view(actor.point(0.0, 7.2, 1.3), canvas),
        view(actor.point(0.0, 7.2, 2.1), canvas),
    ];
    canvas.polygon_in_view(&bar(foot, top, 0.16), steel);
    canvas.polygon_in_view(&bar(top, head[0], 0.10), steel);
    canvas.polygon_in_view(&bar(head[0], head[1], 0.22), steel);
    if canvas.light.is_night() {
        let bulb = [
            0.5 * (head[0][0] + head[1][0]),
            head[0][1] - 0.12,
            0.5 * (head[0][2] + head[1][2]),
        ];
        canvas.polygon_in_view(
            &disc(bulb, 0.22, 14),
            Fill::solid(Rgb(1.0, 0.93, 0.72), Class::Pole),
        );
        canvas.glow_in_view(bulb, 2.4, Rgb(1.0, 0.78, 0.45), 0.5);
    }
}

/// Traffic lights on a mast with an arm over the street.
pub(crate) fn traffic_light(
    actor: &Actor,
    arm: f32,
    state: u8,
    canvas: &mut Canvas,
    lit: &Illumination,
) {
    let mast = Fill::solid(lit.around(MAST), Class::Pole);
    let place =
        |x: f32, y: f32, canvas: &Canvas| canvas.camera.view_from_world([actor.x + x, y, actor.z]);
    let (foot, top, end) = (
        place(0.0, 0.0, canvas),
        place(0.0, 5.9, canvas),
        place(arm, 6.1, canvas),
    );
    canvas.polygon_in_view(&bar(foot, top, 0.2), mast);
    canvas.polygon_in_view(&bar(top, end, 0.13), mast);
    for (x, y) in [(0.0, 2.9), (arm * 0.55, 5.55), (arm * 0.96, 5.55)] {
        head(actor, [actor.x + x, y, actor.z], state, canvas, lit);
    }
}

/// A head of three lights, `middle` in world space.
fn head(actor: &Actor, middle: Vec3, state: u8, canvas: &mut Canvas, lit: &Illumination) {
    let eye = canvas.camera.position;
    let towards = (eye[0] - middle[0]) * actor.heading[0] + (eye[2] - middle[2]) * actor.heading[1];
    let m = canvas.camera.view_from_world(middle);
    let case = [[-0.21, -0.56], [0.21, -0.56], [0.21, 0.56], [-0.21, 0.56]]
        .map(|[x, y]| [m[0] + x, m[1] + y, m[2]]);
    canvas.polygon_in_view(
        &case,
        Fill::solid(lit.around(Rgb::hex(0x1e2021)), Class::TrafficLight),
    );
    if towards <= 0.0 {
        return;
    }
    let colors = [
        Rgb(0.98, 0.16, 0.12),
        Rgb(1.0, 0.72, 0.15),
        Rgb(0.15, 0.95, 0.55),
    ];
    for (ix, color) in colors.into_iter().enumerate() {
        let lamp = [m[0], m[1] + 0.34 - 0.34 * ix as f32, m[2]];
        let shines = ix == usize::from(state);
        let color = if shines {
            color
        } else {
            lit.around(color * 0.25)
        };
        canvas.polygon_in_view(
            &disc(lamp, 0.13, 14),
            Fill::solid(color, Class::TrafficLight),
        );
        if shines {
            canvas.glow_in_view(
                lamp,
                if canvas.light.is_night() { 0.9 } else { 0.45 },
                color,
                0.35,
            );
        }
    }
}

/// A traffic sign on its post; it faces along the heading.
pub(crate) fn sign(actor: &Actor, shape: SignShape, canvas: &mut Canvas, lit: &Illumination) {
    let eye = canvas.camera.position;
    let is_front =
        (eye[0] - actor.x) * actor.heading[0] + (eye[2] - actor.z) * actor.heading[1] > 0.0;
    let foot = canvas.camera.view_from_world([actor.x, 0.0, actor.z]);
    let at = |x: f32, y: f32| [foot[0] + x, foot[1] + y, foot[2]];
    canvas.polygon_in_view(
        &bar(at(0.0, 0.0), at(0.0, 2.7), 0.08),
        Fill::solid(lit.around(STEEL), Class::Pole),
    );
    // Signs are foil that throws light back.
    let mut fill = |polygon: &[Vec3], color: Rgb| {
        let color = if is_front {
            lit.around(color) * 1.15
        } else {
            lit.around(Rgb::hex(0x8b8e90))
        };
        canvas.polygon_in_view(polygon, Fill::solid(color, Class::TrafficSign));
    };
    let (red, white, blue) = (
        Rgb::hex(0xb8242a),
        Rgb(0.93, 0.93, 0.91),
        Rgb::hex(0x1f5fa8),
    );
    let square = |half: f32| {
        [
            at(-half, 2.5 - half),
            at(half, 2.5 - half),
            at(half, 2.5 + half),
            at(-half, 2.5 + half),
        ]
    };
    match shape {
        SignShape::Stop => {
            let octagon = |radius: f32| -> Vec<Vec3> {
                (0..8)
                    .map(|i| {
                        let (sin, cos) =
                            libm::sincosf(std::f32::consts::TAU * (i as f32 + 0.5) / 8.0);
                        at(radius * cos, 2.5 + radius * sin)
                    })
                    .collect()
            };
            fill(&octagon(0.44), white);
            fill(&octagon(0.40), red);
            for letter in 0..4 {
                let x = -0.26 + 0.17 * letter as f32;
                fill(&bar(at(x, 2.40), at(x, 2.60), 0.08), white);
            }
        }
        SignShape::SpeedLimit => {
            fill(&disc(at(0.0, 2.5), 0.38, 24), red);
            fill(&disc(at(0.0, 2.5), 0.29, 24), white);
            for x in [-0.11, 0.11] {
                fill(&disc(at(x, 2.5), 0.10, 12), Rgb(0.1, 0.1, 0.1));
                fill(&disc(at(x, 2.5), 0.045, 10), white);
            }
        }
        SignShape::GiveWay => {
            fill(&[at(-0.45, 2.75), at(0.45, 2.75), at(0.0, 1.98)], red);
            fill(&[at(-0.27, 2.65), at(0.27, 2.65), at(0.0, 2.19)], white);
        }
        SignShape::Parking => {
            fill(&square(0.36), blue);
            fill(&bar(at(-0.1, 2.28), at(-0.1, 2.72), 0.09), white);
            fill(&disc(at(0.02, 2.61), 0.13, 14), white);
            fill(&disc(at(0.02, 2.61), 0.05, 10), blue);
        }
        SignShape::Crossing => {
            fill(&square(0.38), blue);
            fill(&[at(-0.28, 2.22), at(0.28, 2.22), at(0.0, 2.76)], white);
            fill(&bar(at(0.0, 2.30), at(0.0, 2.55), 0.07), Rgb(0.1, 0.1, 0.1));
        }
    }
}
