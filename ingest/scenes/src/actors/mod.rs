//! What moves or stands in the street, and where.

mod actor;
mod furniture;
mod hull;
mod illumination;
mod kind;
mod people;
mod tree;
mod vehicle;

use crate::canvas::Canvas;
use crate::street::Street;
use illumination::Illumination;

pub(crate) use actor::Actor;
pub(crate) use kind::{Body, Kind, Lights, SignShape};

/// Draws an actor and its shadow.
pub(crate) fn draw(actor: &Actor, canvas: &mut Canvas, street: &Street) {
    let lit = Illumination::at(actor, canvas.light, street);
    match actor.kind {
        Kind::Vehicle {
            body,
            paint,
            lights,
        } => vehicle::draw(actor, body, paint, lights, canvas, &lit),
        Kind::Person { walks } => people::pedestrian(actor, walks, canvas, &lit),
        Kind::Cyclist => people::cyclist(actor, canvas, &lit),
        Kind::Bicycle => people::bicycle(actor, canvas, &lit),
        Kind::Tree { height, conifer } => tree::draw(actor, height, conifer, canvas, &lit),
        Kind::Bush => tree::bush(actor, canvas, &lit),
        Kind::Lamp => furniture::lamp(actor, canvas, &lit),
        Kind::TrafficLight { arm, state } => {
            furniture::traffic_light(actor, arm, state, canvas, &lit)
        }
        Kind::Sign(shape) => furniture::sign(actor, shape, canvas, &lit),
    }
}
