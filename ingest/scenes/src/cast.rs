//! Who is in a street, and where: traffic, parked cars, people, trees, lamps, signs.
//!
//! Everyone has a plausible place: vehicles in lanes, people on pavements and zebras, lights at
//! crossings. What moves keeps its lane and speed, so a drive can be photographed at any second of
//! it.

use crate::actors::{Actor, Body, Kind, Lights, SignShape};
use crate::light::Rgb;
use crate::noise::Rng;
use crate::street::{CROSSING_HALF, District, LAMP_SPACING, LANE, PARKING, Street};

/// Actors stand between these z at the start of the drive; the drive starts at 0.
const NEAR_END: f32 = -45.0;
const FAR_END: f32 = 190.0;

/// Fills a street. `own` is where the car with the cameras drives (x), and its speed: its lane
/// stays free around it.
pub(crate) fn place(street: &Street, own: [f32; 2], rng: &Rng) -> Vec<Actor> {
    let [lane_x, speed] = own;
    let mut cast = Cast {
        street,
        lane_x,
        speed,
        seed: rng.fork(0).bits(),
        actors: Vec::new(),
    };
    cast.traffic(&mut rng.fork(1));
    cast.parked(&mut rng.fork(2));
    cast.people(&mut rng.fork(3));
    cast.trees(&mut rng.fork(4));
    cast.lamps();
    cast.corners(&mut rng.fork(5));
    cast.actors
}

/// Puts the actors of a street in their places.
struct Cast<'a> {
    street: &'a Street,
    lane_x: f32,
    speed: f32,
    /// Each actor's seed follows from this one and its number.
    seed: u64,
    actors: Vec<Actor>,
}

const AHEAD: [f32; 2] = [0.0, 1.0];
const BACK: [f32; 2] = [0.0, -1.0];

/// Unit vector across the street, towards positive x for positive `sign`.
fn across(sign: f32) -> [f32; 2] {
    [sign.signum(), 0.0]
}

/// Unit vector along the street on which traffic of a side drives.
fn driving(side: f32) -> [f32; 2] {
    if side > 0.0 { AHEAD } else { BACK }
}

impl Cast<'_> {
    fn add(&mut self, kind: Kind, x: f32, z: f32, heading: [f32; 2], speed: f32) {
        let seed = self.seed.wrapping_add(self.actors.len() as u64);
        self.actors.push(Actor {
            kind,
            x,
            z,
            heading,
            speed,
            seed,
        });
    }

    /// Cars, lorries, buses and cyclists that drive.
    fn traffic(&mut self, rng: &mut Rng) {
        let spacing = match self.street.district {
            District::Downtown => [9.0, 26.0],
            District::Midrise => [11.0, 40.0],
            District::Suburb => [18.0, 60.0],
        };
        for side in [-1.0, 1.0] {
            for lane in 0..self.street.lanes_per_side {
                let x = side * (lane as f32 + 0.5) * LANE;
                let own_lane = (x - self.lane_x).abs() < 1.0;
                let speed = if own_lane {
                    self.speed
                } else {
                    self.speed * rng.range(0.7, 1.15)
                };
                let mut z = NEAR_END + rng.range(0.0, 10.0);
                while z < FAR_END {
                    let body = self.moving_body(rng);
                    let length = body.extent()[1];
                    z += length;
                    if !(own_lane && (-13.0..11.0).contains(&z)) {
                        let kind = Kind::Vehicle {
                            body,
                            paint: paint(rng, body),
                            lights: if rng.chance(0.3) {
                                Lights::Braking
                            } else {
                                Lights::Driving
                            },
                        };
                        self.add(kind, x + rng.range(-0.25, 0.25), z, driving(side), speed);
                    }
                    z += length + rng.range(spacing[0], spacing[1]) * 0.6 + 3.0;
                }
            }
            let by_the_kerb = side * (self.street.lanes_per_side as f32 * LANE - 0.45);
            for _ in 0..3 {
                let z = rng.range(NEAR_END, 110.0);
                if rng.chance(0.75) {
                    self.add(
                        Kind::Cyclist,
                        by_the_kerb,
                        z,
                        driving(side),
                        rng.range(4.0, 5.5),
                    );
                }
            }
        }
    }

    fn moving_body(&self, rng: &mut Rng) -> Body {
        match self.street.district {
            District::Downtown => rng.pick(&[
                Body::Sedan,
                Body::Sedan,
                Body::Sedan,
                Body::Hatchback,
                Body::Hatchback,
                Body::Suv,
                Body::Suv,
                Body::Van,
                Body::Van,
                Body::Truck,
                Body::Bus,
            ]),
            District::Midrise => rng.pick(&[
                Body::Sedan,
                Body::Sedan,
                Body::Hatchback,
                Body::Hatchback,
                Body::Suv,
                Body::Suv,
                Body::Van,
                Body::Truck,
            ]),
            District::Suburb => rng.pick(&[Body::Sedan, Body::Hatchback, Body::Suv, Body::Van]),
        }
    }

    fn parked(&mut self, rng: &mut Rng) {
        if !self.street.parking {
            return;
        }
        let share = if self.street.district == District::Suburb {
            0.4
        } else {
            0.68
        };
        for side in [-1.0, 1.0] {
            let x = side * (self.street.kerb - 0.5 * PARKING);
            let mut z = NEAR_END;
            while z < FAR_END {
                z += rng.range(5.6, 6.8);
                if !self.street.in_crossing(z, 8.5) && rng.chance(share) {
                    let body = rng.pick(&[
                        Body::Sedan,
                        Body::Hatchback,
                        Body::Suv,
                        Body::Sedan,
                        Body::Van,
                    ]);
                    let kind = Kind::Vehicle {
                        body,
                        paint: paint(rng, body),
                        lights: Lights::Off,
                    };
                    self.add(kind, x + rng.range(-0.1, 0.1), z, driving(side), 0.0);
                }
            }
        }
    }

    /// People on the pavements and on the zebras.
    fn people(&mut self, rng: &mut Rng) {
        let per_metre = match self.street.district {
            District::Downtown => 0.24,
            District::Midrise => 0.13,
            District::Suburb => 0.05,
        };
        for side in [-1.0, 1.0] {
            for _ in 0..(per_metre * (FAR_END - NEAR_END)) as u32 {
                let x = side * rng.range(self.street.kerb + 0.6, self.street.pavement - 0.3);
                let z = rng.range(NEAR_END, FAR_END);
                let heading = if rng.chance(0.5) { AHEAD } else { BACK };
                let walks = rng.chance(0.82);
                let speed = if walks { rng.range(1.1, 1.5) } else { 0.0 };
                let turned = if walks { heading } else { across(-side) };
                self.add(Kind::Person { walks }, x, z, turned, speed);
                if rng.chance(0.3) {
                    self.add(
                        Kind::Person { walks },
                        x - side * 0.55,
                        z + rng.range(-0.2, 0.4),
                        turned,
                        speed,
                    );
                }
            }
        }
        let crossings: Vec<f32> = self
            .street
            .crossings
            .iter()
            .copied()
            .filter(|&c| c < FAR_END)
            .collect();
        for (crossing, zebra) in crossings.iter().flat_map(|&c| [(c, -1.0), (c, 1.0)]) {
            for _ in 0..4 {
                let z = crossing + zebra * (CROSSING_HALF + rng.range(1.4, 3.4));
                let x = rng.range(-self.street.kerb, self.street.kerb);
                let sign = rng.range(-1.0, 1.0);
                if rng.chance(0.6) {
                    self.add(
                        Kind::Person { walks: true },
                        x,
                        z,
                        across(sign),
                        rng.range(1.1, 1.5),
                    );
                }
            }
        }
    }

    fn trees(&mut self, rng: &mut Rng) {
        let (at_kerb, in_garden, bushes) = match self.street.district {
            District::Downtown => (0.4, 0.0, 0.0),
            District::Midrise => (0.75, 0.0, 0.35),
            District::Suburb => (0.3, 0.55, 0.8),
        };
        let garden = self.street.fronts - self.street.pavement;
        for side in [-1.0, 1.0] {
            let mut z = NEAR_END;
            while z < FAR_END {
                z += rng.range(6.5, 10.0);
                if self.street.in_crossing(z, 6.0) {
                    continue;
                }
                if rng.chance(at_kerb) {
                    let kind = Kind::Tree {
                        height: rng.range(5.5, 9.0),
                        conifer: false,
                    };
                    self.add(kind, side * (self.street.kerb + 0.8), z, AHEAD, 0.0);
                }
                if garden > 3.0 && rng.chance(in_garden) {
                    let conifer = rng.chance(0.3);
                    let kind = Kind::Tree {
                        height: rng.range(4.0, 9.5),
                        conifer,
                    };
                    let x = side * (self.street.pavement + rng.range(1.2, garden - 0.5));
                    self.add(kind, x, z + rng.range(-2.0, 2.0), AHEAD, 0.0);
                }
                if garden > 1.2 && rng.chance(bushes) {
                    let x = side * (self.street.pavement + rng.range(0.6, garden - 0.4));
                    self.add(Kind::Bush, x, z + rng.range(-3.0, 3.0), AHEAD, 0.0);
                }
            }
        }
    }

    fn lamps(&mut self) {
        for side in [-1.0, 1.0] {
            for stretch in -2..8 {
                let z = (stretch as f32 + 0.5) * LAMP_SPACING;
                if !self.street.in_crossing(z, 1.0) {
                    let x = side * (self.street.kerb + 0.45);
                    self.add(Kind::Lamp, x, z, across(-side), 0.0);
                }
            }
        }
    }

    /// What stands at the corners of the crossings: lights or signs, waiting cars, bicycles.
    fn corners(&mut self, rng: &mut Rng) {
        let street = self.street;
        for &crossing in street.crossings.iter().filter(|&&c| c < FAR_END) {
            let state = rng.pick(&[0, 0, 1, 2, 2]);
            for side in [-1.0, 1.0] {
                self.signs(rng, crossing, side, state);
                self.waiting(rng, crossing, side);
            }
        }
    }

    /// Traffic lights in the given state, or stop signs, and signs further back.
    fn signs(&mut self, rng: &mut Rng, crossing: f32, side: f32, state: u8) {
        let street = self.street;
        let facing = [0.0, -side];
        let x = side * (street.kerb + 0.6);
        let behind = |gap: f32| crossing - side * (CROSSING_HALF + gap);
        if street.district == District::Suburb {
            let stop = Kind::Sign(SignShape::Stop);
            self.add(stop, x, behind(4.6), facing, 0.0);
        } else {
            let arm = -side * 0.8 * street.kerb;
            let z = crossing + side * (CROSSING_HALF + 0.7);
            self.add(Kind::TrafficLight { arm, state }, x, z, facing, 0.0);
            let sign = Kind::Sign(SignShape::Crossing);
            self.add(sign, x, behind(4.2), facing, 0.0);
        }
        for _ in 0..2 {
            let shape = rng.pick(&[
                SignShape::SpeedLimit,
                SignShape::Parking,
                SignShape::GiveWay,
                SignShape::SpeedLimit,
            ]);
            let z = crossing - side * rng.range(14.0, 40.0);
            self.add(Kind::Sign(shape), x, z, facing, 0.0);
        }
    }

    /// A vehicle that waits in the side street, and parked bicycles.
    fn waiting(&mut self, rng: &mut Rng, crossing: f32, side: f32) {
        let street = self.street;
        if rng.chance(0.65) {
            let body = self.moving_body(rng);
            let kind = Kind::Vehicle {
                body,
                paint: paint(rng, body),
                lights: Lights::Braking,
            };
            let back = street.kerb + 1.2 + body.extent()[1];
            self.add(kind, side * back, crossing + side * 2.4, across(-side), 0.0);
        }
        let x = side * (street.kerb + 1.0);
        for bicycle in 0..3 {
            if street.district != District::Suburb && rng.chance(0.4) {
                let z = crossing + side * (CROSSING_HALF + 7.0 + 0.8 * bicycle as f32);
                self.add(Kind::Bicycle, x, z, across(side), 0.0);
            }
        }
    }
}

fn paint(rng: &mut Rng, body: Body) -> Rgb {
    const CARS: [u32; 12] = [
        0xe9e9e6, 0xdcdcdc, 0x1f2124, 0x2a2c30, 0x6f7378, 0xa9adb1, 0xb8bcc0, 0x8f1f22, 0x1f3f73,
        0x2f4a3a, 0x7a6a52, 0x4f6f93,
    ];
    const TRUCKS: [u32; 5] = [0xc23b2e, 0x2b5fa0, 0xe0b030, 0x3f7f5a, 0xe8e8e4];
    const BUSES: [u32; 4] = [0xb02a2a, 0xe0b52c, 0x2f6fae, 0x3c8a55];
    Rgb::hex(match body {
        Body::Truck => rng.pick(&TRUCKS),
        Body::Bus => rng.pick(&BUSES),
        _ => rng.pick(&CARS),
    })
}
