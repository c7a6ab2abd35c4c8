//! A level pinhole camera in the street.
//!
//! World: metres, x to the right of the driving direction, y up from the road, z ahead. A camera is
//! turned about y only, so verticals stay vertical and one image column sees one direction over the
//! ground: the backdrop relies on it.

use schemas::geom::Size;

/// A point or direction in metres: x right, y up, z ahead.
pub(crate) type Vec3 = [f32; 3];

/// Nothing nearer than this is drawn, in metres.
pub(crate) const NEAR: f32 = 0.25;

/// Where a picture is taken from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Camera {
    pub(crate) size: Size,
    /// Focal length in pixels.
    pub(crate) focal: f32,
    /// Row of the horizon.
    pub(crate) horizon: f32,
    pub(crate) position: Vec3,
    sin: f32,
    cos: f32,
}

impl Camera {
    /// A camera turned `yaw_degrees` to the right of the driving direction.
    pub(crate) fn new(
        size: Size,
        focal: f32,
        horizon: f32,
        position: Vec3,
        yaw_degrees: f32,
    ) -> Self {
        let yaw = yaw_degrees.to_radians();
        Self {
            size,
            focal,
            horizon,
            position,
            sin: libm::sinf(yaw),
            cos: libm::cosf(yaw),
        }
    }

    /// Camera space of a world point: right, up, depth.
    pub(crate) fn view_from_world(&self, p: Vec3) -> Vec3 {
        let (dx, dy, dz) = (
            p[0] - self.position[0],
            p[1] - self.position[1],
            p[2] - self.position[2],
        );
        [
            dx * self.cos - dz * self.sin,
            dy,
            dx * self.sin + dz * self.cos,
        ]
    }

    /// Column and row, in pixels, of a camera-space point with positive depth.
    pub(crate) fn pixel_from_view(&self, p: Vec3) -> [f32; 2] {
        let scale = self.focal / p[2];
        [
            0.5 * self.size.width as f32 + p[0] * scale,
            self.horizon - p[1] * scale,
        ]
    }

    /// Ground direction (x, z) that a column looks along, per metre of depth.
    pub(crate) fn ray_of_column(&self, column: f32) -> [f32; 2] {
        let right = (column - 0.5 * self.size.width as f32) / self.focal;
        [self.sin + self.cos * right, self.cos - self.sin * right]
    }

    /// Unit vector (x, z) to the right of the view.
    pub(crate) fn right(&self) -> [f32; 2] {
        [self.cos, -self.sin]
    }

    /// Row at which height `y` metres stands at depth `depth` metres.
    pub(crate) fn row_of_height(&self, y: f32, depth: f32) -> f32 {
        self.horizon - (y - self.position[1]) * self.focal / depth
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_sees_the_points_that_project_into_it() {
        let size = Size {
            width: 640,
            height: 480,
        };
        let camera = Camera::new(size, 500.0, 240.0, [1.0, 2.0, 3.0], -45.0);
        let [dx, dz] = camera.ray_of_column(100.5);
        let depth = 17.0;
        let view = camera.view_from_world([1.0 + dx * depth, 0.0, 3.0 + dz * depth]);
        let [column, row] = camera.pixel_from_view(view);
        assert!((column - 100.5).abs() < 1e-2 && (view[2] - depth).abs() < 1e-3);
        assert!((row - camera.row_of_height(0.0, depth)).abs() < 1e-2);
    }
}
