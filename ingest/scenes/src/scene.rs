//! One drive through one street: who is where, and the pictures that its cameras take.

use crate::actors::{self, Actor};
use crate::camera::Camera;
use crate::canvas::Canvas;
use crate::cast;
use crate::light::{Hour, Light, Weather};
use crate::noise::Rng;
use crate::photo::{self, Photo};
use crate::street::{District, LANE, Street};
use schemas::geom::Size;

/// An actor farther away than this is not drawn, in metres.
const SIGHT: f32 = 170.0;

/// How a camera is mounted on the car.
#[derive(Clone, Copy, Debug)]
pub struct Mount {
    /// Width and height of its pictures in pixels.
    pub size: Size,
    /// Focal length in pixels.
    pub focal: f32,
    /// Row of the horizon.
    pub horizon: f32,
    /// Metres above the road.
    pub height: f32,
    /// Degrees to the right of the driving direction.
    pub yaw_degrees: f32,
}

/// A drive through a street.
#[derive(Clone, Debug)]
pub struct Scene {
    light: Light,
    street: Street,
    actors: Vec<Actor>,
    /// Where the car with the cameras drives, and how fast.
    lane_x: f32,
    speed: f32,
    rng: Rng,
}

impl Scene {
    /// Everything follows from the arguments.
    pub fn new(seed: u64, hour: Hour, weather: Weather) -> Self {
        let rng = Rng::new(seed);
        let mut first = rng.fork(0);
        let district = first.pick(&[
            District::Downtown,
            District::Midrise,
            District::Midrise,
            District::Suburb,
        ]);
        let light = Light::new(hour, weather, if first.chance(0.5) { 1.0 } else { -1.0 });
        let street = Street::new(&rng.fork(1), district);
        let lane = if street.lanes_per_side > 1 && first.chance(0.5) {
            1.5
        } else {
            0.5
        };
        let (lane_x, speed) = (lane * LANE, first.range(5.0, 10.0));
        let actors = cast::place(&street, [lane_x, speed], &rng.fork(2));
        Self {
            light,
            street,
            actors,
            lane_x,
            speed,
            rng,
        }
    }

    /// The camera on its mount after `secs` of driving.
    fn camera(&self, mount: &Mount, secs: f32) -> Camera {
        let position = [self.lane_x, mount.height, self.speed * secs];
        Camera::new(
            mount.size,
            mount.focal,
            mount.horizon,
            position,
            mount.yaw_degrees,
        )
    }

    /// What a camera takes after `secs` of driving. `shot` numbers the pictures of a drive: each
    /// has its own noise.
    pub fn photograph(&self, mount: &Mount, secs: f32, shot: u64, with_labels: bool) -> Photo {
        let camera = self.camera(mount, secs);
        let mut canvas = Canvas::new(&self.street, &self.light, &camera, with_labels);
        for actor in self.visible(&camera, secs) {
            actors::draw(&actor, &mut canvas, &self.street);
        }
        let (color, labels) = canvas.finish();
        photo::expose(color, labels, &self.light, &mut self.rng.fork(1_000 + shot))
    }

    /// The actors that a camera may see, far ones first.
    fn visible(&self, camera: &Camera, secs: f32) -> Vec<Actor> {
        let mut seen: Vec<(f32, Actor)> = self
            .actors
            .iter()
            .map(|actor| actor.after(secs))
            .filter_map(|actor| {
                let [right, _, depth] = camera.view_from_world([actor.x, 0.0, actor.z]);
                // Nobody stands in the car that carries the cameras.
                let clear = (actor.x - camera.position[0]).abs() > 1.3
                    || (actor.z - camera.position[2]).abs() > 4.5;
                let wide = 0.5 * camera.size.width as f32 / camera.focal;
                let seen =
                    (-7.0..SIGHT).contains(&depth) && right.abs() < wide * depth.max(0.0) + 12.0;
                (clear && seen).then_some((depth, actor))
            })
            .collect();
        seen.sort_by(|a, b| b.0.total_cmp(&a.0));
        seen.into_iter().map(|(_, actor)| actor).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::{Body, Kind, Lights};
    use crate::class::Class;

    const MOUNT: Mount = Mount {
        size: Size {
            width: 480,
            height: 320,
        },
        focal: 430.0,
        horizon: 140.0,
        height: 1.6,
        yaw_degrees: 0.0,
    };

    /// The nearest actor that throws no light, and its class.
    fn nearest(scene: &Scene) -> Option<(Actor, Class)> {
        let seen = scene.visible(&scene.camera(&MOUNT, 0.0), 0.0);
        seen.into_iter()
            .rev()
            .filter(|actor| actor.z > 4.0)
            .find_map(|actor| match actor.kind {
                Kind::Vehicle {
                    lights: Lights::Braking,
                    ..
                } => None,
                Kind::Vehicle {
                    body: Body::Truck, ..
                } => Some((actor, Class::Truck)),
                Kind::Vehicle {
                    body: Body::Bus, ..
                } => Some((actor, Class::Bus)),
                Kind::Vehicle { .. } => Some((actor, Class::Car)),
                Kind::Person { .. } => Some((actor, Class::Person)),
                _ => None,
            })
    }

    /// Whether any of the pixels around `ix` is set.
    fn near(set: &[bool], ix: usize) -> bool {
        let width = MOUNT.size.width as usize;
        let (x, y) = (ix % width, ix / width);
        let rows = y.saturating_sub(1)..=(y + 1).min(MOUNT.size.height as usize - 1);
        let mut around = rows.flat_map(|y| {
            (x.saturating_sub(1)..=(x + 1).min(width - 1)).map(move |x| y * width + x)
        });
        around.any(|ix| set[ix])
    }

    #[test]
    fn labels_lie_exactly_where_an_actor_is_drawn() {
        let mut num_labelled = 0;
        for seed in 0..12 {
            let mut scene = Scene::new(seed, Hour::Day, Weather::Sunny);
            let Some((actor, class)) = nearest(&scene) else {
                continue;
            };
            let with = scene.photograph(&MOUNT, 0.0, 0, true);
            scene
                .actors
                .retain(|other| (other.x, other.z) != (actor.x, actor.z));
            let without = scene.photograph(&MOUNT, 0.0, 0, true);
            let (labels, before) = (
                with.labels.expect("asked for"),
                without.labels.expect("asked for"),
            );
            let relabelled: Vec<bool> = labels.iter().zip(&before).map(|(a, b)| a != b).collect();
            let mut same_color = 0;
            for (ix, &is_new) in relabelled.iter().enumerate() {
                let (a, b) = (
                    &with.rgba[ix * 4..ix * 4 + 3],
                    &without.rgba[ix * 4..ix * 4 + 3],
                );
                if is_new {
                    num_labelled += 1;
                    assert_eq!(
                        labels[ix],
                        class.id(),
                        "seed {seed}: another class at pixel {ix}"
                    );
                    same_color += usize::from(a == b);
                } else if labels[ix] != class.id() && !near(&relabelled, ix) {
                    // Away from the actor nothing but its shadow may change.
                    assert!(
                        a.iter().zip(b).all(|(a, b)| a <= b),
                        "seed {seed}: colour without a label at pixel {ix}"
                    );
                }
            }
            let num_new = relabelled.iter().filter(|&&is_new| is_new).count();
            assert!(
                same_color * 20 <= num_new,
                "seed {seed}: {same_color} of {num_new} labelled pixels show nothing new"
            );
        }
        assert!(
            num_labelled > 2_000,
            "only {num_labelled} pixels were compared"
        );
    }

    #[test]
    fn steps_of_a_drive_show_the_same_street_from_farther_on() {
        let scene = Scene::new(2, Hour::Day, Weather::Sunny);
        let here = scene.visible(&scene.camera(&MOUNT, 0.0), 0.0);
        let later = scene.visible(&scene.camera(&MOUNT, 0.5), 0.5);
        let seeds: std::collections::BTreeSet<u64> = later.iter().map(|actor| actor.seed).collect();
        let kept = here
            .iter()
            .filter(|actor| seeds.contains(&actor.seed))
            .count();
        assert!(
            here.len() > 20 && kept * 10 > here.len() * 8,
            "{kept} of {} actors are still in sight",
            here.len()
        );
    }

    #[test]
    fn neighbouring_cameras_of_a_car_see_one_scene() {
        let mount = |yaw_degrees| Mount {
            size: Size::new(1920, 1280),
            focal: 2_050.0,
            horizon: 620.0,
            height: 2.1,
            yaw_degrees,
        };
        // The same point of the world, seen by the front camera at its left edge and by the left one at
        // its right edge.
        let scene = Scene::new(1, Hour::Day, Weather::Sunny);
        let [front, left] = [0.0, -45.0].map(|yaw| scene.camera(&mount(yaw), 1.0));
        let point = |camera: &Camera| {
            camera.pixel_from_view(camera.view_from_world([
                front.position[0] - 10.0,
                1.0,
                front.position[2] + 22.5,
            ]))
        };
        let ([x_front, y_front], [x_left, y_left]) = (point(&front), point(&left));
        assert!(
            (0.0..300.0).contains(&x_front) && (1600.0..1920.0).contains(&x_left),
            "{x_front} {x_left}"
        );
        assert!((0.0..1280.0).contains(&y_front) && (0.0..1280.0).contains(&y_left));
        assert_eq!(front.position, left.position);
        assert!(scene.camera(&mount(0.0), 2.0).position[2] > front.position[2] + 1.0);
    }
}
