//! What an actor can be.

use crate::class::Class;
use crate::light::Rgb;

/// What an actor is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// A motor vehicle.
    Vehicle {
        body: Body,
        paint: Rgb,
        lights: Lights,
    },
    /// Somebody on foot.
    Person {
        walks: bool,
    },
    /// Somebody on a bicycle.
    Cyclist,
    /// A parked bicycle.
    Bicycle,
    /// A tree with the given height; conifers are cones.
    Tree {
        height: f32,
        conifer: bool,
    },
    Bush,
    /// A street lamp; its arm reaches along the heading.
    Lamp,
    /// Traffic lights on a mast; its arm reaches along `arm` (x), the lights face along the
    /// heading. `state`: 0 red, 1 amber, 2 green.
    TrafficLight {
        arm: f32,
        state: u8,
    },
    Sign(SignShape),
}

/// The kinds of motor vehicles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Sedan,
    Hatchback,
    Suv,
    Van,
    Truck,
    Bus,
}

impl Body {
    /// Half width, half length and height, in metres.
    pub(crate) fn extent(self) -> [f32; 3] {
        match self {
            Self::Sedan => [0.88, 2.3, 1.45],
            Self::Hatchback => [0.86, 2.0, 1.5],
            Self::Suv => [0.95, 2.35, 1.75],
            Self::Van => [1.0, 2.6, 2.1],
            Self::Truck => [1.2, 3.6, 3.3],
            Self::Bus => [1.27, 5.6, 3.1],
        }
    }

    pub(crate) fn class(self) -> Class {
        match self {
            Self::Truck => Class::Truck,
            Self::Bus => Class::Bus,
            _ => Class::Car,
        }
    }
}

/// What a driver has switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lights {
    /// Parked.
    Off,
    /// Head and rear lamps shine in the dark and in rain.
    Driving,
    /// The same, and the rear lamps shine at any time.
    Braking,
}

/// What a traffic sign looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignShape {
    Stop,
    SpeedLimit,
    GiveWay,
    Parking,
    Crossing,
}
