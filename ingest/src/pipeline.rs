//! The threads that write shards: one reads, some build pyramids, this one puts rows in order and
//! writes.
//!
//! Every step of the reader has a number, and the writer takes steps in that order, so the output
//! does not depend on the number of threads. A step starts only with a token, and the writer hands
//! tokens back, so a slow disk stops the reader and memory stays bounded. Shutdown is dropping a
//! channel: whoever finds its peer gone stops.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::thread;

use crossbeam::channel::{Receiver, Sender, bounded};
use schemas::catalog::Catalog;
use schemas::frame::{FrameRow, Origin};
use schemas::shard::{Settings, ShardWriter, Skipped};

use crate::cpu_time::{self, Stage, StageTimes, lap};
use crate::error::{Defect, Error, Result, Trouble};
use crate::output::{Lacks, Output, first_lack};
use crate::progress::Progress;
use crate::pyramid::{Builder, Pyramid};
use crate::request::Request;
use crate::source::{Item, Items, Job, SourceImage, read};
use crate::task::Task;

/// Steps that may be under way at once, a thread: enough to hide one slow image.
const STEPS_PER_THREAD: usize = 6;

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

/// What passes from the reader to the writer; items go through a worker on the way.
enum Step {
    Begin(usize),
    Item {
        source: String,
        weight: u64,
        unread_bytes: u64,
        origin: Option<Origin>,
        result: Result<Box<FrameRow>, Defect>,
    },
    /// With size and CRC32C of the input, if all of it was read.
    End(Option<(u64, u32)>),
    Failed(Error),
}

/// A step and its place in the order.
type Numbered<T> = (u64, T);

/// Writes the shard of every task into `output`, in order. `on_progress` hears of it on the calling
/// thread.
///
/// # Errors
/// The first error of reading or writing; shards finished by then stay, the one under way leaves
/// nothing.
pub(crate) fn write_shards(
    tasks: &[Task],
    output: &mut Output,
    request: &Request,
    on_progress: &mut dyn FnMut(&Progress),
) -> Result<Written> {
    let (settings, threads) = (&request.settings, request.threads);
    let cpu_before_ms = cpu_time::process_cpu_ms();
    cpu_time::collect();
    let capacity = STEPS_PER_THREAD * threads + 2;
    let (token_in, tokens) = bounded(capacity);
    for _ in 0..capacity {
        token_in
            .send(())
            .expect("the receiver is alive, the capacity is not reached");
    }
    let (work_in, work) = bounded::<Numbered<Item>>(capacity);
    let (done_in, done) = bounded::<Numbered<Step>>(capacity);
    let (written, stages) = thread::scope(|scope| {
        let reader = Reader {
            tokens,
            work: work_in,
            done: done_in.clone(),
            next: 0,
        };
        let mut others = vec![scope.spawn(move || reader.run(tasks, settings))];
        for _ in 0..threads {
            let (work, done) = (work.clone(), done_in.clone());
            others.push(scope.spawn(move || run_worker(settings, &work, &done)));
        }
        drop((work, done_in));
        let writer = Writer {
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
        };
        let written = writer.run(&done, &token_in);
        // When the writer has failed, its ends of the channels must go before the threads are
        // waited for.
        drop((done, token_in));
        let mut stages = cpu_time::collect();
        for other in others {
            stages.add(&other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        (written, stages)
    });
    Ok(Written {
        cpu_ms: cpu_time::process_cpu_ms() - cpu_before_ms,
        stages,
        ..written?
    })
}

fn listed_shards(dir: &Path) -> HashMap<String, u32> {
    let catalog = Catalog::open_even_if_stale(dir).ok();
    let shards = catalog.iter().flat_map(Catalog::shards);
    shards
        .map(|info| (info.name.clone(), info.crc32c))
        .collect()
}

struct Reader {
    tokens: Receiver<()>,
    work: Sender<Numbered<Item>>,
    done: Sender<Numbered<Step>>,
    next: u64,
}

/// The writer has stopped; so does the reader.
struct Stopped;

impl Reader {
    fn run(mut self, tasks: &[Task], settings: &Settings) -> StageTimes {
        // What these items keep open, the next job may go on with.
        let mut before = None;
        for (ix, task) in tasks.iter().enumerate() {
            if self.read_job(ix, &task.job, settings, &mut before).is_err() {
                break;
            }
        }
        lap(Stage::Read);
        cpu_time::collect()
    }

    fn read_job<'a>(
        &mut self,
        ix: usize,
        job: &'a Job,
        settings: &'a Settings,
        before: &mut Option<Items<'a>>,
    ) -> Result<(), Stopped> {
        self.send_step(Step::Begin(ix))?;
        let mut items = match job.open(settings) {
            Ok(items) => items,
            Err(error) => return self.send_step(Step::Failed(error)).and(Err(Stopped)),
        };
        *before = None;
        for item in items.by_ref() {
            match item {
                Ok(item) => {
                    let number = self.number()?;
                    self.work.send((number, item)).map_err(|_| Stopped)?;
                }
                Err(error) => return self.send_step(Step::Failed(error)).and(Err(Stopped)),
            }
        }
        let checksum = items.checksum();
        *before = Some(items);
        self.send_step(Step::End(checksum))
    }

    fn send_step(&mut self, step: Step) -> Result<(), Stopped> {
        let number = self.number()?;
        self.done.send((number, step)).map_err(|_| Stopped)
    }

    /// The next number, once there is a token for it.
    fn number(&mut self) -> Result<u64, Stopped> {
        self.tokens.recv().map_err(|_| Stopped)?;
        self.next += 1;
        Ok(self.next - 1)
    }
}

fn run_worker(
    settings: &Settings,
    work: &Receiver<Numbered<Item>>,
    done: &Sender<Numbered<Step>>,
) -> StageTimes {
    let mut builder = Builder::new(settings);
    for (number, item) in work {
        lap(Stage::Read);
        let Item {
            source,
            weight,
            unread_bytes,
            content,
        } = item;
        let mut origin = None;
        let result = catch_unwind(AssertUnwindSafe(|| {
            frame(&mut builder, content?, &mut origin)
        }));
        let step = match result {
            Ok(Ok(row)) => Step::Item {
                source,
                weight,
                unread_bytes,
                origin,
                result: Ok(row),
            },
            Ok(Err(Trouble::Item(defect))) => Step::Item {
                source,
                weight,
                unread_bytes,
                origin,
                result: Err(defect),
            },
            Ok(Err(Trouble::Run(error))) => Step::Failed(error),
            Err(panic) => Step::Failed(Error::Panic {
                place: source,
                detail: host::panic_text(&*panic),
            }),
        };
        if done.send((number, step)).is_err() {
            break;
        }
    }
    lap(Stage::Read);
    cpu_time::collect()
}

fn frame(
    builder: &mut Builder,
    image: SourceImage,
    origin: &mut Option<Origin>,
) -> Result<Box<FrameRow>, Trouble> {
    let SourceImage { mut meta, data } = image;
    let bytes = read(data)?;
    lap(Stage::Read);
    *origin = Some(Origin::of(&bytes));
    lap(Stage::Crc);
    let Pyramid { size, levels } = builder.build(&bytes)?;
    meta.size = size;
    Ok(Box::new(FrameRow {
        meta,
        origin: *origin,
        levels,
    }))
}

struct Writer<'a> {
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
    /// Bytes of the levels written so far.
    level_bytes: u64,
}

impl Writer<'_> {
    fn run(mut self, done: &Receiver<Numbered<Step>>, tokens: &Sender<()>) -> Result<Written> {
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
        let lacks = Lacks::of(&shard.skipped, input);
        if task
            .replaces
            .is_some_and(|before| lacks.is_more_than(before))
        {
            self.written.frames -= shard.writer.num_frames();
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
    let (path, input) = (task.job.path().display(), &task.job.id.input);
    let lack = first_lack(skipped, input).map_or_else(String::new, |lack| {
        let Skipped {
            source,
            reason,
            detail,
            ..
        } = lack;
        format!(" ({reason} at {source}: {detail})")
    });
    format!("{path} lacks something by now{lack}; its frames of before are kept: fetch it again")
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
