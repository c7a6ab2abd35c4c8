//! The ground: asphalt with its markings, kerbs, paving slabs and lawns.

use super::ray::Shade;
use crate::camera::Camera;
use crate::class::Class;
use crate::light::{Light, Rgb};
use crate::noise;
use crate::street::{self, Ground, LAMP_SPACING, LANE, Street};

/// Beyond this depth the ground is all haze, in metres.
const FAR: f32 = 1500.0;

/// The ground in one image row: a level camera sees all of it at one depth.
pub(crate) struct Row<'a> {
    street: &'a Street,
    light: &'a Light,
    camera: &'a Camera,
    depth: f32,
    haze: f32,
    /// Size of a pixel on the ground, across and along the street, for a ray straight ahead and per
    /// sideways share of a ray.
    across: f32,
    along: f32,
}

impl<'a> Row<'a> {
    /// The row of pixels whose middles are at `row`; none above the horizon.
    pub(crate) fn new(
        street: &'a Street,
        light: &'a Light,
        camera: &'a Camera,
        row: f32,
    ) -> Option<Self> {
        if row <= camera.horizon {
            return None;
        }
        let depth = camera.focal * camera.position[1] / (row - camera.horizon);
        let (across, along) = (
            depth / camera.focal,
            depth * depth / (camera.focal * camera.position[1]),
        );
        Some(Self {
            street,
            light,
            camera,
            depth,
            haze: light.haze_at(depth),
            across,
            along,
        })
    }

    /// The ground that a ray of a column meets.
    pub(crate) fn shade(&self, ray: [f32; 2]) -> Shade {
        let (street, light, camera) = (self.street, self.light, self.camera);
        if self.depth > FAR {
            return (light.haze, Class::Road);
        }
        let (x, z) = (
            camera.position[0] + self.depth * ray[0],
            camera.position[2] + self.depth * ray[1],
        );
        let right = camera.right();
        let blur =
            std::array::from_fn(|i| self.across * right[i].abs() + self.along * ray[i].abs());
        let cover = street.ground(x, z);
        let (albedo, class) = match cover {
            Ground::Asphalt => (asphalt(street, light, [x, z], blur), Class::Road),
            Ground::Pavement => (slabs(street, [x, z], blur), Class::Sidewalk),
            Ground::Kerb => (
                Rgb::hex(0xb4b2ac) * (0.9 + 0.2 * grain([x, z], 0.05, blur, 11)),
                Class::Sidewalk,
            ),
            Ground::Grass => (lawn([x, z], blur), Class::Terrain),
        };
        let mut lit = light.on([0.0, 1.0, 0.0], street.sun_at(light.sun, [x, 0.0, z]));
        if light.is_night() {
            lit = lit + lamplight(street, x, z) + headlights(camera, x, z);
        }
        (albedo.under(lit).mix(light.haze, self.haze), class)
    }
}

/// Noise of the given grain size in metres, around 0.5, that fades to 0.5 where a pixel is larger
/// than a grain.
#[inline]
fn grain([x, z]: [f32; 2], size: f32, blur: [f32; 2], seed: u32) -> f32 {
    let fade = (size / (blur[0].max(blur[1]) + 1e-4)).min(1.0);
    if fade < 0.05 {
        return 0.5;
    }
    0.5 + (noise::cell(noise::floor(x / size), noise::floor(z / size), seed) - 0.5) * fade
}

fn asphalt(street: &Street, light: &Light, at: [f32; 2], blur: [f32; 2]) -> Rgb {
    let [x, z] = at;
    let stone = grain(at, 0.02, blur, 1) + 0.6 * grain(at, 0.05, blur, 2) - 0.8;
    let patches = noise::smooth(x * 0.45, z * 0.12, street.seed) - 0.5;
    // Wheels polish two tracks into every lane.
    let lanes = x.abs() / LANE;
    let in_lane = lanes - noise::floor(lanes) as f32;
    let track = (1.0 - ((in_lane - 0.5).abs() - 0.23).abs() * 9.0).max(0.0);
    let value = 0.37 + 0.10 * stone + 0.08 * patches - 0.035 * track;
    let tar = if light.is_wet() { 0.68 } else { 1.0 };
    let dry = Rgb(value, value, value * 1.02) * tar;
    let (white, yellow) = street.paint(x, z, blur);
    if white + yellow <= 0.0 {
        return dry;
    }
    let wear = 0.78 + 0.2 * noise::smooth(x * 3.0, z * 1.3, 9);
    dry.mix(Rgb(0.92, 0.92, 0.9), white * wear)
        .mix(Rgb(0.88, 0.68, 0.2), yellow * wear)
}

fn slabs(street: &Street, at: [f32; 2], blur: [f32; 2]) -> Rgb {
    let [x, z] = at;
    let seam = street::stripes(x, 1.2, 0.03, blur[0]).max(street::stripes(z, 1.2, 0.03, blur[1]));
    let tint = noise::cell(noise::floor(x / 1.2), noise::floor(z / 1.2), street.seed) - 0.5;
    let fade = (1.2 / (blur[1] + 1e-3)).min(1.0);
    let value = 0.60
        + 0.06 * tint * fade
        + 0.07 * (grain(at, 0.04, blur, 3) - 0.5)
        + 0.06 * (noise::smooth(x, z * 0.7, 6) - 0.5);
    Rgb(value, value * 0.98, value * 0.95) * (1.0 - 0.45 * seam)
}

fn lawn(at: [f32; 2], blur: [f32; 2]) -> Rgb {
    let [x, z] = at;
    let blades = grain(at, 0.03, blur, 4) + grain(at, 0.15, blur, 5) - 1.0;
    let patches = noise::smooth(x * 0.6, z * 0.6, 8);
    Rgb::hex(0x5f7f3a).mix(Rgb::hex(0x8a8f4a), patches * 0.7) * (1.0 + 0.4 * blades)
}

/// Light of the street lamps, which stand at the kerbs.
fn lamplight(street: &Street, x: f32, z: f32) -> Rgb {
    let stretch = z / LAMP_SPACING;
    let dz = (stretch - noise::floor(stretch) as f32 - 0.5) * LAMP_SPACING;
    let dx = x.abs() - street.kerb + 1.2;
    Rgb(1.0, 0.80, 0.50) * (0.62 / (1.0 + (dx * dx + dz * dz) / 28.0))
}

/// Light of the car that carries the cameras.
fn headlights(camera: &Camera, x: f32, z: f32) -> Rgb {
    let (dx, dz) = (x - camera.position[0], z - camera.position[2]);
    if dz < 1.0 {
        return Rgb(0.0, 0.0, 0.0);
    }
    let spread = 1.6 + 0.16 * dz;
    let beam = 1.0 / (1.0 + (dx / spread).powi(4)) / (1.0 + (dz / 22.0).powi(2));
    Rgb(0.62, 0.60, 0.52) * (beam * noise::smoothstep(1.0, 6.0, dz))
}

/// A wet road at column and row `at`: `above` holds the finished rows, of which it mirrors the one
/// as far above the horizon.
pub(crate) fn mirror(dry: Rgb, camera: &Camera, above: &[u8], [ix, row]: [usize; 2]) -> Rgb {
    let ripple = noise::hash(ix as i32 / 3, row as i32, 77) % 19;
    let mirrored = 2.0 * camera.horizon
        - row as f32
        - 0.35 * (row as f32 - camera.horizon) * (ripple as f32 / 19.0);
    let start = (mirrored.max(0.0) as usize * camera.size.width as usize + ix) * 4;
    let Some(px) = above.get(start..start + 3) else {
        return dry;
    };
    let image = Rgb(f32::from(px[0]), f32::from(px[1]), f32::from(px[2])) * (1.0 / 255.0);
    // The flatter the view, the stronger the reflection.
    let steepness = (row as f32 - camera.horizon) / camera.focal;
    dry.mix(image, (0.62 - 1.1 * steepness).clamp(0.16, 0.6))
}
