//! What a ray over the ground meets.

use crate::building::Building;
use crate::camera::{Camera, NEAR};
use crate::class::Class;
use crate::light::{Light, Rgb};

/// What a pixel shows.
pub(super) type Shade = (Rgb, Class);

/// A wall in a column.
pub(super) struct Hit {
    pub(super) building: usize,
    pub(super) depth: f32,
    /// Place along the wall, in metres of x or z.
    pub(super) along: f32,
    /// Metres of the wall in one pixel, across and up.
    pub(super) blur: [Footprint; 2],
    pub(super) normal: [f32; 3],
    pub(super) base_row: f32,
    /// Upper end of the wall.
    pub(super) wall_row: f32,
    /// Upper end of the roof above it; equals `wall_row` for flat roofs.
    pub(super) roof_row: f32,
    pub(super) haze: f32,
}

/// Size of a pixel on a surface, in metres.
#[derive(Clone, Copy)]
pub(super) struct Footprint {
    pub(super) size: f32,
    inverse: f32,
}

impl Footprint {
    fn new(size: f32) -> Self {
        let size = size.max(1e-4);
        Self {
            size,
            inverse: 1.0 / size,
        }
    }

    /// Part of a pixel around `v` that lies in `[low, high]`.
    #[inline]
    pub(super) fn within(self, v: f32, low: f32, high: f32) -> f32 {
        ((v + 0.5 * self.size).min(high) - (v - 0.5 * self.size).max(low)).max(0.0) * self.inverse
    }

    /// 1 where details of the given size show, towards 0 where a pixel is larger than they are.
    #[inline]
    pub(super) fn resolves(self, detail: f32) -> f32 {
        (detail * self.inverse).min(1.0)
    }
}

/// Where a ray over the ground meets the walls of a building, if it does.
pub(super) fn hit(
    camera: &Camera,
    light: &Light,
    ix: usize,
    b: &Building,
    ray: [f32; 2],
    next: [f32; 2],
) -> Option<Hit> {
    let from = [camera.position[0], camera.position[2]];
    let spans = [b.x, b.z];
    let mut enter = (NEAR, 0);
    let mut leave = f32::INFINITY;
    for axis in 0..2 {
        let step = if ray[axis].abs() < 1e-6 {
            1e-6
        } else {
            ray[axis]
        };
        let (t0, t1) = (
            (spans[axis][0] - from[axis]) / step,
            (spans[axis][1] - from[axis]) / step,
        );
        if t0.min(t1) > enter.0 {
            enter = (t0.min(t1), axis);
        }
        leave = leave.min(t0.max(t1));
    }
    let (depth, axis) = enter;
    if depth <= NEAR || depth >= leave {
        return None;
    }
    let other = 1 - axis;
    let along = from[other] + depth * ray[other];
    let next_along = from[other] + (ray[axis] * depth / next[axis]) * next[other];
    let towards = -ray[axis].signum();
    // Height of the wall here: an end wall rises with the gable.
    let middle = 0.5 * (b.x[0] + b.x[1]);
    let slope = b.gable / (0.5 * (b.x[1] - b.x[0]));
    let roof_at = |x: f32| b.eaves + b.gable - slope * (x - middle).abs();
    let x_at = |t: f32| from[0] + t * ray[0];
    let (wall, roof, roof_depth) = if axis == 0 && b.gable > 0.0 {
        let ridge = ((middle - from[0]) / ray[0]).min(leave);
        (b.eaves, roof_at(x_at(ridge)), ridge)
    } else if b.gable > 0.0 {
        (roof_at(along), roof_at(along), depth)
    } else {
        (b.eaves, b.eaves, depth)
    };
    let wall_row = camera.row_of_height(wall, depth);
    Some(Hit {
        building: ix,
        depth,
        along,
        blur: [(next_along - along).abs(), depth / camera.focal].map(Footprint::new),
        normal: if axis == 0 {
            [towards, 0.0, 0.0]
        } else {
            [0.0, 0.0, towards]
        },
        base_row: camera.row_of_height(0.0, depth),
        wall_row,
        roof_row: camera.row_of_height(roof, roof_depth).min(wall_row),
        haze: light.haze_at(depth),
    })
}
