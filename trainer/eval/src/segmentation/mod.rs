//! Street scenes with a label for every pixel: what probe and transfer measure on.
//!
//! `classes` are the 19 of Cityscapes, `dataset` finds images and their labels in the layouts that
//! people have, `confusion` counts and makes mIoU of it, `picture` shows predictions beside labels.

mod classes;
mod confusion;
mod dataset;
mod picture;

pub(crate) use classes::{IGNORED, NUM_CLASSES};
pub(crate) use confusion::Confusion;
pub use confusion::Scores;
pub use dataset::{Dataset, Labelled};
pub use picture::{Row, save};
