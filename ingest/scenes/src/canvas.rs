//! Fills polygons of the street, in colour and at the same time in labels.
//!
//! Colour is anti-aliased and fades into the haze; labels are hard-edged: a pixel whose middle is
//! inside has the class. Whoever is drawn later hides what is there: the scene draws from far to
//! near.

use crate::backdrop;
use crate::camera::{Camera, NEAR, Vec3};
use crate::class::Class;
use crate::light::{Light, Rgb};
use crate::street::Street;
use tiny_skia::{FillRule, Paint, Path, PathBuilder, Pixmap, Transform};

/// A picture in the making.
pub(crate) struct Canvas<'a> {
    pub(crate) camera: &'a Camera,
    pub(crate) light: &'a Light,
    color: Pixmap,
    label: Option<Pixmap>,
}

/// How a polygon is filled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fill {
    pub(crate) color: Rgb,
    /// 1 is opaque.
    pub(crate) alpha: f32,
    /// What its pixels show; none leaves the labels as they are (shadows, glow).
    pub(crate) class: Option<Class>,
}

impl Fill {
    pub(crate) fn solid(color: Rgb, class: Class) -> Self {
        Self {
            color,
            alpha: 1.0,
            class: Some(class),
        }
    }

    /// A veil that changes the colour but not what is seen.
    pub(crate) fn veil(color: Rgb, alpha: f32) -> Self {
        Self {
            color,
            alpha,
            class: None,
        }
    }
}

impl<'a> Canvas<'a> {
    /// A picture of the empty street.
    pub(crate) fn new(
        street: &Street,
        light: &'a Light,
        camera: &'a Camera,
        with_labels: bool,
    ) -> Self {
        let blank = || {
            Pixmap::new(camera.size.width, camera.size.height)
                .expect("a camera has a picture of at least one pixel")
        };
        let (mut color, mut label) = (blank(), with_labels.then(blank));
        backdrop::paint(
            street,
            light,
            camera,
            color.data_mut(),
            label.as_mut().map(Pixmap::data_mut),
        );
        Self {
            camera,
            light,
            color,
            label,
        }
    }

    /// RGBA of the picture, and RGBA of the labels with the id in every colour channel.
    pub(crate) fn finish(self) -> (Pixmap, Option<Pixmap>) {
        (self.color, self.label)
    }

    /// Fills a polygon of world points.
    pub(crate) fn polygon(&mut self, points: &[Vec3], fill: Fill) {
        let view: Vec<Vec3> = points
            .iter()
            .map(|&p| self.camera.view_from_world(p))
            .collect();
        self.polygon_in_view(&view, fill);
    }

    /// Fills a polygon of camera-space points.
    pub(crate) fn polygon_in_view(&mut self, points: &[Vec3], fill: Fill) {
        self.polygons_in_view(std::iter::once(points), FillRule::Winding, fill);
    }

    /// Fills several polygons of camera-space points as one shape, so that their overlaps do not
    /// add up.
    pub(crate) fn polygons_in_view<'p>(
        &mut self,
        polygons: impl Iterator<Item = &'p [Vec3]>,
        rule: FillRule,
        fill: Fill,
    ) {
        let mut path = PathBuilder::new();
        let (mut depth_sum, mut count) = (0.0, 0.0);
        for polygon in polygons {
            let clipped = clip_near(polygon);
            for (ix, &p) in clipped.iter().enumerate() {
                let [x, y] = self.camera.pixel_from_view(p);
                if ix == 0 {
                    path.move_to(x, y)
                } else {
                    path.line_to(x, y)
                }
                depth_sum += p[2];
                count += 1.0;
            }
            if !clipped.is_empty() {
                path.close();
            }
        }
        if let Some(path) = path.finish()
            && self.is_in_picture(&path)
        {
            self.fill(&path, rule, depth_sum / count, fill);
        }
    }

    fn is_in_picture(&self, path: &Path) -> bool {
        let (bounds, size) = (path.bounds(), self.camera.size);
        bounds.right() > 0.0
            && bounds.bottom() > 0.0
            && bounds.left() < size.width as f32
            && bounds.top() < size.height as f32
    }

    fn fill(&mut self, path: &Path, rule: FillRule, depth: f32, fill: Fill) {
        let [r, g, b] = fill
            .color
            .mix(self.light.haze, self.light.haze_at(depth))
            .to_bytes();
        let mut paint = Paint {
            anti_alias: true,
            ..Paint::default()
        };
        paint.set_color_rgba8(r, g, b, (fill.alpha * 255.0 + 0.5) as u8);
        self.color
            .fill_path(path, &paint, rule, Transform::identity(), None);
        if let (Some(label), Some(class)) = (&mut self.label, fill.class) {
            let mut paint = Paint {
                anti_alias: false,
                ..Paint::default()
            };
            paint.set_color_rgba8(class.id(), class.id(), class.id(), 255);
            label.fill_path(path, &paint, rule, Transform::identity(), None);
        }
    }

    /// A soft light around a camera-space point: veils that grow fainter outwards.
    pub(crate) fn glow_in_view(&mut self, middle: Vec3, radius: f32, color: Rgb, strength: f32) {
        const RINGS: u32 = 12;
        for ring in 1..=RINGS {
            let share = ring as f32 / RINGS as f32;
            let fade = (1.0 - share) * (1.0 - share) + 0.02;
            self.polygon_in_view(
                &disc(middle, radius * share, 20),
                Fill::veil(color, 0.5 * strength * fade),
            );
        }
    }
}

/// A bar of the given width between two camera-space points.
pub(crate) fn bar(a: Vec3, b: Vec3, width: f32) -> [Vec3; 4] {
    let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
    let length = (dx * dx + dy * dy).sqrt().max(1e-4);
    let (ox, oy) = (-dy / length * 0.5 * width, dx / length * 0.5 * width);
    [
        [a[0] + ox, a[1] + oy, a[2]],
        [b[0] + ox, b[1] + oy, b[2]],
        [b[0] - ox, b[1] - oy, b[2]],
        [a[0] - ox, a[1] - oy, a[2]],
    ]
}

/// A disc that faces the camera, in camera space.
pub(crate) fn disc(middle: Vec3, radius: f32, corners: u32) -> Vec<Vec3> {
    ellipse(middle, [radius, radius], corners)
}

/// An ellipse that faces the camera, in camera space.
pub(crate) fn ellipse(middle: Vec3, radii: [f32; 2], corners: u32) -> Vec<Vec3> {
    (0..corners)
        .map(|i| {
            let (sin, cos) = libm::sincosf(std::f32::consts::TAU * i as f32 / corners as f32);
            [
                middle[0] + radii[0] * cos,
                middle[1] + radii[1] * sin,
                middle[2],
            ]
        })
        .collect()
}

/// The part of a polygon that is not behind the near plane (Sutherland–Hodgman).
fn clip_near(polygon: &[Vec3]) -> Vec<Vec3> {
    let mut kept = Vec::with_capacity(polygon.len() + 2);
    for (ix, &b) in polygon.iter().enumerate() {
        let a = polygon[(ix + polygon.len() - 1) % polygon.len()];
        if (a[2] < NEAR) != (b[2] < NEAR) {
            let t = (NEAR - a[2]) / (b[2] - a[2]);
            kept.push([a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]), NEAR]);
        }
        if b[2] >= NEAR {
            kept.push(b);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clipping_keeps_what_lies_in_front() {
        let behind = [[0.0, 0.0, -1.0], [1.0, 0.0, -2.0], [0.0, 1.0, -1.0]];
        assert!(clip_near(&behind).is_empty());
        let across = [[0.0, 0.0, 1.0], [1.0, 0.0, 1.0], [0.0, 0.0, -1.0]];
        let kept = clip_near(&across);
        assert_eq!(kept.len(), 4);
        assert!(kept.iter().all(|p| p[2] >= NEAR));
    }
}
