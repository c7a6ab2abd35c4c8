//! Walls with windows, doors and shops, and gable roofs.

use super::ray::Hit;
use crate::building::{Building, Front};
use crate::light::{Light, Rgb};
use crate::noise;
use crate::street::{self, Street};

/// Height of a shop's window and of the sign above it, in metres.
const SHOP_WINDOW: [f32; 2] = [0.35, 2.55];
const SHOP_SIGN: [f32; 2] = [2.7, 3.3];

/// A wall at `height` metres above the ground.
pub(crate) fn wall(
    street: &Street,
    building: &Building,
    hit: &Hit,
    height: f32,
    light: &Light,
) -> Rgb {
    let front = &building.front;
    // End walls of rows stand blind.
    let has_windows = hit.normal[0] != 0.0 || building.gable == 0.0;
    let mut surface = Surface {
        albedo: masonry(front, hit, height),
        glass: 0.0,
        glow: Rgb(0.0, 0.0, 0.0),
    };
    if has_windows && height < building.eaves - 0.5 {
        if front.shops && height < front.storey {
            shop(front, hit, height, light, &mut surface);
        } else {
            windows(front, hit, height, light, &mut surface);
        }
    } else if height > building.eaves - 0.45 && building.gable == 0.0 {
        surface.albedo = front.trim * 0.92;
    }
    let at = if hit.normal[0] != 0.0 {
        [-hit.normal[0] * street.fronts, height, hit.along]
    } else {
        [hit.along, height, 0.0]
    };
    let sun = if hit.normal[0] != 0.0 {
        street.sun_at(light.sun, at)
    } else {
        0.5
    };
    let mut lit = light.on(hit.normal, sun);
    if light.is_night() {
        lit = lit + Rgb(1.0, 0.78, 0.48) * (0.42 / (1.0 + (height * height) / 18.0));
    }
    let grounded = 0.8 + 0.2 * (height / 1.5).clamp(0.0, 1.0);
    let matte = surface.albedo.under(lit) * grounded;
    // Glass shows the sky: brighter the higher one looks.
    let sky = light.haze.mix(light.zenith, 0.35) * (0.35 + 0.03 * height).min(0.75);
    let mirrored = matte.mix(sky, 0.55 * surface.glass);
    mirrored + surface.glow
}

/// A gable roof, `up` metres above the eaves.
pub(crate) fn roof(building: &Building, hit: &Hit, up: f32, light: &Light) -> Rgb {
    let rows = noise::cell(
        noise::floor(hit.along * 3.0),
        noise::floor(up * 6.0),
        building.front.seed,
    ) - 0.5;
    let fade = hit.blur[0].resolves(0.25);
    let lines = street::stripes(up, 0.3, 0.05, hit.blur[1].size);
    let tiles = building.front.roof * (1.0 + 0.22 * rows * fade - 0.3 * lines);
    let lean = [hit.normal[0] * 0.5, 0.85, hit.normal[2] * 0.5];
    tiles.under(light.on(lean, 1.0))
}

/// What a point of a wall is made of.
struct Surface {
    albedo: Rgb,
    /// Part of the pixel that is glass.
    glass: f32,
    /// Light of its own.
    glow: Rgb,
}

impl Surface {
    fn cover(&mut self, color: Rgb, cover: f32) {
        self.albedo = self.albedo.mix(color, cover);
        self.glass *= 1.0 - cover;
    }

    fn pane(&mut self, color: Rgb, glow: Rgb, cover: f32) {
        self.albedo = self.albedo.mix(color, cover);
        self.glass = self.glass.max(cover);
        self.glow = self.glow + glow * cover;
    }
}

fn masonry(front: &Front, hit: &Hit, height: f32) -> Rgb {
    let stains = noise::smooth(hit.along * 0.35, height * 0.22, front.seed) - 0.5;
    let mut value = 1.0 + 0.16 * stains;
    let near = hit.blur[0].resolves(0.12).min(hit.blur[1].resolves(0.12));
    if near > 0.05 {
        let course = noise::floor(height / 0.09);
        let texture = if front.brick {
            let stone = noise::floor((hit.along + 0.13 * (course & 1) as f32) / 0.26);
            0.26 * (noise::cell(stone, course, front.seed) - 0.5)
        } else {
            0.10 * (noise::cell(
                noise::floor(hit.along / 0.04),
                noise::floor(height / 0.04),
                front.seed,
            ) - 0.5)
        };
        value += texture * near;
    }
    front.wall * value
}

fn windows(front: &Front, hit: &Hit, height: f32, light: &Light, surface: &mut Surface) {
    let (axis, storey) = (
        noise::floor(hit.along / front.bay),
        noise::floor(height / front.storey),
    );
    let (x, y) = (
        hit.along - axis as f32 * front.bay,
        height - storey as f32 * front.storey,
    );
    let [left, right, bottom, top] = front.window;
    let is_door = !front.shops && storey == 0 && axis.rem_euclid(4) == 1;
    let (low, high) = if is_door {
        (0.0, 2.15)
    } else {
        (bottom * front.storey, top * front.storey)
    };
    let (left, right) = (left * front.bay, right * front.bay);
    let inside = |margin: f32| {
        hit.blur[0].within(x, left - margin, right + margin)
            * hit.blur[1].within(y, low - margin, high + margin)
    };
    surface.cover(front.trim, inside(0.11));
    let pane = inside(0.0);
    if pane <= 0.0 {
        return;
    }
    if is_door {
        surface.cover(front.sign * 0.7, pane);
        return;
    }
    let fate = noise::cell(axis, storey, front.seed ^ 0x51);
    let up = (y - low) / (high - low);
    let curtain = if fate < 0.3 && up > 0.45 { 0.45 } else { 0.0 };
    let glass = Rgb::hex(0x2a3540).mix(Rgb::hex(0xcfc8ba), curtain) * (0.75 + 0.5 * up);
    let glow = if light.is_night() && fate < 0.38 {
        Rgb(0.92, 0.70, 0.38) * (0.35 + 1.4 * fate)
    } else {
        Rgb(0.0, 0.0, 0.0)
    };
    surface.pane(glass, glow, pane);
    // Sash bars.
    let middle = 0.5 * (left + right);
    let bars = hit.blur[0]
        .within(x, middle - 0.03, middle + 0.03)
        .max(hit.blur[1].within(y, low + 0.62 * (high - low), low + 0.66 * (high - low)));
    surface.cover(front.trim * 0.9, 0.8 * bars * pane);
}

fn shop(front: &Front, hit: &Hit, height: f32, light: &Light, surface: &mut Surface) {
    let width = front.bay * 2.0;
    let axis = noise::floor(hit.along / width);
    let x = hit.along - axis as f32 * width;
    // Two or three axes make one shop.
    let shop = axis.div_euclid(2 + (front.seed & 1) as i32);
    let fate = noise::cell(shop, 3, front.seed);
    let sign = if fate < 0.5 {
        front.sign
    } else {
        Rgb(fate, 1.0 - fate * 0.7, 0.35 + 0.5 * (1.0 - fate)) * 0.75
    };
    let glow_of = |color: Rgb, strength: f32| {
        if light.is_night() {
            color * strength
        } else {
            Rgb(0.0, 0.0, 0.0)
        }
    };
    let band = hit.blur[1].within(height, SHOP_SIGN[0], SHOP_SIGN[1]);
    let letters = noise::cell(noise::floor(hit.along * 3.4), shop, front.seed);
    let lettering = if letters > 0.45 {
        hit.blur[1].within(height, 2.86, 3.13)
    } else {
        0.0
    };
    surface.cover(sign, band);
    surface.cover(Rgb(0.95, 0.94, 0.9), 0.85 * lettering);
    surface.glow =
        surface.glow + glow_of(sign, 0.55 * band) + glow_of(Rgb(1.0, 1.0, 0.95), 0.4 * lettering);
    let pane = hit.blur[0].within(x, 0.18, width - 0.18)
        * hit.blur[1].within(height, SHOP_WINDOW[0], SHOP_WINDOW[1]);
    let goods = noise::smooth(hit.along * 1.6, height * 1.8, front.seed ^ 0x77);
    let inside = Rgb::hex(0x2b2c2e).mix(Rgb(0.85, 0.72, 0.5), 0.45 * goods * goods);
    surface.pane(
        inside,
        glow_of(Rgb(0.95, 0.85, 0.62), 0.35 + 0.5 * goods),
        pane,
    );
}
