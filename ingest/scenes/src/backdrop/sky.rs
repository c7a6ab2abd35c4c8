//! Sky, clouds and the skyline at the end of the view.

use super::ray::Shade;
use crate::camera::Camera;
use crate::class::Class;
use crate::light::{Hour, Light, Rgb};
use crate::noise::{self, smoothstep};
use crate::street::{District, Street};

/// What a column shows above the horizon where no building of the street stands.
pub(crate) struct Column {
    /// Upper end of the skyline.
    skyline_row: f32,
    skyline: Shade,
    /// Length of the column's ground ray per metre of depth.
    ray_length: f32,
    seed: u32,
}

impl Column {
    pub(crate) fn new(street: &Street, light: &Light, camera: &Camera, ray: [f32; 2]) -> Self {
        let ray_length = (ray[0] * ray[0] + ray[1] * ray[1]).sqrt();
        let azimuth = libm::atan2f(ray[0], ray[1]);
        let trees = noise::fractal(azimuth * 14.0 + 40.0, 0.0, street.seed, 5);
        let tower = noise::floor(azimuth * 36.0);
        let roofs = noise::cell(tower, 1, street.seed);
        let (tilt, class, color) = match street.district {
            District::Suburb => (0.02 + 0.05 * trees, Class::Vegetation, Rgb::hex(0x55703f)),
            District::Midrise if trees > 0.5 => {
                (0.012 + 0.05 * trees, Class::Vegetation, Rgb::hex(0x55703f))
            }
            _ => (
                0.03 + 0.09 * roofs * roofs,
                Class::Building,
                Rgb::hex(0x8b8a88) * (0.85 + 0.3 * noise::cell(tower, 2, street.seed)),
            ),
        };
        let lit = color.under(light.ambient + light.sunlight * 0.3);
        Self {
            skyline_row: camera.horizon - camera.focal * ray_length * tilt,
            skyline: (lit.mix(light.haze, 0.55), class),
            ray_length,
            seed: street.seed,
        }
    }

    pub(crate) fn shade(&self, light: &Light, camera: &Camera, ray: [f32; 2], row: f32) -> Shade {
        let cover = (row - self.skyline_row + 0.5).clamp(0.0, 1.0);
        if cover >= 1.0 {
            return self.skyline;
        }
        let up = ((camera.horizon - row) / camera.focal).max(1e-4);
        let sky = self.sky(light, ray, up);
        (
            sky.mix(self.skyline.0, cover),
            if cover >= 0.5 {
                self.skyline.1
            } else {
                Class::Sky
            },
        )
    }

    /// Sky in the direction of `ray` and `up` metres of height per metre of depth.
    fn sky(&self, light: &Light, ray: [f32; 2], up: f32) -> Rgb {
        let length = (self.ray_length * self.ray_length + up * up).sqrt();
        let elevation = up / length;
        let mut color = light
            .haze
            .mix(light.zenith, smoothstep(-0.08, 0.55, elevation));
        let towards_sun =
            (ray[0] * light.sun[0] + up * light.sun[1] + ray[1] * light.sun[2]) / length;
        if towards_sun > 0.0 && light.hour != Hour::Night {
            let glow = towards_sun.powi(16);
            color = color + light.sunlight * (0.45 * glow * (1.0 - light.cloudiness));
        }
        // Clouds lie on a plane overhead.
        let (x, z) = (ray[0] / (up + 0.05), ray[1] / (up + 0.05));
        let density = noise::fractal(x * 0.9, z * 0.9, self.seed, 4);
        let low = 0.72 - 0.5 * light.cloudiness;
        let cover = smoothstep(low, low + 0.25, density) * smoothstep(0.01, 0.12, elevation);
        let shaded = light.cloud * (0.86 + 0.22 * noise::smooth(x * 2.1, z * 2.1, self.seed ^ 5));
        color.mix(shaded, 0.85 * cover)
    }
}
