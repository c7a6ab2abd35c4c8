//! Synthetic street scenes: a seed becomes pixels and labels.
//!
//! ```
//! use scenes::{Hour, Mount, Scene, Weather};
//! use schemas::geom::Size;
//!
//! let camera = Mount {
//!     size: Size::new(320, 200),
//!     focal: 300.0,
//!     horizon: 95.0,
//!     height: 1.5,
//!     yaw_degrees: 0.0,
//! };
//! let photo = Scene::new(7, Hour::Day, Weather::Rain).photograph(&camera, 2.5, 0, true);
//! assert_eq!(photo.rgba.len(), 320 * 200 * 4);
//! assert!(photo.labels.unwrap().contains(&scenes::Class::Road.id()));
//! ```
//!
//! A scene is a street with buildings, traffic, people and weather; a backdrop is cast pixel by
//! pixel, everything that stands before it is drawn with `tiny-skia`. Cameras on one car look at
//! one scene, and the seconds of a drive move through it. The same arguments give the same bytes on
//! any machine.
//!
//! What it does not do: look like a photograph to a trained network. It knows no data set, no files
//! and no command line.

#![deny(missing_docs)]

mod actors;
mod backdrop;
mod building;
mod camera;
mod canvas;
mod cast;
mod class;
mod light;
mod noise;
mod photo;
mod scene;
mod street;

pub use class::Class;
pub use light::{Hour, Weather};
pub use noise::Rng;
pub use photo::Photo;
pub use scene::{Mount, Scene};
