//! `trainer embed`: a feature of every frame, for search and curation.
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

use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::Serialize;
use tch::{Device, Kind, Tensor, no_grad};

use crate::cli::EmbedArgs;
use crate::device::{self, normalised};
use crate::error::{torch, usage};
use crate::frames;
use crate::progress::Progress;
use crate::weights::{Backbone, Weights};
use pictures::{Pictures, Shown};
use table::{Features, Note, Table};

/// Seed of a random network.
const SEED: u64 = 0;

/// What was written.
#[derive(Debug, Serialize)]
struct Report {
    file: String,
    weights: String,
    frames: usize,
    /// Frames without a feature.
    broken: usize,
    /// Values of a feature.
    channels: i64,
    height: i64,
    bytes: u64,
    seconds: f64,
    frames_per_s: f64,
}

/// Runs the command.
///
/// # Errors
/// If weights or set cannot be read, or the file not be written.
pub fn embed(args: &EmbedArgs) -> Result<()> {
    let started = Instant::now();
    let device = device::select(&args.backbone.device)?;
    let weights = Weights::named(
        &args.weights,
        args.backbone.network,
        args.backbone.arch,
        SEED,
    )?;
    let cell_px = weights.model.cell_px();
    if args.height < cell_px {
        return Err(usage(format!(
            "--height {}: a cell of this backbone has {cell_px} pixels",
            args.height
        )));
    }
    let frames = frames::open(&args.shards, args.filter.as_deref())?;
    let backbone = weights.build(&weights.model, device)?;
    let note = Note {
        weights: weights.origin.clone(),
        height_px: args.height,
    };
    let channels = weights.model.arch.channels();
    let table = Table::create(&args.out, channels, &note)?;

    let pictures = Pictures {
        frames: &frames,
        height: args.height,
        cell_px,
        batch: args.batch.get(),
    };
    let (bytes, broken) = fill(table, &pictures, &Network { backbone, device })?;
    let (seconds, num_frames) = (started.elapsed().as_secs_f64(), frames.index().len());
    let report = Report {
        file: args.out.display().to_string(),
        weights: note.weights,
        frames: num_frames,
        broken,
        channels,
        height: args.height,
        bytes,
        seconds,
        frames_per_s: num_frames as f64 / seconds,
    };
    match args.json {
        true => println!("{}", serde_json::to_string(&report)?),
        false => eprintln!(
            "{}: {} frames, {} values each, {:.1} MB; {:.1} frames/s",
            report.file,
            report.frames,
            report.channels,
            report.bytes as f64 / 1e6,
            report.frames_per_s
        ),
    }
    Ok(())
}

/// Writes all row groups; returns the size of the file and the number of broken frames.
fn fill(mut table: Table, pictures: &Pictures<'_>, network: &Network) -> Result<(u64, usize)> {
    let frames = pictures.frames;
    let (mut done, mut broken) = (0, 0);
    let mut progress = Progress::new(0, frames.index().len() as u64);
    thread::scope(|scope| {
        let decoded = pictures.decode_ahead(scope);
        for ids in table::ids(frames.catalog(), frames.selection())? {
            let ids = ids?;
            let mut features = Features::new(done, ids.num_rows(), network.channels());
            while features.num_missing() > 0 {
                network.embed(&next(&decoded)?, &mut features)?;
                progress.count(
                    (done + ids.num_rows() - features.num_missing()) as u64,
                    "frames",
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
        progress.finish();
        if broken > 0 {
            let set = frames.catalog().dir().display();
            progress.note(&format!(
                "{broken} broken frames have no feature; run `ingest verify {set}`"
            ));
        }
        Ok((table.finish()?, broken))
    })
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
