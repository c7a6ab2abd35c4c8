//! The threads that write shards: one reads, some build pyramids, this one puts rows in order and
//! writes.
//!
//! Every step of the reader has a number, and the writer takes steps in that order, so the output
//! does not depend on the number of threads. A step starts only with a token, and the writer hands
//! tokens back, so a slow disk stops the reader and memory stays bounded. Shutdown is dropping a
//! channel: whoever finds its peer gone stops.

mod step;
mod writer;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use crossbeam::channel::{Receiver, Sender, bounded};
use schemas::frame::{FrameRow, Origin};
use schemas::shard::Settings;

use crate::cpu_time::{self, Stage, StageTimes, lap};
use crate::error::{Error, Result, Trouble};
use crate::output::Output;
use crate::progress::Progress;
use crate::pyramid::{Builder, Pyramid};
use crate::request::Request;
use crate::source::{Item, Items, Job, SourceImage, read};
use crate::task::Task;
use step::{Numbered, Step};
use writer::Writer;
pub(crate) use writer::Written;

/// Steps that may be under way at once, a thread: enough to hide one slow image.
const STEPS_PER_THREAD: usize = 6;

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
        let writer = Writer::new(tasks, output, settings, on_progress);
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
