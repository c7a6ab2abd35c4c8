//! Whole frames out of shards, as the commands ask for them.

use std::path::Path;

use anyhow::{Context, Result};
use console::usage;
use draw::Canvas;
use sampler::frames::Frames;
use sampler::pixels::decode::Decoder;
use schemas::frame::FrameMeta;
use schemas::geom::Size;

/// Opens the frames of the set in `dir` that `sql` keeps.
///
/// # Errors
/// If there is no whole set, the filter is no SQL over its columns, or no frame passes it.
pub fn open(dir: &Path, sql: Option<&str>) -> Result<Frames> {
    if !dir.exists() {
        return Err(usage(format!(
            "no shards at {dir:?}: make them with `ingest waymo INPUT --out {}`",
            dir.display()
        )));
    }
    Frames::open(dir, sql).map_err(|error| match error {
        sampler::Error::Empty { .. } => usage(format!("no frame in {dir:?} passes the filter")),
        error => usage(error),
    })
}

/// The size at which a network with cells of `cell_px` pixels is shown a whole frame: about
/// `height` pixels high, in the frame's proportions, whole cells.
pub(crate) fn shown_size(frame: Size, height: i64, cell_px: i64) -> Size {
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
/// As [`open`]; if one of the frames is broken.
pub fn pick(shards: &Path, sql: Option<&str>, count: usize, width: u32) -> Result<Vec<Frame>> {
    let frames = open(shards, sql)?;
    let mut decoder = Decoder::new()?;
    let chosen: Vec<usize> = frames.spread(count).collect();
    let rows: Vec<u32> = chosen.iter().map(|&ix| frames.index().row(ix)).collect();
    let mut metas = frames.metas(&rows)?;
    let picked = chosen.iter().zip(&rows).map(|(&ix, row)| {
        let meta = metas.remove(row).context("the catalog has lost a row")?;
        let min_side =
            u64::from(width) * u64::from(meta.size.min_side()) / u64::from(meta.size.width.max(1));
        let picture = frames.stored(ix).picture(&mut decoder, min_side as u32);
        let picture = picture.with_context(|| meta.frame_id.clone())?.into();
        Ok(Frame { meta, picture })
    });
    picked.collect()
}
