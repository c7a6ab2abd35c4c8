//! Shards in, IoU-valid augmented crop pairs out.
//!
//! ```no_run
//! use sampler::{Cursor, Sampler, SamplerConfig};
//!
//! # fn main() -> Result<(), sampler::Error> {
//! let config = SamplerConfig { batch: 64, ..Default::default() };
//! let sampler = Sampler::open("shards".as_ref(), config)?;
//! let batches = sampler.start(Cursor::default())?; // endless, so take what you want
//! for batch in batches.take(100) {
//!     let batch = batch?;
//!     let first: &[u8] = batch.view(0); // RGB, [64, 224, 224, 3]
//!     println!("{} bytes, IoU of the first pair {:.2}", first.len(), batch.pairs()[0].iou);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A [`Sampler`] opens a set of shards (written by `ingest`); [`Sampler::start`] starts worker
//! threads and gives [`Batches`], an endless, ordered iterator over [`Batch`]es. A batch holds, for
//! `n` frames, two views each: RGB bytes `[n, side, side, 3]`, ready to be copied to a device, and
//! beside them where each view was cut out of its frame, whether it was flipped, and where the
//! other view lies in it. Both crops of a frame overlap with at least the asked intersection over
//! union (MultiSiam, section 3.2). [`frames`] reads whole frames of a set.
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
//! `order` says which frame comes when; [`crop`] draws its two boxes; `fetch` brings bytes into
//! memory, ahead of time when the page cache is cold; [`decode`] cuts the tiles that the boxes
//! touch out of the right stored level and decodes them; [`resize`] and [`augment`] make the views,
//! in place, in a slot of the ring (`ring`, loom-tested; `slot`; `slab`). [`stages`] measures each
//! of these.
//!
//! # Features
//!
//! `sql` (filters over the catalog), `pin` (page-locked memory) and `draw` (pictures for people)
//! are the library's; `cli` is the program `sampler`. Without any of them the library links no
//! CUDA, no SQL and no fonts.
#![deny(missing_docs)]

pub mod augment;
mod batch;
mod config;
pub mod crop;
mod cursor;
pub mod decode;
mod error;
mod fetch;
pub mod frames;
#[cfg(test)]
mod goodness;
mod maker;
mod meta;
mod order;
#[cfg(feature = "draw")]
pub mod picture;
#[cfg(feature = "pin")]
mod pinned;
mod pipeline;
pub mod plan;
mod recipe;
pub mod resize;
mod ring;
pub mod rng;
mod sampler;
mod set;
pub mod simd;
mod slab;
mod slot;
pub mod stages;
mod sync;

pub use batch::Batch;
pub use config::{PairConfig, SamplerConfig};
pub use cursor::Cursor;
pub use error::{BrokenFrame, Error, Result};
pub use fetch::Reading;
pub use meta::{CropMeta, PairMeta};
pub use order::OrderKind;
pub use pipeline::{Batches, Counters, Profile};
pub use recipe::{Recipe, ViewAugment};
pub use resize::Interpolation;
pub use sampler::Sampler;
pub use slab::Pin;
pub use slot::Pixels;
