//! Street scenes with a label for every pixel: what `trainer probe` and `trainer transfer` measure
//! on.
//!
//! [`classes`] are the 19 of Cityscapes, [`dataset`] finds images and their labels in the layouts
//! that people have, [`confusion`] counts and makes mIoU of it, [`picture`] shows predictions
//! beside labels.

pub mod classes;
pub mod confusion;
pub mod dataset;
pub mod picture;

pub use classes::{IGNORED, NUM_CLASSES};
pub use confusion::Confusion;
pub use dataset::{Dataset, Pair};
