//! A feature of every frame, for search and curation.
//!
//! A frame is shown whole, at a given height, in whole cells of the backbone's last map; its
//! feature is the mean over the cells of that map (C5), 32-bit floats. Batch norms use their
//! running statistics. Pictures are decoded on all cores, ahead of the network; frames of one size
//! pass through it together, as many at a time in every case, so that a feature does not depend on
//! which other frames are asked for.
//!
//! Several ranks share the batches of every row group, whose features rank 0 gathers and writes: the
//! file is that of one process, bit for bit on devices that compute alike.
//!
//! Memory is that of a row group's features (with several ranks three times), a few batches of
//! pictures, and the index of the set (56 bytes a frame). A frame whose bytes are damaged has no
//! feature (null) and is counted; a disk that fails ends the command.

mod pictures;
mod table;

use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use arrow::array::RecordBatch;
use console::{HumanDuration, Progress, usage};
use model::device::normalised;
use model::files::weights::{Backbone, Weights};
use native::{Ranks, torch};
use sampler::frames::Frames;
use serde::Serialize;
use tch::{Device, Kind, Tensor, no_grad};

use crate::agree::{agree, checksums};
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
    /// Those that share the frames.
    pub ranks: &'a Ranks,
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

/// Writes a feature of every frame. All ranks call it; rank 0 writes, and has the report.
///
/// # Errors
/// If the set cannot be read, the weights do not fit, or the file cannot be written.
pub fn embed(request: &Request<'_>) -> Result<Option<Report>> {
    let started = Instant::now();
    let (weights, ranks) = (request.weights, request.ranks);
    ranks.first_alone(|| check_height(request))?;
    let frames = ranks.together(frames::open(request.shards, request.filter))?;
    let backbone = ranks.together(weights.build(&weights.model, request.device))?;
    agree(ranks, || things(request, &frames))?;

    let pictures = Pictures {
        frames: &frames,
        height: request.height,
        cell_px: weights.model.cell_px(),
        batch: request.batch.get(),
        ranks,
    };
    let network = Network {
        backbone,
        device: request.device,
    };
    let output = ranks.first_alone(|| Output::create(request, &frames))?;
    let Some((bytes, broken)) = fill(output, &pictures, &network)? else {
        return Ok(None);
    };
    let (seconds, num_frames) = (started.elapsed().as_secs_f64(), frames.index().len());
    Ok(Some(Report {
        file: request.out.display().to_string(),
        weights: weights.origin.clone(),
        frames: num_frames,
        broken,
        channels: weights.model.arch.channels(),
        height: request.height,
        bytes,
        seconds,
        frames_per_s: num_frames as f64 / seconds,
    }))
}

fn check_height(request: &Request<'_>) -> Result<()> {
    let (height, cell_px) = (request.height, request.weights.model.cell_px());
    match height < cell_px {
        true => Err(usage(format!(
            "--height {height}: a cell of this backbone has {cell_px} pixels"
        ))),
        false => Ok(()),
    }
}

/// What all ranks have to have alike.
fn things(request: &Request<'_>, frames: &Frames) -> Result<Vec<(&'static str, String)>> {
    let shards = (frames.stamps(), frames.index().len());
    let settings = (request.height, request.batch, request.filter);
    Ok(vec![
        ("weights", checksums(request.weights)?),
        ("shards", format!("{shards:?}")),
        ("settings", format!("{settings:?}")),
    ])
}

/// Embeds all row groups. On rank 0, which has the `output`: the size of the file and the number of
/// broken frames.
fn fill<I: Iterator<Item = Result<RecordBatch>>>(
    mut output: Option<Output<I>>,
    pictures: &Pictures<'_>,
    network: &Network,
) -> Result<Option<(u64, usize)>> {
    let ranks = pictures.ranks;
    thread::scope(|scope| {
        let decoded = pictures.decode_ahead(scope);
        for group in pictures.groups() {
            let mut features = Features::new(group.clone(), network.channels());
            let mut embed = || -> Result<()> {
                for _ in 0..pictures.num_batches(group.clone()) {
                    network.embed(&next(&decoded)?, &mut features)?;
                    let mine = features.num_come() * ranks.size();
                    output
                        .iter_mut()
                        .for_each(|output| output.show(&group, mine));
                }
                Ok(())
            };
            ranks.together(embed())?;
            let features = features.gather(ranks)?;
            ranks.first_alone(|| match &mut output {
                Some(output) => output.write(features),
                None => Ok(()),
            })?;
        }
        let finished = ranks.first_alone(|| output.map(Output::finish).transpose())?;
        Ok(finished.flatten())
    })
}

/// What rank 0 has: the file, and what names its rows.
struct Output<'a, I> {
    table: Table,
    ids: I,
    frames: &'a Frames,
    progress: Progress,
    broken: usize,
}

impl<'a> Output<'a, ()> {
    /// Begins the file.
    fn create(
        request: &Request<'_>,
        frames: &'a Frames,
    ) -> Result<Output<'a, impl Iterator<Item = Result<RecordBatch>>>> {
        let note = Note {
            weights: request.weights.origin.clone(),
            height_px: request.height,
        };
        let channels = request.weights.model.arch.channels();
        Ok(Output {
            table: Table::create(request.out, channels, &note)?,
            ids: table::ids(frames.catalog(), frames.selection())?,
            frames,
            progress: Progress::new(BAR, 0, frames.index().len() as u64).with_tick(),
            broken: 0,
        })
    }
}

impl<I: Iterator<Item = Result<RecordBatch>>> Output<'_, I> {
    /// Shows that about so many frames of `group` are done.
    fn show(&mut self, group: &Range<usize>, done: usize) {
        let done = group.start + done.min(group.len());
        show(&mut self.progress, done as u64);
    }

    /// Appends the next row group.
    fn write(&mut self, features: Features) -> Result<()> {
        let ids = self.ids.next().context("the catalog has lost rows")??;
        for (row, reason) in features.broken() {
            let frame_id = table::frame_id(&ids, row);
            self.progress.note(&format!("broken: {frame_id}: {reason}"));
            self.broken += 1;
        }
        self.table.write(&ids, features)
    }

    /// Completes the file: its size, and how many frames are broken.
    fn finish(self) -> Result<(u64, usize)> {
        self.progress.leave();
        if self.broken > 0 {
            let set = self.frames.catalog().dir().display();
            self.progress.note(&format!(
                "{} broken frames have no feature; run `ingest verify {set}`",
                self.broken
            ));
        }
        Ok((self.table.finish()?, self.broken))
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Arch, ModelConfig};
    use schemas::catalog::Catalog;
    use schemas::geom::Size;
    use std::fs::{self, OpenOptions};
    use std::os::unix::fs::FileExt;
    use testkit::photos;

    /// Frames of two sizes in turns.
    fn shards(dir: &Path) {
        let pictures = (0..19).map(|ix| {
            let size = Size::new(if ix % 3 == 0 { 480 } else { 320 }, 256);
            (size, photos::picture(size, ix))
        });
        photos::write_pictures(dir, pictures, 8);
    }

    /// Overwrites all levels of a frame of the first shard.
    fn damage(dir: &Path, frame: usize) {
        let catalog = Catalog::open(dir).unwrap();
        let index = catalog.index(&catalog.all()).unwrap();
        let shard = OpenOptions::new()
            .write(true)
            .open(catalog.shard_path(0))
            .unwrap();
        for level in 0..2 {
            let slot = index.level(frame, level).unwrap();
            shard.write_all_at(&[0; 64], slot.offset).unwrap();
        }
    }

    fn embedded(shards: &Path, out: &Path, ranks: &Ranks) -> Result<Option<Report>> {
        let model = ModelConfig {
            arch: Arch::Resnet18,
            ..ModelConfig::default()
        };
        embed(&Request {
            weights: &Weights::random(model, 4),
            shards,
            filter: None,
            out,
            height: 64,
            batch: NonZeroUsize::new(3).unwrap(),
            device: Device::Cpu,
            ranks,
        })
    }

    /// Thirteen frames of one size are five batches, six of another two: on four ranks no two have as
    /// many.
    #[test]
    fn several_ranks_write_the_file_of_one() {
        let dir = tempfile::tempdir().unwrap();
        let set = dir.path().join("shards");
        shards(&set);
        damage(&set, 5);
        let of = |ranks: &Ranks| {
            let out = dir.path().join(format!("{}.parquet", ranks.size()));
            let report = embedded(&set, &out, ranks).unwrap()?;
            Some((report.frames, report.broken, fs::read(out).unwrap()))
        };
        let expected = of(&Ranks::alone()).unwrap();
        assert_eq!((expected.0, expected.1), (19, 1));
        for size in [1, 2, 4] {
            let mut found = Ranks::in_threads(size, of);
            assert!(found.remove(0).as_ref() == Some(&expected), "{size} ranks");
            assert!(found.iter().all(Option::is_none), "{size} ranks");
        }
    }

    #[test]
    fn a_shard_that_cannot_be_read_ends_all_ranks_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let set = dir.path().join("shards");
        shards(&set);
        let shard = Catalog::open(&set).unwrap().shard_path(1);
        fs::write(&shard, b"").unwrap();
        let out = dir.path().join("x.parquet");
        let lines = Ranks::in_threads(2, |ranks| {
            format!("{:#}", embedded(&set, &out, ranks).unwrap_err())
        });
        let name = shard.file_name().unwrap().to_str().unwrap();
        assert!(lines.iter().any(|line| line.contains(name)), "{lines:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
