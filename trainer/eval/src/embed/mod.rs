//! A feature of every frame, for search and curation.
//!
//! A frame is shown whole, at a given height, in whole cells of the backbone's last map; its
//! feature is the mean over the cells of that map (C5), 32-bit floats. Batch norms use their
//! running statistics. Pictures are decoded on all cores, ahead of the network; frames of one size
//! pass through it together, as many at a time in every case, so that a feature does not depend on
//! which other frames are asked for.
//!
//! Memory is that of a row group's features, a few batches of pictures, and the index of the set
//! (56 bytes a frame). A frame whose bytes are damaged has no feature (null) and is counted; a disk
//! that fails ends the command.

mod pictures;
mod table;

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use console::{HumanDuration, Progress, usage};
use model::device::normalised;
use model::files::weights::{Backbone, Weights};
use native::torch;
use serde::Serialize;
use tch::{Device, Kind, Tensor, no_grad};

use crate::frames;
use pictures::{Pictures, Shown};
use table::{Features, Note, Table};

/// The bar on a terminal.
const BAR: &str = "{bar:24} {pos}/{len}  {msg}";

/// Which frames, seen by which backbone.
pub struct Request<'a> {
    /// The backbone.
    pub weights: &'a Weights,
    /// Folder of shards.
    pub shards: &'a Path,
    /// SQL filter over the catalog's columns.
    pub filter: Option<&'a str>,
    /// The Parquet file to write; an earlier one is replaced.
    pub out: &'a Path,
    /// Height of the frames as the backbone sees them, in pixels; widths follow, in whole cells.
    pub height: i64,
    /// Frames that pass through the backbone together.
    pub batch: NonZeroUsize,
    /// Where it computes.
    pub device: Device,
}

/// What was written.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The file.
    pub file: String,
    /// Where the weights come from.
    pub weights: String,
    /// Number of rows.
    pub frames: usize,
    /// Frames without a feature.
    pub broken: usize,
    /// Values of a feature.
    pub channels: i64,
    /// Height of the frames as the backbone saw them, before it was rounded to whole cells.
    pub height: i64,
    /// Size of the file.
    pub bytes: u64,
    /// Duration.
    pub seconds: f64,
    /// Frames a second.
    pub frames_per_s: f64,
}

/// Writes a feature of every frame.
///
/// # Errors
/// If the set cannot be read, the weights do not fit, or the file cannot be written.
pub fn embed(request: &Request<'_>) -> Result<Report> {
    let started = Instant::now();
    let Request {
        weights,
        height,
        device,
        ..
    } = *request;
    let cell_px = weights.model.cell_px();
    if height < cell_px {
        return Err(usage(format!(
            "--height {height}: a cell of this backbone has {cell_px} pixels"
        )));
    }
    let frames = frames::open(request.shards, request.filter)?;
    let backbone = weights.build(&weights.model, device)?;
    let note = Note {
        weights: weights.origin.clone(),
        height_px: height,
    };
    let channels = weights.model.arch.channels();
    let table = Table::create(request.out, channels, &note)?;

    let pictures = Pictures {
        frames: &frames,
        height,
        cell_px,
        batch: request.batch.get(),
    };
    let (bytes, broken) = fill(table, &pictures, &Network { backbone, device })?;
    let (seconds, num_frames) = (started.elapsed().as_secs_f64(), frames.index().len());
    Ok(Report {
        file: request.out.display().to_string(),
        weights: note.weights,
        frames: num_frames,
        broken,
        channels,
        height,
        bytes,
        seconds,
        frames_per_s: num_frames as f64 / seconds,
    })
}

/// Writes all row groups; returns the size of the file and the number of broken frames.
fn fill(mut table: Table, pictures: &Pictures<'_>, network: &Network) -> Result<(u64, usize)> {
    let frames = pictures.frames;
    let (mut done, mut broken) = (0, 0);
    let mut progress = Progress::new(BAR, 0, frames.index().len() as u64).with_tick();
    thread::scope(|scope| {
        let decoded = pictures.decode_ahead(scope);
        for ids in table::ids(frames.catalog(), frames.selection())? {
            let ids = ids?;
            let mut features = Features::new(done, ids.num_rows(), network.channels());
            while features.num_missing() > 0 {
                network.embed(&next(&decoded)?, &mut features)?;
                show(
                    &mut progress,
                    (done + ids.num_rows() - features.num_missing()) as u64,
                );
            }
            for (row, reason) in features.broken() {
                progress.note(&format!(
                    "broken: {}: {reason}",
                    table::frame_id(&ids, *row)
                ));
            }
            done += ids.num_rows();
            broken += features.broken().len();
            table.write(&ids, features)?;
        }
        progress.leave();
        if broken > 0 {
            let set = frames.catalog().dir().display();
            progress.note(&format!(
                "{broken} broken frames have no feature; run `ingest verify {set}`"
            ));
        }
        Ok((table.finish()?, broken))
    })
}

/// Says how many frames are done, and how long the rest will take.
fn show(progress: &mut Progress, done: u64) {
    let per_s = done as f64 / progress.elapsed().as_secs_f64();
    let len = progress.len();
    let eta = Duration::from_secs_f64((len - done.min(len)) as f64 / per_s.max(1e-3));
    let text = format!("frames  {per_s:.1} frames/s  ETA {}", HumanDuration(eta));
    progress.show(done, || text.clone(), |_| format!("{done}/{len}  {text}"));
}

fn next(decoded: &Receiver<Result<Shown>>) -> Result<Shown> {
    decoded
        .recv()
        .context("the decoding threads have stopped")?
}

/// A backbone, and where it computes.
struct Network {
    backbone: Backbone,
    device: Device,
}

impl Network {
    fn channels(&self) -> usize {
        self.backbone.net.arch().channels() as usize
    }

    /// Gives the frames of a batch their features.
    fn embed(&self, shown: &Shown, features: &mut Features) -> Result<()> {
        let (height, width) = (i64::from(shown.size.height), i64::from(shown.size.width));
        let pooled = no_grad(|| {
            let bytes = Tensor::f_from_slice(&shown.rgb)
                .map_err(torch)?
                .view([-1, height, width, 3]);
            let map = self
                .backbone
                .net
                .forward(&normalised(&bytes, self.device), false); // [batch, c, h, w]
            let pooled = map.mean_dim([2, 3].as_slice(), false, Kind::Float); // [batch, c]
            Vec::<f32>::try_from(pooled.view([-1]).to_device(Device::Cpu)).map_err(torch)
        })?;
        for ((&frame, broken), feature) in shown
            .frames
            .iter()
            .zip(&shown.broken)
            .zip(pooled.chunks(self.channels()))
        {
            match broken {
                None => features.set(frame, feature),
                Some(reason) => features.set_broken(frame, reason),
            }
        }
        Ok(())
    }
}
