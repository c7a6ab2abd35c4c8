//! What all workers read: the frames, the settings, and what both say of a sample.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use schemas::geom::Rect;

use crate::config::SamplerConfig;
use crate::error::BrokenFrame;
use crate::frames::{Frames, Stored};
use crate::meta::{CropMeta, PairMeta};
use crate::pixels::decode::Levels;
use crate::random::crop::{CropPair, box_of, overlap_in_view};
use crate::random::order::{EpochOrder, Share};
use crate::random::plan::{Plan, plan};

/// What all workers read.
#[derive(Debug)]
pub(crate) struct OpenSet {
    pub config: SamplerConfig,
    pub frames: Arc<Frames>,
    /// The last frame that was found broken, and why.
    pub last_broken: Arc<Mutex<String>>,
}

impl OpenSet {
    pub(crate) fn num_frames(&self) -> u64 {
        self.frames.index().len() as u64
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
        self.frames.catalog().dir()
    }

    pub(crate) fn stored(&self, frame_ix: usize) -> Stored<'_> {
        self.frames.stored_read(frame_ix, self.config.reading)
    }

    /// Asks the system for the levels that a pair of the frame is decoded from.
    pub(crate) fn advise(&self, frame_ix: usize, pair: &CropPair) {
        let levels = self.stored(frame_ix);
        let chosen = [pair.a, pair.b]
            .map(|crop| levels.choose(crop.size(), self.config.output, self.config.exact));
        let [first, second] =
            chosen.map(|chosen| chosen.and_then(|(level_ix, _)| levels.slot(level_ix)));
        for slot in [first, second.filter(|_| second != first)]
            .into_iter()
            .flatten()
        {
            levels.ask_for(slot);
        }
    }

    /// What to do with a frame of the index, and how a batch will describe it; `attempt` as in
    /// [`plan`].
    pub(crate) fn planned(&self, frame_ix: usize, epoch: u64, attempt: u32) -> (Plan, PairMeta) {
        let index = self.frames.index();
        let (key, frame_size) = (index.key(frame_ix), index.size(frame_ix));
        let plan = plan(&self.config, epoch, key, attempt, frame_size);
        let levels = self.stored(frame_ix);
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
        let (index, catalog) = (self.frames.index(), self.frames.catalog());
        let shard = &catalog.shards()[index.shard(frame_ix) as usize].name;
        let text = format!(
            "row {} of the catalog, in {shard}: {reason}",
            index.row(frame_ix)
        );
        tracing::warn!(frame = text, "broken frame replaced");
        self.last_broken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone_from(&text);
        text
    }
}
