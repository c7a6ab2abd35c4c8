//! Street scenes with a label for every pixel: what probe and transfer measure on.
//!
//! `classes` are the 19 of Cityscapes, `layout` finds images and their labels where people have them,
//! `labels` reads what a label picture says, `dataset` is a split of both, `confusion` counts and makes
//! mIoU of it, `picture` shows predictions beside labels.

mod classes;
mod confusion;
mod dataset;
mod labels;
mod layout;
mod picture;

pub(crate) use classes::{IGNORED, NUM_CLASSES};
pub(crate) use confusion::Confusion;
pub use confusion::Scores;
pub use dataset::{Dataset, Labelled, Unlabelled};
pub use picture::{Row, save};
