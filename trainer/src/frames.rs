//! Whole frames out of shards, for pictures and features: not the training path, which the sampler
//! owns.

use std::path::Path;

use anyhow::{Context, Result};
use draw::Canvas;
use sampler::BrokenFrame;
use sampler::decode::{Decoder, Levels, Region};
use sampler::stages::{Clock, StageTimes};
use schemas::catalog::Catalog;
use schemas::filter::Filter;
use schemas::frame::FrameMeta;
use schemas::geom::{Rect, Size};
use schemas::index::{FrameIndex, LevelSlot, ShardSet};

use crate::error::usage;

/// The frames of a set, or those of them that a filter keeps, in catalog order.
pub struct Frames {
    /// The whole set's catalog.
    pub catalog: Catalog,
    /// What keeps these frames.
    pub filter: Option<Filter>,
    /// Where they lie.
    pub index: FrameIndex,
    shards: ShardSet,
}

impl Frames {
    /// Opens the set in `dir`.
    ///
    /// # Errors
    /// If there is no whole set, the filter is no SQL over its columns, or no frame passes it.
    pub fn open(dir: &Path, sql: Option<&str>) -> Result<Self> {
        if !dir.exists() {
            return Err(usage(format!(
                "no shards at {dir:?}: make them with `ingest waymo INPUT --out {}`",
                dir.display()
            )));
        }
        let catalog = Catalog::open(dir).map_err(usage)?;
        let filter = sql.map(Filter::parse).transpose().map_err(usage)?;
        let index = catalog.index(filter.as_ref()).map_err(usage)?;
        if index.is_empty() {
            return Err(usage(format!("no frame in {dir:?} passes the filter")));
        }
        Ok(Self {
            shards: ShardSet::new(&catalog),
            catalog,
            filter,
            index,
        })
    }

    /// `count` of them, or all if they are fewer, evenly spread, by their numbers in the index.
    pub fn spread(&self, count: usize) -> impl Iterator<Item = usize> {
        let (len, count) = (self.index.len(), count.clamp(1, self.index.len()));
        (0..count).map(move |i| (2 * i + 1) * len / (2 * count))
    }

    /// One of them, by its number in the index.
    pub fn stored(&self, frame: usize) -> Stored<'_> {
        Stored {
            frames: self,
            frame,
        }
    }
}

/// A frame in its shard.
#[derive(Clone, Copy)]
pub struct Stored<'a> {
    frames: &'a Frames,
    frame: usize,
}

impl Stored<'_> {
    /// Size of level 0 in pixels.
    pub fn size(&self) -> Size {
        self.frames.index.size(self.frame)
    }

    /// All of it, from the coarsest stored level that suffices for a picture whose shorter side has
    /// `min_side` pixels.
    ///
    /// # Errors
    /// [`BrokenFrame`] if its bytes are not what they were when it was ingested.
    pub fn decode<'d>(
        &self,
        decoder: &'d mut Decoder,
        min_side: u32,
    ) -> Result<Region<'d>, BrokenFrame> {
        let Size { width, height } = self.size();
        let whole = Rect::new(0, 0, width, height);
        let [region, _] = decoder.decode_pair(
            self,
            [whole; 2],
            min_side,
            false,
            &mut StageTimes::new(Clock::Off),
        )?;
        Ok(region)
    }

    /// Tells the system that it will soon be decoded for `min_side`.
    pub fn will_need(&self, min_side: u32) {
        let chosen = self.choose(self.size(), min_side, false);
        if let Some(slot) = chosen.and_then(|(level_ix, _)| self.slot(level_ix)) {
            self.frames.shards.will_need(slot);
        }
    }

    /// All of it as a picture, from the level of [`decode`](Self::decode).
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn picture(&self, decoder: &mut Decoder, min_side: u32) -> Result<Canvas, BrokenFrame> {
        let region = self.decode(decoder, min_side)?;
        // A stored level may be padded beyond its size.
        Ok(Canvas::from_rgb(region.size, region.rgb).cropped(self.size().at_level(region.level)))
    }
}

impl Levels for Stored<'_> {
    fn numbers(&self) -> &[u8] {
        self.frames.index.levels()
    }

    fn slot(&self, level_ix: usize) -> Option<LevelSlot> {
        self.frames.index.level(self.frame, level_ix)
    }

    fn bytes<'a>(&'a self, slot: LevelSlot, _buffer: &'a mut Vec<u8>) -> schemas::Result<&'a [u8]> {
        self.frames.shards.bytes(slot)
    }
}

/// The size at which a network with cells of `cell_px` pixels is shown a whole frame: about
/// `height` pixels high, in the frame's proportions, whole cells.
pub fn shown_size(frame: Size, height: i64, cell_px: i64) -> Size {
    let whole_cells = |px: f64| (px / cell_px as f64).round().max(1.0) as u32 * cell_px as u32;
    let height = height as f64;
    Size::new(
        whole_cells(height * f64::from(frame.width) / f64::from(frame.height)),
        whole_cells(height),
    )
}

/// A frame at a stored resolution.
pub struct Frame {
    /// Where and when it was taken.
    pub meta: FrameMeta,
    /// Its pixels.
    pub picture: Canvas,
}

/// `count` frames of the set, evenly spread over it, each from a level that suffices to be shown
/// `width` pixels wide.
///
/// # Errors
/// As [`Frames::open`]; if one of the frames is broken.
pub fn pick(shards: &Path, sql: Option<&str>, count: usize, width: u32) -> Result<Vec<Frame>> {
    let frames = Frames::open(shards, sql)?;
    let mut decoder = Decoder::new()?;
    let chosen = frames.spread(count);
    chosen
        .map(|frame| {
            let meta = meta_of_row(&frames.catalog, frames.index.row(frame))?;
            let min_side = u64::from(width) * u64::from(meta.size.min_side())
                / u64::from(meta.size.width.max(1));
            let picture = frames.stored(frame).picture(&mut decoder, min_side as u32);
            Ok(Frame {
                picture: picture.with_context(|| meta.frame_id.clone())?,
                meta,
            })
        })
        .collect()
}

fn meta_of_row(catalog: &Catalog, row: u32) -> Result<FrameMeta> {
    let mut first = 0;
    for batch in catalog.rows()? {
        let batch = batch?;
        if let Some(found) = batch.get(row as usize - first) {
            return Ok(found.frame.meta.clone());
        }
        first += batch.len();
    }
    anyhow::bail!("the catalog has no row {row}")
}
