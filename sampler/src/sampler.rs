//! A set of shards, opened for sampling.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use schemas::catalog::Catalog;
use schemas::filter::Filter;
use schemas::geom::{Rect, Size};
use schemas::index::{FrameIndex, LevelSlot};

use crate::batch::{CropMeta, PairMeta};
use crate::config::SamplerConfig;
use crate::crop::{CropPair, box_of, overlap_in_view};
use crate::cursor::Cursor;
use crate::decode::{Decoder, Levels};
use crate::error::{BrokenFrame, Error, Result};
use crate::fetch::{Reading, Shards};
use crate::maker::Maker;
use crate::order::{EpochOrder, Share, mix};
use crate::pipeline::{Batches, BrokenLimit, Shape, start};
use crate::plan::{Plan, plan};
use crate::stages::{Clock, StageTimes};
use draw::Canvas;

/// An opened set with its settings: knows which frames there are and where, and starts pipelines
/// over them. Cheap to clone; holds at most 64 bytes a frame, and maps shards when they are first
/// read.
#[derive(Clone, Debug)]
pub struct Sampler {
    set: Arc<OpenSet>,
}

/// What all workers read.
#[derive(Debug)]
pub(crate) struct OpenSet {
    pub config: SamplerConfig,
    frames: Arc<Frames>,
}

/// Which frames there are, whatever is done with them.
#[derive(Debug)]
struct Frames {
    index: FrameIndex,
    filter: Option<String>,
    shards: Shards,
    catalog: Catalog,
    path: PathBuf,
    /// The last frame that was found broken, and why.
    last_broken: Arc<Mutex<String>>,
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
        let catalog = Catalog::open(shards)?;
        Self::new(
            Arc::new(Frames::new(catalog, config.filter.clone(), shards)?),
            config,
        )
    }

    /// The same set with other settings. Unless the filter changes, nothing is read again.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn with_config(&self, config: SamplerConfig) -> Result<Self> {
        config.validate()?;
        let frames = &self.set.frames;
        if config.filter == frames.filter {
            return Self::new(Arc::clone(frames), config);
        }
        let filter = config.filter.clone();
        Self::new(
            Arc::new(Frames::new(frames.catalog.clone(), filter, &frames.path)?),
            config,
        )
    }

    fn new(frames: Arc<Frames>, config: SamplerConfig) -> Result<Self> {
        if config.exact && frames.index.levels().first() != Some(&0) {
            let allowed = "false for this set, which holds no level 0".to_owned();
            return Err(Error::Config {
                field: "exact",
                found: "true".to_owned(),
                allowed,
            });
        }
        let num_frames = frames.index.len() as u64;
        let (batch, world) = (config.batch, config.world);
        if num_frames < batch as u64 * u64::from(world) {
            return Err(Error::TooFewFrames {
                batch,
                world,
                frames: num_frames,
            });
        }
        Ok(Self {
            set: Arc::new(OpenSet { config, frames }),
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

    /// A number that names the frames: set and filter. With the same number and config, a cursor
    /// means the same.
    pub fn fingerprint(&self) -> u64 {
        let frames = &self.set.frames;
        let filter = frames.filter.as_deref().unwrap_or_default();
        filter
            .bytes()
            .fold(mix(frames.catalog.fingerprint()), |hash, byte| {
                mix(hash ^ u64::from(byte))
            })
    }

    /// The settings it was opened with.
    pub fn config(&self) -> &SamplerConfig {
        &self.set.config
    }

    /// The catalog of the set, for names and places of frames.
    pub fn catalog(&self) -> &Catalog {
        &self.set.frames.catalog
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
        let frames = &self.set.frames;
        let last = Arc::clone(&frames.last_broken);
        let limit = BrokenLimit {
            share: config.max_broken,
            last,
            path: frames.path.clone(),
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

    /// A whole frame, by its row in the catalog ([`PairMeta::frame`](crate::PairMeta)), from the
    /// coarsest stored level whose sides are at least `min_side` pixels.
    ///
    /// # Errors
    /// [`BrokenFrame`] if it is not among the frames of this sampler or does not decode.
    pub fn picture(&self, row: u32, min_side: u32) -> Result<Canvas, BrokenFrame> {
        let index = &self.set.frames.index;
        let frame_ix = (0..index.len())
            .find(|&ix| index.row(ix) == row)
            .ok_or(BrokenFrame::Unknown { row })?;
        let Size { width, height } = index.size(frame_ix);
        let whole = Rect::new(0, 0, width, height);
        let mut decoder = Decoder::new()?;
        let mut times = StageTimes::new(Clock::Off);
        let levels = self.set.levels(frame_ix);
        let [region, _] = decoder.decode_pair(&levels, [whole; 2], min_side, false, &mut times)?;
        let picture = Canvas::from_rgb(region.size, region.rgb);
        Ok(picture.cropped(Size::new(width, height).at_level(region.level)))
    }
}

impl Frames {
    fn new(catalog: Catalog, filter: Option<String>, path: &Path) -> Result<Self> {
        let parsed = filter.as_deref().map(Filter::parse).transpose()?;
        let index = catalog.index(parsed.as_ref())?;
        if index.is_empty() {
            let detail = match &filter {
                Some(sql) => format!(
                    "none of its {} frames passes --where {sql:?}",
                    catalog.num_frames()
                ),
                None => "the set is empty".to_owned(),
            };
            return Err(Error::Empty {
                detail,
                path: path.to_owned(),
            });
        }
        let shards = Shards::new(&catalog);
        Ok(Self {
            index,
            filter,
            shards,
            catalog,
            path: path.to_owned(),
            last_broken: Arc::default(),
        })
    }
}

impl OpenSet {
    pub(crate) fn num_frames(&self) -> u64 {
        self.frames.index.len() as u64
    }

    pub(crate) fn share(&self) -> Share {
        let SamplerConfig {
            batch, rank, world, ..
        } = self.config;
        Share {
            batch: batch as u64,
            rank: rank.into(),
            world: world.into(),
        }
    }

    pub(crate) fn order(&self, epoch: u64) -> EpochOrder {
        EpochOrder::new(
            self.config.order,
            self.config.seed,
            epoch,
            self.num_frames(),
        )
    }

    pub(crate) fn path(&self) -> &Path {
        &self.frames.path
    }

    pub(crate) fn levels(&self, frame_ix: usize) -> FrameLevels<'_> {
        FrameLevels {
            frames: &self.frames,
            frame_ix,
            reading: self.config.reading,
        }
    }

    /// Asks the system for the levels that a pair of the frame is decoded from.
    pub(crate) fn advise(&self, frame_ix: usize, pair: &CropPair) {
        let levels = self.levels(frame_ix);
        let chosen = [pair.a, pair.b]
            .map(|crop| levels.choose(crop.size(), self.config.output, self.config.exact));
        let [first, second] =
            chosen.map(|chosen| chosen.and_then(|(level_ix, _)| levels.slot(level_ix)));
        for slot in [first, second.filter(|_| second != first)]
            .into_iter()
            .flatten()
        {
            self.frames.shards.will_need(self.config.reading, slot);
        }
    }

    /// What to do with a frame of the index, and how a batch will describe it; `attempt` as in
    /// [`plan`].
    pub(crate) fn planned(&self, frame_ix: usize, epoch: u64, attempt: u32) -> (Plan, PairMeta) {
        let index = &self.frames.index;
        let (key, frame_size) = (index.key(frame_ix), index.size(frame_ix));
        let plan = plan(&self.config, epoch, key, attempt, frame_size);
        let levels = self.levels(frame_ix);
        let crop_meta = |crop: Rect, other: Rect, view_ix: usize| CropMeta {
            crop_in_frame: box_of(crop),
            overlap_in_view: overlap_in_view(crop, other),
            flip: plan.views[view_ix].flip,
            level: levels
                .choose(crop.size(), self.config.output, self.config.exact)
                .map_or(0, |(_, level)| level),
        };
        let CropPair {
            a,
            b,
            iou,
            tries,
            fell_back,
        } = plan.pair;
        let meta = PairMeta {
            key,
            frame: index.row(frame_ix),
            frame_size,
            iou: iou as f32,
            tries: tries as u16, // `max_tries` fits
            fell_back,
            replaced: attempt as u16,
            crops: [crop_meta(a, b, 0), crop_meta(b, a, 1)],
        };
        (plan, meta)
    }

    /// Notes that a frame is broken, and says which. Cold path.
    pub(crate) fn report_broken(&self, frame_ix: usize, reason: &BrokenFrame) -> String {
        let Frames {
            index,
            catalog,
            last_broken,
            ..
        } = &*self.frames;
        let shard = &catalog.shards()[index.shard(frame_ix) as usize].name;
        let text = format!(
            "row {} of the catalog, in {shard}: {reason}",
            index.row(frame_ix)
        );
        tracing::warn!(frame = text, "broken frame replaced");
        last_broken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone_from(&text);
        text
    }
}

/// One frame of the set, as the decoder wants it.
#[derive(Clone, Copy)]
pub(crate) struct FrameLevels<'a> {
    frames: &'a Frames,
    frame_ix: usize,
    reading: Reading,
}

impl Levels for FrameLevels<'_> {
    fn numbers(&self) -> &[u8] {
        self.frames.index.levels()
    }

    fn slot(&self, level_ix: usize) -> Option<LevelSlot> {
        self.frames.index.level(self.frame_ix, level_ix)
    }

    fn bytes<'a>(&'a self, slot: LevelSlot, buffer: &'a mut Vec<u8>) -> schemas::Result<&'a [u8]> {
        self.frames.shards.bytes(self.reading, slot, buffer)
    }
}
