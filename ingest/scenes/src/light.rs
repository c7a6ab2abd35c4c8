//! Colours, and how the hour and the weather light them.
//!
//! Arithmetic is on display values in `[0, 1]`: the scenes are to look like photographs, not to be
//! physics.

use crate::camera::Vec3;
use std::ops::{Add, Mul};

/// A colour of display values; above 1 is overexposed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rgb(pub f32, pub f32, pub f32);

impl Rgb {
    /// From the hexadecimal notation, `0xRRGGBB`.
    pub(crate) const fn hex(value: u32) -> Self {
        Self(
            ((value >> 16) & 255) as f32 / 255.0,
            ((value >> 8) & 255) as f32 / 255.0,
            (value & 255) as f32 / 255.0,
        )
    }

    /// `self` at `t = 0`, `other` at `t = 1`.
    #[inline]
    pub(crate) fn mix(self, other: Self, t: f32) -> Self {
        self * (1.0 - t) + other * t
    }

    /// Channel by channel: a surface of this colour under light of colour `light`.
    #[inline]
    pub(crate) fn under(self, light: Self) -> Self {
        Self(self.0 * light.0, self.1 * light.1, self.2 * light.2)
    }

    #[inline]
    pub(crate) fn to_bytes(self) -> [u8; 3] {
        let byte = |v: f32| (v.clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
        [byte(self.0), byte(self.1), byte(self.2)]
    }
}

impl Add for Rgb {
    type Output = Self;
    #[inline]
    fn add(self, o: Self) -> Self {
        Self(self.0 + o.0, self.1 + o.1, self.2 + o.2)
    }
}

impl Mul<f32> for Rgb {
    type Output = Self;
    #[inline]
    fn mul(self, k: f32) -> Self {
        Self(self.0 * k, self.1 * k, self.2 * k)
    }
}

/// Hours that differ in their light.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hour {
    /// The sun stands high.
    Day,
    /// The sun stands low.
    DawnDusk,
    /// Lamps are on.
    Night,
}

/// Weathers that differ in their light.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Some clouds.
    Sunny,
    /// Streaks of drops, wet roads.
    Rain,
}

/// The light of one scene.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Light {
    pub(crate) hour: Hour,
    pub(crate) weather: Weather,
    /// Unit vector towards the sun; its x is never 0.
    pub(crate) sun: Vec3,
    /// What the sun adds to a surface that faces it.
    pub(crate) sunlight: Rgb,
    /// What reaches every surface.
    pub(crate) ambient: Rgb,
    pub(crate) zenith: Rgb,
    /// Sky at the horizon, and what distance fades into.
    pub(crate) haze: Rgb,
    pub(crate) cloud: Rgb,
    /// Part of the sky that is clouded, 0 to 1.
    pub(crate) cloudiness: f32,
    /// Depth at which 63 % of a surface is haze, in metres.
    pub(crate) visibility: f32,
}

impl Light {
    /// `sun_side` is -1 or 1: from which side of the street the sun shines.
    pub(crate) fn new(hour: Hour, weather: Weather, sun_side: f32) -> Self {
        let clear = match hour {
            Hour::Day => Self {
                hour,
                weather,
                sun: unit([sun_side * 0.62, 0.85, -0.42]),
                sunlight: Rgb(0.80, 0.75, 0.64),
                ambient: Rgb(0.64, 0.67, 0.73),
                zenith: Rgb::hex(0x3f7fc4),
                haze: Rgb::hex(0xc8d8e4),
                cloud: Rgb::hex(0xf6f6f4),
                cloudiness: 0.45,
                visibility: 420.0,
            },
            Hour::DawnDusk => Self {
                hour,
                weather,
                sun: unit([sun_side * 0.35, 0.30, 0.9]),
                sunlight: Rgb(0.72, 0.46, 0.24),
                ambient: Rgb(0.57, 0.51, 0.55),
                zenith: Rgb::hex(0x41558c),
                haze: Rgb::hex(0xf0b583),
                cloud: Rgb::hex(0xe59a7c),
                cloudiness: 0.5,
                visibility: 260.0,
            },
            Hour::Night => Self {
                hour,
                weather,
                sun: unit([sun_side * 0.5, 0.8, 0.3]),
                sunlight: Rgb(0.02, 0.02, 0.03),
                ambient: Rgb(0.20, 0.20, 0.26),
                zenith: Rgb::hex(0x0a0f1e),
                haze: Rgb::hex(0x2c2a33),
                cloud: Rgb::hex(0x24222b),
                cloudiness: 0.5,
                visibility: 220.0,
            },
        };
        match weather {
            Weather::Sunny => clear,
            Weather::Rain => clear.overcast(),
        }
    }

    fn overcast(self) -> Self {
        let grey = Rgb::hex(0x9aa2aa) * if self.hour == Hour::Night { 0.22 } else { 0.95 };
        Self {
            sunlight: self.sunlight * 0.08,
            ambient: self.ambient * 1.15,
            zenith: self.zenith.mix(grey, 0.75),
            haze: self.haze.mix(grey, 0.7),
            cloud: grey * 0.86,
            cloudiness: 0.9,
            visibility: 0.4 * self.visibility,
            ..self
        }
    }

    pub(crate) fn is_night(&self) -> bool {
        self.hour == Hour::Night
    }

    pub(crate) fn is_wet(&self) -> bool {
        self.weather == Weather::Rain
    }

    /// Light on a surface with unit normal `normal`; `lit` is the part of the sun that reaches it,
    /// 0 to 1.
    #[inline]
    pub(crate) fn on(&self, normal: Vec3, lit: f32) -> Rgb {
        let facing = normal[0] * self.sun[0] + normal[1] * self.sun[1] + normal[2] * self.sun[2];
        let skyward = 0.86 + 0.14 * normal[1];
        self.ambient * skyward + self.sunlight * (lit * facing.max(0.0))
    }

    /// How much of a surface `depth` metres away is haze, 0 to 1.
    #[inline]
    pub(crate) fn haze_at(&self, depth: f32) -> f32 {
        1.0 - libm::expf(-depth / self.visibility)
    }
}

fn unit(v: Vec3) -> Vec3 {
    let length = (v[0] * v[0] + v[1] * v[1] + v[2] * v[2]).sqrt();
    [v[0] / length, v[1] / length, v[2] / length]
}
