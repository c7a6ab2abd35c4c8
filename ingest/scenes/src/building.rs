//! The buildings of a street: boxes with a front of windows, shops and doors, and flat or gable
//! roofs.

use crate::light::Rgb;
use crate::noise::Rng;

/// The character of the street.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum District {
    /// High fronts without gaps, shops at street level.
    Downtown,
    /// Some floors of flats, trees along the street.
    Midrise,
    /// Houses with gable roofs behind front gardens.
    Suburb,
}

/// A box with a front to the street.
#[derive(Clone, Debug)]
pub(crate) struct Building {
    /// Footprint: `x0 < x1`, `z0 < z1`.
    pub(crate) x: [f32; 2],
    pub(crate) z: [f32; 2],
    /// Height of the walls.
    pub(crate) eaves: f32,
    /// Height of a gable roof above the eaves; 0 for a flat roof.
    pub(crate) gable: f32,
    pub(crate) front: Front,
}

/// How the walls of a building look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Front {
    pub(crate) wall: Rgb,
    pub(crate) trim: Rgb,
    pub(crate) roof: Rgb,
    pub(crate) sign: Rgb,
    pub(crate) storey: f32,
    /// Width of one window axis.
    pub(crate) bay: f32,
    /// Window, as parts of an axis and a storey: left, right, bottom, top.
    pub(crate) window: [f32; 4],
    pub(crate) brick: bool,
    pub(crate) shops: bool,
    pub(crate) seed: u32,
}

/// One side of a street, to be built up.
pub(crate) struct Row {
    pub(crate) district: District,
    /// -1 for the left side, 1 for the right.
    pub(crate) side: f32,
    /// Distance of the fronts from the middle of the street.
    pub(crate) fronts: f32,
    /// Where the row begins and ends.
    pub(crate) z: [f32; 2],
    /// Stretches that stay free.
    pub(crate) gaps: Vec<[f32; 2]>,
}

impl Row {
    /// The buildings, from near to far.
    pub(crate) fn build(&self, rng: &mut Rng) -> Vec<Building> {
        let mut buildings = Vec::new();
        let mut z = self.z[0];
        while z < self.z[1] {
            let (width, gap) = self.lot(rng);
            let mut end = z + width;
            if let Some(gap) = self.gaps.iter().find(|gap| gap[1] > z && gap[0] < end) {
                if gap[0] - z < 6.0 {
                    z = gap[1];
                    continue;
                }
                end = gap[0];
            }
            let near = self.fronts
                + if self.district == District::Suburb {
                    rng.range(0.0, 1.5)
                } else {
                    0.0
                };
            let deep = near + rng.range(10.0, 18.0);
            let x = if self.side < 0.0 {
                [-deep, -near]
            } else {
                [near, deep]
            };
            let front = Front::new(rng, self.district);
            let (eaves, gable) = self.heights(rng, front.storey);
            buildings.push(Building {
                x,
                z: [z, end],
                eaves,
                gable,
                front,
            });
            z = end + gap;
        }
        buildings
    }

    /// Width of a building and of the gap behind it.
    fn lot(&self, rng: &mut Rng) -> (f32, f32) {
        match self.district {
            District::Downtown => (rng.range(14.0, 30.0), 0.0),
            District::Midrise => {
                let width = rng.range(11.0, 22.0);
                let has_gap = rng.chance(0.3);
                (width, if has_gap { rng.range(2.0, 6.0) } else { 0.0 })
            }
            District::Suburb => (rng.range(9.0, 14.0), rng.range(3.0, 8.0)),
        }
    }

    /// Heights of the eaves, and of the gable above them.
    fn heights(&self, rng: &mut Rng, storey: f32) -> (f32, f32) {
        match self.district {
            District::Downtown => (storey * rng.range(4.0, 13.0).floor() + 1.2, 0.0),
            District::Midrise => {
                let eaves = storey * rng.range(3.0, 6.0).floor() + 0.8;
                (eaves, if rng.chance(0.35) { 3.0 } else { 0.0 })
            }
            District::Suburb => {
                let eaves = storey * rng.pick(&[1.0, 2.0, 2.0]) + 0.4;
                (eaves, rng.range(2.4, 3.8))
            }
        }
    }
}

impl Front {
    fn new(rng: &mut Rng, district: District) -> Self {
        const DOWNTOWN: [u32; 7] = [
            0x8d8a86, 0xa39784, 0x6f7882, 0xb9b2a4, 0x7a5a4a, 0x5c6670, 0xc9c0ae,
        ];
        const MIDRISE: [u32; 8] = [
            0x9c5a44, 0xb07a58, 0xcbb58e, 0xd8cdb8, 0x8a4a3c, 0xb9a48c, 0x9aa08c, 0xd2a679,
        ];
        const SUBURB: [u32; 7] = [
            0xe4dfd2, 0xd9c7a3, 0xb6c2c4, 0xc98f6e, 0xefe8dc, 0xa9b59b, 0xb5604a,
        ];
        const SIGNS: [u32; 7] = [
            0xa82a2a, 0x1f5a8c, 0x2d6b3f, 0xd9a21b, 0x333333, 0x7a2c6b, 0xe8e4d8,
        ];
        const ROOFS: [u32; 5] = [0x7d4a3a, 0x5b5552, 0x8c5b45, 0x4a4d55, 0x6b3f33];
        let (palette, storey, bay, shops): (&[u32], _, _, _) = match district {
            District::Downtown => (
                &DOWNTOWN,
                rng.range(3.4, 4.2),
                rng.range(1.8, 3.6),
                rng.chance(0.85),
            ),
            District::Midrise => (
                &MIDRISE,
                rng.range(3.0, 3.5),
                rng.range(2.3, 3.4),
                rng.chance(0.5),
            ),
            District::Suburb => (&SUBURB, rng.range(2.7, 3.0), rng.range(2.8, 3.8), false),
        };
        let glassy = district == District::Downtown && rng.chance(0.35);
        let side = if glassy { 0.06 } else { rng.range(0.18, 0.3) };
        let window = [
            side,
            1.0 - side,
            if glassy { 0.12 } else { rng.range(0.24, 0.34) },
            rng.range(0.78, 0.9),
        ];
        let wall = Rgb::hex(rng.pick(palette));
        Self {
            wall,
            trim: wall.mix(Rgb(0.93, 0.92, 0.9), rng.range(0.3, 0.9)),
            roof: Rgb::hex(rng.pick(&ROOFS)),
            sign: Rgb::hex(rng.pick(&SIGNS)),
            storey,
            bay,
            window,
            brick: !glassy && rng.chance(0.5),
            shops,
            seed: rng.seed(),
        }
    }
}
