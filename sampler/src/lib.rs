//! Shards in, IoU-valid augmented crop pairs out.
//!
//! A [`Sampler`] opens a set of shards (written by `ingest`); [`Sampler::start`] starts worker
//! threads and gives [`Batches`], an endless, ordered sequence of [`Batch`]es. A batch holds, for
//! `n` frames, two views each: RGB bytes `[n, side, side, 3]`, ready to be copied to a device, and
//! beside them where each view was cut out of its frame, whether it was flipped, and where the
//! other view lies in it. Both crops of a frame overlap with at least the asked intersection over
//! union (MultiSiam, section 3.2).
//!
//! ```no_run
//! use sampler::{Cursor, Sampler, SamplerConfig};
//!
//! # fn main() -> Result<(), sampler::Error> {
//! let sampler = Sampler::open("shards".as_ref(), SamplerConfig { batch: 64, ..Default::default() })?;
//! let mut batches = sampler.start(Cursor::default())?;
//! for _step in 0..sampler.steps_per_epoch() {
//!     let batch = batches.next_batch()?;
//!     let first: &[u8] = batch.view(0); // [64, 224, 224, 3]
//!     println!("{} bytes, IoU of the first pair {:.2}", first.len(), batch.pairs()[0].iou);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//!
//! * **Content**: a batch depends on (set, filter, config, epoch, step) alone; not on threads,
//!   timing, machine, or on where the run was resumed. Randomness hangs on the frame's key, so a
//!   filter changes which frames there are, not how one is cropped.
//! * **Pixels**: of Pillow and torchvision, byte for byte ([`augment`], [`resize`]).
//! * **Cost**: per sample none of our locks, no Rust allocation and, when warm, no system call;
//!   memory is `depth` batches and at most 64 bytes a frame.
//! * **Damage**: a frame whose bytes are broken is replaced by the next of the epoch's order,
//!   counted and logged; too many of them end the run with an error.
//!
//! # How it works
//!
//! [`order`] says which frame comes when; [`crop`] draws its two boxes; `fetch` brings bytes into
//! memory, ahead of time when the page cache is cold; [`decode`] cuts the tiles that the boxes
//! touch out of the right stored level and decodes them; [`resize`] and [`augment`] make the views,
//! in place, in a slot of the ring (`ring`, loom-tested; `slot`; `slab`). [`stages`] measures each
//! of these. [`picture`] is for pictures of it all.
#![deny(missing_docs)]

pub mod augment;
mod batch;
pub mod config;
pub mod crop;
mod cursor;
pub mod decode;
mod error;
mod fetch;
#[cfg(test)]
mod goodness;
mod maker;
pub mod order;
pub mod picture;
mod pipeline;
pub mod plan;
pub mod resize;
mod ring;
pub mod rng;
mod sampler;
pub mod simd;
mod slab;
mod slot;
pub mod stages;
mod sync;

pub use batch::{Batch, CropMeta, PairMeta, Pixels};
pub use config::{PairConfig, Pin, Recipe, SamplerConfig, ViewAugment};
pub use cursor::Cursor;
pub use error::{BrokenFrame, Error, Result};
pub use fetch::Reading;
pub use order::OrderKind;
pub use pipeline::{Batches, Counters, Profile};
pub use resize::Interpolation;
pub use sampler::Sampler;
