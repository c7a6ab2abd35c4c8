//! From a clean picture to a photograph: rain, vignette and sensor noise.
//!
//! Labels stay as they are: they name what stands behind the rain.

use crate::light::Light;
use crate::noise::{self, Rng};
use schemas::geom::Size;
use tiny_skia::{Paint, PathBuilder, Pixmap, Stroke, Transform};

/// A finished picture.
#[derive(Clone, Debug)]
pub struct Photo {
    /// Width and height in pixels.
    pub size: Size,
    /// `[height, width, 4]`, opaque.
    pub rgba: Vec<u8>,
    /// `[height, width]` Cityscapes label ids, where they were asked for.
    pub labels: Option<Vec<u8>>,
}

/// Takes the photograph.
pub(crate) fn expose(
    mut color: Pixmap,
    labels: Option<Pixmap>,
    light: &Light,
    rng: &mut Rng,
) -> Photo {
    let size = Size {
        width: color.width(),
        height: color.height(),
    };
    if light.is_wet() {
        rain(&mut color, light, rng);
    }
    let mut rgba = color.take();
    develop(
        &mut rgba,
        size,
        if light.is_night() { 3.4 } else { 2.2 },
        rng.seed(),
    );
    let labels = labels.map(|l| l.data().chunks_exact(4).map(|px| px[0]).collect());
    Photo { size, rgba, labels }
}

/// Streaks of falling drops.
fn rain(color: &mut Pixmap, light: &Light, rng: &mut Rng) {
    let (width, height) = (color.width() as f32, color.height() as f32);
    let value = if light.is_night() { 150 } else { 225 };
    for (thickness, alpha, count) in [(1.0, 46, 420), (1.8, 34, 150), (3.2, 22, 36)] {
        let mut path = PathBuilder::new();
        for _ in 0..count {
            let (x, y) = (rng.range(-20.0, width), rng.range(-60.0, height));
            let length = rng.range(14.0, 34.0) * thickness;
            path.move_to(x, y);
            path.line_to(x + 0.12 * length, y + length);
        }
        let mut paint = Paint::default();
        paint.set_color_rgba8(value, value, value + 8, alpha);
        if let Some(path) = path.finish() {
            let stroke = Stroke {
                width: thickness,
                ..Stroke::default()
            };
            color.stroke_path(&path, &paint, &stroke, Transform::identity(), None);
        }
    }
}

/// Darkens the corners and adds noise with about `sigma` grey levels of standard deviation.
fn develop(rgba: &mut [u8], size: Size, sigma: f32, seed: u32) {
    // The difference of two bytes has a standard deviation of 104.5: scale it to `sigma` in 16-bit
    // fixed point.
    let gain = (sigma / 104.5 * 65_536.0) as i32;
    let (cx, cy) = (0.5 * size.width as f32, 0.5 * size.height as f32);
    let corner = 1.0 / (cx * cx + cy * cy);
    for (row, line) in rgba.chunks_exact_mut(size.width as usize * 4).enumerate() {
        let dy = row as f32 - cy;
        for (column, px) in line.chunks_exact_mut(4).enumerate() {
            let dx = column as f32 - cx;
            let shade = (256.0 - 30.0 * (dx * dx + dy * dy) * corner) as i32;
            let bits = noise::hash(column as i32, row as i32, seed)
                .to_le_bytes()
                .map(i32::from);
            let grey = (bits[0] - bits[1]) * gain;
            // Colour noise is a third of it.
            let tints = [(bits[2] - 128) * gain / 2, 0, (bits[3] - 128) * gain / 2];
            for (value, tint) in px.iter_mut().zip(tints) {
                *value = ((i32::from(*value) * shade * 256 + grey + tint + 32_768) >> 16)
                    .clamp(0, 255) as u8;
            }
        }
    }
}
