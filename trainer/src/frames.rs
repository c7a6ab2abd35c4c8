//! Whole frames out of shards, for pictures: not the training path, which the sampler owns.

use std::path::Path;

use anyhow::{Context, Result};
use sampler::draw::Canvas;
use schemas::catalog::Catalog;
use schemas::filter::Filter;
use schemas::frame::FrameMeta;
use schemas::geom::Size;
use schemas::index::{FrameIndex, LevelSlot, ShardSet};
use turbojpeg::PixelFormat;

use crate::error::usage;

/// A frame at a stored resolution.
pub struct Frame {
    /// Where and when it was taken.
    pub meta: FrameMeta,
    /// Its pixels.
    pub picture: Canvas,
}

/// `count` frames of the set, evenly spread over it, each from its smallest level that is at least `width` pixels wide.
pub fn pick(shards: &Path, sql: Option<&str>, count: usize, width: u32) -> Result<Vec<Frame>> {
    if !shards.exists() {
        return Err(usage(format!(
            "no shards at {shards:?}: make them with `ingest waymo INPUT --out {}`",
            shards.display()
        )));
    }
    let catalog = Catalog::open(shards)?;
    let filter = sql.map(Filter::parse).transpose()?;
    let index = catalog.index(filter.as_ref())?;
    if index.is_empty() {
        return Err(usage(format!("no frame in {shards:?} passes the filter")));
    }
    let count = count.clamp(1, index.len());
    let set = ShardSet::new(&catalog);
    let chosen = (0..count).map(|i| (2 * i + 1) * index.len() / (2 * count));
    chosen
        .map(|frame| {
            let meta = meta_of_row(&catalog, index.row(frame))?;
            let picture = decode(&set, &index, frame, width).with_context(|| meta.frame_id.clone())?;
            Ok(Frame { meta, picture })
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

fn decode(set: &ShardSet, index: &FrameIndex, frame: usize, width: u32) -> Result<Canvas> {
    let size = index.size(frame);
    let stored = index.levels().iter().enumerate();
    let stored: Vec<(u8, LevelSlot)> =
        stored.filter_map(|(level_ix, level)| Some((*level, index.level(frame, level_ix)?))).collect();
    let wide_enough = |level: u8| size.width.div_ceil(1 << level) >= width;
    let (level, slot) = stored
        .iter()
        .rev()
        .find(|(level, _)| wide_enough(*level))
        .or(stored.first())
        .context("the frame has no stored level")?;
    let image = turbojpeg::decompress(set.bytes(*slot)?, PixelFormat::RGB)?;
    // A stored level may be padded beyond its size.
    let (w, h) = (size.width.div_ceil(1 << level) as usize, size.height.div_ceil(1 << level) as usize);
    let rows = image.pixels.chunks_exact(image.pitch).take(h);
    let rgb: Vec<u8> = rows.flat_map(|row| &row[..3 * w]).copied().collect();
    Ok(Canvas::from_rgb(Size::new(w as u32, h as u32), &rgb))
}
