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
//! * **Pixels**: of Pillow and torchvision, byte for byte ([`pixels`]).
//! * **Cost**: per sample none of our locks, no Rust allocation and, when warm, one system call for
//!   each level that is read (none if shards are mapped); memory is `depth` batches and at most 64
//!   bytes a frame. Should a set have more shards than half of the files that the process may open,
//!   they share these, with a lock for each.
//! * **Damage**: a frame whose bytes are broken is replaced by the next of the epoch's order,
//!   counted and logged; too many of them end the run with an error. A shard that cannot be read any
//!   more ends it at once.
//! * **Growth**: a set may be added to while it is read. [`Sampler::open_for`] draws from the shards
//!   that there were.
//!
//! # How it works
//!
//! [`random`] says which frame comes when and draws its two boxes. [`frames`] brings bytes into
//! memory, ahead of time when the page cache is cold. [`pixels`] cuts the tiles that the boxes
//! touch out of the right stored level, decodes them and makes the views, in place, in a slot of
//! the ring (`pipeline`; the ring is loom-tested). [`stages`] measures each of these.
//!
//! # Features
//!
//! `sql` (filters over the catalog), `pin` (page-locked memory) and `draw` (pictures for people)
//! are the library's; `cli` is the program `sampler`. Without any of them the library links no
//! CUDA, no SQL and no fonts.
#![deny(missing_docs)]

mod batch;
mod config;
mod cursor;
mod error;
pub mod frames;
mod maker;
mod meta;
#[cfg(feature = "draw")]
pub mod paint;
mod pipeline;
pub mod pixels;
pub mod random;
mod recipe;
mod sampler;
mod set;
pub mod stages;

pub use batch::Batch;
pub use config::{PairConfig, PixelFormat, SamplerConfig};
pub use cursor::Cursor;
pub use error::{BrokenFrame, Error, FrameError, Result};
pub use frames::fetch::Reading;
pub use meta::{CropMeta, PairMeta};
pub use pipeline::slab::Pin;
pub use pipeline::{Batches, Counters, Profile, WORKER_NAME};
pub use pixels::resize::Interpolation;
pub use random::order::OrderKind;
pub use recipe::{Recipe, ViewAugment};
pub use sampler::Sampler;
