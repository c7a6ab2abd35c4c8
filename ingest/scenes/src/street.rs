//! The fixed part of a scene: a straight street with crossings, pavements and two rows of
//! buildings.
//!
//! The street runs along z with its middle at x = 0; traffic keeps to the right (x > 0 drives
//! towards +z). Distances are metres.

use crate::building::{Building, Row};
use crate::noise::{self, Rng};

pub(crate) use crate::building::District;

/// Width of a traffic lane.
pub(crate) const LANE: f32 = 3.4;
/// Width of a strip of parked cars.
pub(crate) const PARKING: f32 = 2.3;
/// Half the width of a crossing street.
pub(crate) const CROSSING_HALF: f32 = 5.5;
/// Street lamps stand in the middle of every stretch of this length, on both sides.
pub(crate) const LAMP_SPACING: f32 = 24.0;
/// Buildings stand between these z.
const Z_RANGE: [f32; 2] = [-70.0, 420.0];
/// Step of the tables over z.
const TABLE_STEP: f32 = 0.5;

/// The street itself.
#[derive(Clone, Debug)]
pub(crate) struct Street {
    pub(crate) district: District,
    pub(crate) lanes_per_side: u32,
    pub(crate) parking: bool,
    /// Distance of the kerb from the middle.
    pub(crate) kerb: f32,
    /// Distance of the far edge of the pavement from the middle.
    pub(crate) pavement: f32,
    /// Distance of the building fronts from the middle.
    pub(crate) fronts: f32,
    /// Two solid yellow lines in the middle rather than one dashed white one.
    pub(crate) yellow_middle: bool,
    /// Middles of the crossing streets.
    pub(crate) crossings: Vec<f32>,
    pub(crate) buildings: Vec<Building>,
    pub(crate) seed: u32,
    /// Height of what stands at each z, for x < 0 and x > 0.
    heights: [Vec<f32>; 2],
    /// Middle of the crossing nearest to each z.
    nearest_crossing: Vec<f32>,
}

/// Place of `z` in a table.
#[inline]
fn table_ix(z: f32) -> usize {
    ((z - Z_RANGE[0]) * (1.0 / TABLE_STEP)).max(0.0) as usize
}

/// The z of all places of a table.
fn table_places() -> impl Iterator<Item = f32> {
    let len = ((Z_RANGE[1] - Z_RANGE[0] + 60.0) / TABLE_STEP) as usize;
    (0..len).map(|ix| Z_RANGE[0] + ix as f32 * TABLE_STEP)
}

impl Street {
    pub(crate) fn new(rng: &Rng, district: District) -> Self {
        let mut layout = rng.fork(1);
        let lanes_per_side = if district == District::Suburb {
            1
        } else {
            layout.pick(&[1, 2, 2])
        };
        let parking = layout.chance(0.75);
        let kerb = lanes_per_side as f32 * LANE + if parking { PARKING } else { 0.4 };
        let (walk, garden) = match district {
            District::Downtown => (layout.range(3.5, 5.5), 0.0),
            District::Midrise => (layout.range(3.0, 4.5), layout.range(0.0, 2.5)),
            District::Suburb => (layout.range(2.0, 2.8), layout.range(4.0, 7.0)),
        };
        let mut crossings = Vec::new();
        let mut z = layout.range(24.0, 55.0);
        while z < Z_RANGE[1] {
            crossings.push(z);
            z += layout.range(70.0, 115.0);
        }
        let nearest = |z: f32| {
            crossings
                .iter()
                .copied()
                .min_by(|a, b| (a - z).abs().total_cmp(&(b - z).abs()))
        };
        let nearest_crossing = table_places()
            .map(|z| nearest(z).expect("the first crossing is within the range"))
            .collect();
        let mut street = Self {
            district,
            lanes_per_side,
            parking,
            kerb,
            pavement: kerb + walk,
            fronts: kerb + walk + garden,
            yellow_middle: layout.chance(0.55),
            crossings,
            buildings: Vec::new(),
            seed: layout.seed(),
            heights: [Vec::new(), Vec::new()],
            nearest_crossing,
        };
        for (side, tag) in [(-1.0, 7), (1.0, 8)] {
            street
                .buildings
                .extend(street.row(side).build(&mut rng.fork(tag)));
        }
        street.heights = [-1.0, 1.0].map(|side| street.height_table(side));
        street
    }

    fn row(&self, side: f32) -> Row {
        let corner = CROSSING_HALF + self.pavement - self.kerb + 0.5;
        let gaps = self
            .crossings
            .iter()
            .map(|c| [c - corner, c + corner])
            .collect();
        Row {
            district: self.district,
            side,
            fronts: self.fronts,
            z: Z_RANGE,
            gaps,
        }
    }

    fn height_table(&self, side: f32) -> Vec<f32> {
        table_places()
            .map(|z| {
                let here = self
                    .buildings
                    .iter()
                    .find(|b| b.x[0] * side > 0.0 && b.z[0] <= z && z < b.z[1]);
                here.map_or(0.0, |b| b.eaves + 0.5 * b.gable)
            })
            .collect()
    }

    /// Height of the front on the side of the sign of `side`, at `z`.
    fn height(&self, side: f32, z: f32) -> f32 {
        self.heights[usize::from(side > 0.0)]
            .get(table_ix(z))
            .copied()
            .unwrap_or(0.0)
    }

    /// Part of the sun's light, 0 to 1, that the buildings let through to a point between the
    /// fronts.
    #[inline]
    pub(crate) fn sun_at(&self, sun: [f32; 3], point: [f32; 3]) -> f32 {
        let side = sun[0].signum();
        let reach = (self.fronts - side * point[0]).max(0.0) / sun[0].abs();
        let over = point[1] + reach * sun[1] - self.height(side, point[2] + reach * sun[2]);
        (over * 1.5 + 0.5).clamp(0.0, 1.0)
    }

    /// How far `z` lies beyond the middle of the nearest crossing. Exact near crossings, rough
    /// half-way between two.
    #[inline]
    pub(crate) fn past_crossing(&self, z: f32) -> f32 {
        z - self.nearest_crossing[table_ix(z).min(self.nearest_crossing.len() - 1)]
    }

    /// Whether `z` lies within a crossing or its corners, widened by `margin`.
    pub(crate) fn in_crossing(&self, z: f32, margin: f32) -> bool {
        self.past_crossing(z).abs() < CROSSING_HALF + margin
    }
}

/// What covers the ground.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    Asphalt,
    Pavement,
    Kerb,
    Grass,
}

impl Street {
    /// What covers the ground at a place.
    #[inline]
    pub(crate) fn ground(&self, x: f32, z: f32) -> Ground {
        let across = x.abs();
        if across < self.kerb {
            return Ground::Asphalt;
        }
        let walk = self.pavement - self.kerb;
        let along = self.past_crossing(z).abs() - CROSSING_HALF;
        if along < 0.0 {
            return Ground::Asphalt;
        }
        if along < walk {
            let at_kerb = along < 0.18 || across < self.kerb + 0.18;
            return if at_kerb {
                Ground::Kerb
            } else {
                Ground::Pavement
            };
        }
        if across < self.kerb + 0.18 {
            Ground::Kerb
        } else if across < self.pavement || self.district == District::Downtown {
            Ground::Pavement
        } else {
            Ground::Grass
        }
    }

    /// Cover of the asphalt at a place by white and by yellow paint, 0 to 1 each. `blur` is the
    /// size of a pixel on the ground, across and along the street.
    pub(crate) fn paint(&self, x: f32, z: f32, blur: [f32; 2]) -> (f32, f32) {
        let band = |v: f32, low: f32, high: f32, width: f32| {
            (((v + 0.5 * width).min(high) - (v - 0.5 * width).max(low)) / width.max(1e-3))
                .clamp(0.0, 1.0)
        };
        let line = |at: f32| band(x, at - 0.07, at + 0.07, blur[0]);
        let past = self.past_crossing(z);
        let before = past.abs() - CROSSING_HALF;
        if before < 0.0 || x.abs() > self.kerb {
            return (0.0, 0.0);
        }
        if before < 5.2 {
            let bars = stripes(x, 1.1, 0.5, blur[0]) * band(before, 1.0, 3.8, blur[1]);
            // Traffic stops before the zebra: on the right when driving towards +z.
            let waits = (past < 0.0) == (x > 0.0);
            let stop = if waits {
                band(before, 4.5, 4.9, blur[1])
            } else {
                0.0
            };
            return (bars.max(stop), 0.0);
        }
        // Lines lie between lanes; most of the asphalt is far from any.
        let nearest = (x.abs() / LANE + 0.5) as u32;
        if (x.abs() - nearest as f32 * LANE).abs() > 0.25 + 0.5 * blur[0]
            || nearest > self.lanes_per_side
        {
            return (0.0, 0.0);
        }
        let at = nearest as f32 * LANE * x.signum();
        if nearest == 0 && self.yellow_middle {
            (0.0, (line(-0.13) + line(0.13)).min(1.0))
        } else if nearest == self.lanes_per_side {
            (line(at), 0.0)
        } else {
            (line(at) * stripes(z, 9.0, 3.0, blur[1]), 0.0)
        }
    }
}

/// Mean over a pixel of size `blur` of stripes that cover the first `width` of each `period`.
#[inline]
pub(crate) fn stripes(v: f32, period: f32, width: f32, blur: f32) -> f32 {
    let covered_up_to = |v: f32| {
        let whole = noise::floor(v / period) as f32;
        whole * width + (v - whole * period).min(width)
    };
    let blur = blur.max(1e-3);
    (covered_up_to(v + 0.5 * blur) - covered_up_to(v - 0.5 * blur)) / blur
}

#[cfg(test)]
mod tests {
    use super::*;

    fn street(district: District, seed: u64) -> Street {
        Street::new(&Rng::new(seed), district)
    }

    #[test]
    fn buildings_leave_the_street_and_its_crossings_free() {
        for seed in 0..20 {
            for district in [District::Downtown, District::Midrise, District::Suburb] {
                let street = street(district, seed);
                assert!(street.buildings.len() > 10);
                for b in &street.buildings {
                    assert!(b.x[0] >= street.pavement - 1e-3 || b.x[1] <= -street.pavement + 1e-3);
                    assert!(b.z[1] - b.z[0] > 1.0);
                    let blocked = street
                        .crossings
                        .iter()
                        .any(|c| b.z[0] < c + CROSSING_HALF && b.z[1] > c - CROSSING_HALF);
                    assert!(!blocked, "seed {seed}: a building stands in a crossing");
                }
            }
        }
    }

    #[test]
    fn stripes_average_to_their_share_and_are_sharp_close_up() {
        assert!(stripes(0.2, 1.0, 0.5, 0.0) > 0.999);
        assert!(stripes(0.7, 1.0, 0.5, 0.0) < 0.001);
        assert!((stripes(3.3, 1.0, 0.25, 100.0) - 0.25).abs() < 0.01);
    }

    #[test]
    fn noon_shade_lies_on_the_side_of_the_sun() {
        let street = street(District::Downtown, 4);
        let sun = [0.8, 0.5, 0.0];
        let z = street
            .buildings
            .iter()
            .find(|b| b.x[0] > 0.0 && b.z[0] > 0.0)
            .map(|b| 0.5 * (b.z[0] + b.z[1]));
        let z = z.expect("both sides have buildings");
        assert_eq!(street.sun_at(sun, [street.fronts - 0.5, 0.0, z]), 0.0);
        assert_eq!(street.sun_at(sun, [street.fronts - 0.5, 80.0, z]), 1.0);
    }
}
