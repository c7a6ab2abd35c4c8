//! Makes one sample: plan, decode, resize, augment, write.
//!
//! Everything a maker needs it owns, and keeps: after the first samples nothing is allocated here any more. It shares
//! only the read-only set with its siblings.

use std::sync::Arc;

use crate::augment::{Workspace, apply};
use crate::cursor::Cursor;
use crate::decode::{Decoder, Region};
use crate::error::{BrokenFrame, Error, Result};
use crate::order::EpochOrder;
use crate::pipeline::Make;
use crate::resize::Resizer;
use crate::sampler::OpenSet;
use crate::slot::PlaceMut;
use crate::stages::{Clock, Stage, StageTimes};

/// Broken frames in a row after which the set is given up.
const MAX_REPLACEMENTS: u32 = 100;

/// One worker's tools.
#[derive(Debug)]
pub(crate) struct Maker {
    set: Arc<OpenSet>,
    order: EpochOrder,
    decoder: Decoder,
    resizer: Resizer,
    workspace: Workspace,
    times: StageTimes,
}

impl Maker {
    pub fn new(set: Arc<OpenSet>) -> Result<Self> {
        let side = set.config.output as usize;
        let decoder = Decoder::new().map_err(|error| Error::Io {
            action: "start a JPEG decoder",
            source: std::io::Error::other(error.to_string()),
        })?;
        Ok(Self {
            order: set.order(0),
            decoder,
            resizer: Resizer::new(),
            workspace: Workspace::new(side),
            times: StageTimes::new(set.config.clock),
            set,
        })
    }

    /// Tries one frame of the index.
    fn try_frame(
        &mut self,
        frame_ix: usize,
        epoch: u64,
        attempt: u32,
        place: &mut PlaceMut<'_>,
    ) -> Result<(), BrokenFrame> {
        let Self { set, decoder, resizer, workspace, times, .. } = self;
        let config = &set.config;
        let (plan, meta) = set.planned(frame_ix, epoch, attempt);
        times.lap(Stage::Plan);
        let crops = [plan.pair.a, plan.pair.b];
        let regions = decoder.decode_pair(&set.levels(frame_ix), crops, config.output, config.exact, times)?;
        for ((region, ops), out) in regions.iter().zip(&plan.views).zip(&mut place.views) {
            resize(resizer, region, workspace);
            times.lap(Stage::Resize);
            apply(ops, workspace, out, times);
        }
        *place.meta = meta;
        times.lap(Stage::Store);
        Ok(())
    }
}

fn resize(resizer: &mut Resizer, region: &Region<'_>, workspace: &mut Workspace) {
    let stride = region.size.width as usize * 3;
    resizer.resize(region.rgb, region.size, stride, region.crop, &mut workspace.planes);
}

impl Make for Maker {
    fn make(&mut self, at: Cursor, index: usize, mut place: PlaceMut<'_>) -> Result<()> {
        self.times.restart();
        if self.order.epoch() != at.epoch {
            self.order = self.set.order(at.epoch);
        }
        let position = self.set.share().position(at.step, index as u64);
        let mut last = String::new();
        for attempt in 0..=MAX_REPLACEMENTS {
            let frame_ix = self.order.frame_at(position + u64::from(attempt)) as usize;
            match self.try_frame(frame_ix, at.epoch, attempt, &mut place) {
                Ok(()) => return Ok(()),
                Err(broken) => last = self.set.report_broken(frame_ix, &broken),
            }
        }
        Err(Error::AllBroken { tried: MAX_REPLACEMENTS + 1, last, path: self.set.path().to_owned() })
    }

    fn profile(&self) -> Option<(StageTimes, u64)> {
        (self.set.config.clock != Clock::Off).then(|| (self.times.clone(), self.decoder.bytes_read()))
    }
}
