//! Which cell of one view's map belongs to which cell of the other's (paper, section 3.2, "Feature
//! misalignment").
//!
//! First the flip of the augmentation is undone on the projected map ([`flip_back`]). Then either
//! both maps are resampled on the overlap of their crops ([`roi_align`]), or the online map is told how
//! far away its partner is ([`offset_map`]).
//!
//! Crops are `[n, 4]` tensors x, y, w, h in frame pixels. No gradient reaches them.

mod flip;
mod grid;
mod offset;
mod roi;

pub use flip::flip_back;
pub use offset::{CoordMode, OffsetUnit, Ruler, offset_map};
pub use roi::{Sampling, overlap_box, roi_align};
