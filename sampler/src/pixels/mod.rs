//! Pixels: stored tiles to an augmented view.
//!
//! [`decode`] cuts the tiles that both crops of a frame touch out of a stored level, [`resize`]
//! makes a view of each crop, [`augment`] changes its colours and writes it to its slot. [`simd`]
//! chooses the instructions of the last two.

pub mod augment;
pub mod decode;
pub mod resize;
pub mod simd;
