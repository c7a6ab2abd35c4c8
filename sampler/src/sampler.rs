//! A set of shards, opened for sampling.

use std::path::Path;
use std::sync::{Arc, Mutex};

use schemas::catalog::ShardStamp;

use crate::config::SamplerConfig;
use crate::cursor::Cursor;
use crate::error::{Error, Result};
use crate::frames::Frames;
use crate::maker::Maker;
use crate::meta::PairMeta;
use crate::pipeline::{Batches, BrokenLimit, Shape, start};
use crate::random::order::mix;
use crate::set::OpenSet;

/// An opened set with its settings: knows which frames there are and where, and starts pipelines
/// over them. Cheap to clone; holds at most 64 bytes a frame, and maps shards when they are first
/// read.
#[derive(Clone, Debug)]
pub struct Sampler {
    set: Arc<OpenSet>,
}

impl Sampler {
    /// Opens the set in the folder `shards`.
    ///
    /// # Errors
    /// [`Error::Config`] for a setting outside its range, [`Error::Shards`] if the set cannot be
    /// read or the filter not be evaluated, [`Error::Empty`] and [`Error::TooFewFrames`] if there
    /// is not one batch in it.
    pub fn open(shards: &Path, config: SamplerConfig) -> Result<Self> {
        config.validate()?;
        let frames = Frames::open(shards, config.filter.as_deref())?;
        Self::new(Arc::new(frames), Arc::default(), config)
    }

    /// As [`open`](Self::open), but draws from the shards of `stamps` alone
    /// ([`Frames::stamps`]): the batches are those from before others were added to the set.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`Error::Shards`] too if one of these shards has changed.
    pub fn open_for(shards: &Path, config: SamplerConfig, stamps: &[ShardStamp]) -> Result<Self> {
        config.validate()?;
        let frames = Frames::open_for(shards, config.filter.as_deref(), stamps)?;
        Self::new(Arc::new(frames), Arc::default(), config)
    }

    /// The same set with other settings. Unless the filter changes, nothing is read again.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn with_config(&self, config: SamplerConfig) -> Result<Self> {
        config.validate()?;
        let OpenSet {
            frames,
            last_broken,
            ..
        } = &*self.set;
        let filter = config.filter.as_deref();
        if filter == frames.filter() {
            return Self::new(Arc::clone(frames), Arc::clone(last_broken), config);
        }
        let frames = frames.filtered(filter)?;
        Self::new(Arc::new(frames), Arc::default(), config)
    }

    fn new(
        frames: Arc<Frames>,
        last_broken: Arc<Mutex<String>>,
        config: SamplerConfig,
    ) -> Result<Self> {
        if config.exact && frames.index().levels().first() != Some(&0) {
            let allowed = "false for this set, which holds no level 0".to_owned();
            return Err(Error::Config {
                field: "exact",
                found: "true".to_owned(),
                allowed,
            });
        }
        let num_frames = frames.index().len() as u64;
        let (batch, world) = (config.batch, config.world);
        if num_frames < batch as u64 * u64::from(world) {
            return Err(Error::TooFewFrames {
                batch,
                world,
                frames: num_frames,
            });
        }
        Ok(Self {
            set: Arc::new(OpenSet {
                config,
                frames,
                last_broken,
            }),
        })
    }

    /// Frames that pass the filter.
    pub fn num_frames(&self) -> u64 {
        self.set.num_frames()
    }

    /// Batches in an epoch; the same on every rank.
    pub fn steps_per_epoch(&self) -> u64 {
        self.set.share().steps(self.num_frames())
    }

    /// A number that names the frames: shards and filter. With the same number and config, a cursor
    /// means the same.
    pub fn fingerprint(&self) -> u64 {
        self.with_filter(self.set.frames.fingerprint())
    }

    /// A number that names catalog and filter: what stood for the frames before checkpoints listed
    /// shards.
    pub fn catalog_fingerprint(&self) -> u64 {
        self.with_filter(self.set.frames.catalog().file_fingerprint())
    }

    fn with_filter(&self, frames: u64) -> u64 {
        let filter = self.set.frames.filter().unwrap_or_default();
        filter
            .bytes()
            .fold(mix(frames), |hash, byte| mix(hash ^ u64::from(byte)))
    }

    /// The settings it was opened with.
    pub fn config(&self) -> &SamplerConfig {
        &self.set.config
    }

    /// The frames that pass the filter: their catalog, and each as a whole picture.
    pub fn frames(&self) -> &Frames {
        &self.set.frames
    }

    /// Starts the workers; the first batch is the one at `from`.
    ///
    /// # Errors
    /// [`Error::Cursor`] if `from` lies behind the end of its epoch, [`Error::Io`] if there is not
    /// enough memory for the slots or a thread does not start.
    pub fn start(&self, from: Cursor) -> Result<Batches> {
        let steps = self.steps_per_epoch();
        if from.step >= steps {
            return Err(Error::Cursor {
                step: from.step,
                steps,
            });
        }
        let config = self.config();
        let shape = Shape {
            depth: config.depth,
            batch: config.batch,
            output: config.output,
            pixels: config.pixels,
            pin: config.pin,
            steps,
        };
        let makers: Result<Vec<Maker>> = (0..config.num_threads())
            .map(|_| Maker::new(Arc::clone(&self.set)))
            .collect();
        let limit = BrokenLimit {
            share: config.max_broken,
            last: Arc::clone(&self.set.last_broken),
            path: self.set.path().to_owned(),
        };
        start(shape, makers?, from, limit)
    }

    /// The pairs of the batch at `at`, as [`Batch::pairs`](crate::Batch::pairs) would list them
    /// were no frame broken; nothing is decoded.
    pub fn planned(&self, at: Cursor) -> Vec<PairMeta> {
        let mut order = self.set.order(at.epoch);
        let share = self.set.share();
        let pair = |index| {
            self.set
                .planned(
                    order.frame_at(share.position(at.step, index)) as usize,
                    at.epoch,
                    0,
                )
                .1
        };
        (0..share.batch).map(pair).collect()
    }
}
