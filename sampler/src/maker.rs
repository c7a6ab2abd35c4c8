//! Makes one sample: plan, decode, resize, augment, write.
//!
//! Everything a maker needs it owns, and keeps: after the first samples nothing is allocated here
//! any more. It shares only the read-only set with its siblings.

use std::sync::Arc;

use crate::cursor::Cursor;
use crate::error::{Error, FrameError, Result};
use crate::frames::fetch::{AHEAD_SAMPLES, Lookahead, is_probe};
use crate::pipeline::Make;
use crate::pipeline::slot::PlaceMut;
use crate::pixels::augment::{Workspace, apply};
use crate::pixels::decode::{Decoder, Region};
use crate::pixels::resize::{Interpolation, Resizer};
use crate::random::order::EpochOrder;
use crate::set::OpenSet;
use crate::stages::{Clock, Stage, StageTimes};

/// Broken frames in a row after which the set is given up.
const MAX_REPLACEMENTS: u32 = 100;

/// One worker's tools.
#[derive(Debug)]
pub(crate) struct Maker {
    set: Arc<OpenSet>,
    order: EpochOrder,
    decoder: Decoder,
    lookahead: Lookahead,
    resizer: Resizer,
    workspace: Workspace,
    times: StageTimes,
}

impl Maker {
    pub(crate) fn new(set: Arc<OpenSet>) -> Result<Self> {
        let side = set.config.output as usize;
        let decoder = Decoder::new().map_err(|error| Error::Io {
            action: "start a JPEG decoder",
            source: std::io::Error::other(error.to_string()),
        })?;
        Ok(Self {
            order: set.order(0),
            decoder,
            lookahead: Lookahead::default(),
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
    ) -> Result<(), FrameError> {
        let Self {
            set,
            decoder,
            lookahead,
            resizer,
            workspace,
            times,
            ..
        } = self;
        let config = &set.config;
        let (plan, meta) = set.planned(frame_ix, epoch, attempt);
        times.lap(Stage::Plan);
        if lookahead.is_cold() {
            set.advise(frame_ix, &plan.pair);
        }
        let crops = [plan.pair.a, plan.pair.b];
        let regions = decoder.decode_pair(
            &set.stored(frame_ix),
            crops,
            config.output,
            config.exact,
            times,
        )?;
        let views = plan.views.iter().zip(&config.views);
        for ((region, (ops, augment)), out) in regions.iter().zip(views).zip(&mut place.views) {
            resize(resizer, region, augment.interpolation, workspace);
            times.lap(Stage::Resize);
            apply(ops, workspace, out.reborrow(), times);
        }
        *place.meta = meta;
        times.lap(Stage::Store);
        Ok(())
    }

    /// Asks for the bytes of sample `number` of the epoch, which some worker will make soon. Only
    /// time depends on it.
    fn advise(&mut self, epoch: u64, number: u64) {
        let share = self.set.share();
        let (step, index) = (number / share.batch, number % share.batch);
        if step < share.steps(self.set.num_frames()) && !is_probe(number) {
            let frame_ix = self.order.frame_at(share.position(step, index)) as usize;
            let (plan, _) = self.set.planned(frame_ix, epoch, 0);
            self.set.advise(frame_ix, &plan.pair);
        }
    }
}

fn resize(
    resizer: &mut Resizer,
    region: &Region<'_>,
    interpolation: Interpolation,
    workspace: &mut Workspace,
) {
    let stride = region.size.width as usize * 3;
    resizer.resize(
        region.rgb,
        region.size,
        stride,
        region.crop,
        interpolation,
        &mut workspace.planes,
    );
}

impl Make for Maker {
    fn make(&mut self, at: Cursor, index: usize, mut place: PlaceMut<'_>) -> Result<()> {
        self.times.restart();
        if self.order.epoch() != at.epoch {
            self.order = self.set.order(at.epoch);
        }
        let share = self.set.share();
        let number = at.step * share.batch + index as u64;
        if self.lookahead.is_cold() {
            self.advise(at.epoch, number + AHEAD_SAMPLES);
            self.times.lap(Stage::Fetch);
        }
        let position = share.position(at.step, index as u64);
        let mut last = String::new();
        for attempt in 0..=MAX_REPLACEMENTS {
            let frame_ix = self.order.frame_at(position + u64::from(attempt)) as usize;
            match self.try_frame(frame_ix, at.epoch, attempt, &mut place) {
                Ok(()) => {
                    self.lookahead.note(number, self.decoder.last_fetch());
                    return Ok(());
                }
                Err(FrameError::Broken(broken)) => {
                    last = self.set.report_broken(frame_ix, &broken);
                }
                Err(FrameError::Set(error)) => return Err(error.into()),
            }
        }
        Err(Error::AllBroken {
            tried: MAX_REPLACEMENTS + 1,
            last,
            path: self.set.path().to_owned(),
        })
    }

    fn profile(&self) -> Option<(StageTimes, u64)> {
        (self.set.config.clock != Clock::Off)
            .then(|| (self.times.clone(), self.decoder.bytes_read()))
    }
}
