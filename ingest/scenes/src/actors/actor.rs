//! Somebody or something in its place.

use super::kind::Kind;
use crate::camera::Vec3;

/// An actor in its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Actor {
    pub(crate) kind: Kind,
    pub(crate) x: f32,
    pub(crate) z: f32,
    /// Unit vector (x, z) that it faces.
    pub(crate) heading: [f32; 2],
    /// Metres per second along the heading.
    pub(crate) speed: f32,
    /// Decides clothes, leaves and so on: an actor looks the same in every picture of it.
    pub(crate) seed: u64,
}

impl Actor {
    /// The actor `secs` later.
    pub(crate) fn after(&self, secs: f32) -> Self {
        let way = self.speed * secs;
        Self {
            x: self.x + way * self.heading[0],
            z: self.z + way * self.heading[1],
            ..*self
        }
    }

    /// World point that lies `right` of the actor, `up` from the ground and `ahead` of it, in
    /// metres.
    pub(crate) fn point(&self, right: f32, up: f32, ahead: f32) -> Vec3 {
        let [hx, hz] = self.heading;
        [
            self.x + right * hz + ahead * hx,
            up,
            self.z - right * hx + ahead * hz,
        ]
    }
}
