//! The writer: takes steps in their order, and turns them into shards.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use crossbeam::channel::{Receiver, Sender};
use schemas::catalog::Catalog;
use schemas::frame::FrameRow;
use schemas::shard::{Settings, ShardWriter, Skipped};

use super::step::{Numbered, Step};
use crate::cpu_time::{Stage, StageTimes, lap};
use crate::error::{Defect, Result};
use crate::output::{Lacks, Output, first_lack};
use crate::progress::Progress;
use crate::task::Task;

/// What a run added.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Written {
    /// Shards finished.
    pub(crate) shards: u64,
    /// Frames in them.
    pub(crate) frames: u64,
    /// Items of their inputs that were skipped.
    pub(crate) skipped: u64,
    /// Inputs that lack something by now, whose shards of before are kept, and a line about each.
    pub(crate) damaged_inputs: BTreeMap<String, String>,
    /// Encoded image bytes read, skipped ones included.
    pub(crate) image_bytes_in: u64,
    /// Bytes of the shard files.
    pub(crate) bytes_out: u64,
    /// CPU time of the process meanwhile, in milliseconds.
    pub(crate) cpu_ms: f64,
    /// The same by stage, as far as it was spent on one.
    pub(crate) stages: StageTimes,
}

pub(super) struct Writer<'a> {
    tasks: &'a [Task],
    output: &'a mut Output,
    /// CRC32C of the shards that the catalog lists, by file name.
    listed: HashMap<String, u32>,
    settings: &'a Settings,
    progress: Progress,
    on_progress: &'a mut dyn FnMut(&Progress),
    open: Option<OpenShard>,
    written: Written,
}

/// A shard under way.
struct OpenShard {
    /// Number of its task.
    ix: usize,
    writer: ShardWriter,
    skipped: Vec<Skipped>,
    frame_ids: HashSet<String>,
    /// Weight of the job that no item has claimed yet.
    weight_left: u64,
    /// Encoded image bytes read so far.
    image_bytes_in: u64,
    /// Bytes of the levels written so far.
    level_bytes: u64,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        tasks: &'a [Task],
        output: &'a mut Output,
        settings: &'a Settings,
        on_progress: &'a mut dyn FnMut(&Progress),
    ) -> Self {
        Self {
            tasks,
            listed: listed_shards(output.dir()),
            output,
            settings,
            progress: Progress {
                total_weight: tasks.iter().map(|task| task.job.weight).sum(),
                ..Progress::default()
            },
            on_progress,
            open: None,
            written: Written::default(),
        }
    }

    /// Takes all steps, and hands a token back for each.
    ///
    /// # Errors
    /// The first error of reading or writing.
    pub(super) fn run(
        mut self,
        done: &Receiver<Numbered<Step>>,
        tokens: &Sender<()>,
    ) -> Result<Written> {
        (self.on_progress)(&self.progress);
        let mut early: BTreeMap<u64, Step> = BTreeMap::new();
        let mut next = 0;
        for (number, step) in done {
            early.insert(number, step);
            while let Some(step) = early.remove(&next) {
                next += 1;
                self.take(step)?;
                lap(Stage::Write);
                // Nobody takes tokens once everything is read.
                let _ = tokens.try_send(());
            }
        }
        Ok(self.written)
    }

    fn take(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Begin(ix) => self.begin(ix),
            Step::Item {
                source,
                weight,
                unread_bytes,
                origin,
                result,
            } => {
                let skipped = Skipped {
                    source,
                    origin,
                    unread_bytes,
                    ..Skipped::default()
                };
                self.add(skipped, weight, result)
            }
            Step::End(checksum) => self.end(checksum),
            Step::Failed(error) => Err(error),
        }
    }

    fn begin(&mut self, ix: usize) -> Result<()> {
        let job = &self.tasks[ix].job;
        let writer = ShardWriter::create(&self.output.frames_dir(), &job.id, self.settings)?;
        self.open = Some(OpenShard {
            ix,
            writer,
            skipped: Vec::new(),
            frame_ids: HashSet::new(),
            weight_left: job.weight,
            image_bytes_in: 0,
            level_bytes: 0,
        });
        Ok(())
    }

    /// Adds an item, which becomes a frame, or `skipped` for a reason.
    fn add(
        &mut self,
        skipped: Skipped,
        weight: u64,
        result: Result<Box<FrameRow>, Defect>,
    ) -> Result<()> {
        let shard = self
            .open
            .as_mut()
            .expect("an item comes after the beginning of its shard");
        let bytes_in = skipped.origin.map_or(0, |origin| origin.bytes);
        self.written.image_bytes_in += bytes_in;
        shard.image_bytes_in += bytes_in;
        let weight = weight.min(shard.weight_left);
        shard.weight_left -= weight;
        match result.and_then(|row| shard.check_new(row)) {
            Ok(row) => {
                let level_bytes = row
                    .levels
                    .iter()
                    .flatten()
                    .map(|level| level.jpeg.len() as u64)
                    .sum();
                shard.writer.push(*row)?;
                shard.level_bytes += level_bytes;
                self.written.frames += 1;
                self.progress.add_frame(weight, bytes_in, level_bytes);
            }
            Err(Defect { reason, detail }) => {
                shard.skipped.push(Skipped {
                    reason: reason.to_owned(),
                    detail,
                    ..skipped
                });
                self.written.skipped += 1;
                self.progress.add_skipped(weight, bytes_in);
            }
        }
        (self.on_progress)(&self.progress);
        Ok(())
    }

    fn end(&mut self, checksum: Option<(u64, u32)>) -> Result<()> {
        let shard = self.open.take().expect("a shard ends after its beginning");
        let task = &self.tasks[shard.ix];
        let input = &task.job.id.input;
        let lacks = Lacks::of(shard.writer.num_frames(), &shard.skipped, input);
        if task
            .replaces
            .is_some_and(|before| lacks.is_more_than(before))
        {
            self.written.frames -= shard.writer.num_frames();
            self.written.skipped -= shard.skipped.len() as u64;
            self.written.image_bytes_in -= shard.image_bytes_in;
            self.written
                .damaged_inputs
                .insert(input.clone(), damaged_input(task, &shard.skipped));
            self.progress.add_shard(shard.weight_left, 0);
            return Ok(());
        }
        let sealed = shard
            .writer
            .seal(&shard.skipped, Some(&task.record(checksum)))?;
        let (name, crc32c) = (task.file_name(), sealed.summary().crc32c);
        if self.listed.get(&name).is_some_and(|&was| was != crc32c) {
            self.output.note_made(&name, crc32c)?;
        }
        let summary = sealed.publish()?;
        self.written.shards += 1;
        self.written.bytes_out += summary.bytes;
        self.progress
            .add_shard(shard.weight_left, summary.bytes - shard.level_bytes);
        (self.on_progress)(&self.progress);
        Ok(())
    }
}

fn damaged_input(task: &Task, skipped: &[Skipped]) -> String {
    let lack = first_lack(skipped, &task.job.id.input).expect("it lacks more than before");
    let Skipped {
        source,
        reason,
        detail,
        ..
    } = lack;
    task.keeps_frames_of_before(&format!("{reason} at {source}: {detail}"))
}

impl OpenShard {
    fn check_new(&mut self, row: Box<FrameRow>) -> Result<Box<FrameRow>, Defect> {
        if self.frame_ids.insert(row.meta.frame_id.clone()) {
            return Ok(row);
        }
        Err(Defect::new(
            "duplicate-frame",
            format!("frame {:?} is in this shard already", row.meta.frame_id),
        ))
    }
}

fn listed_shards(dir: &Path) -> HashMap<String, u32> {
    let catalog = Catalog::open_even_if_stale(dir).ok();
    let shards = catalog.iter().flat_map(Catalog::shards);
    shards
        .map(|info| (info.name.clone(), info.crc32c))
        .collect()
}
