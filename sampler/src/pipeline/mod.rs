//! The threads: workers make samples, the consumer takes ordered batches.
//!
//! What a worker does for a sample is behind [`Make`]; here is only who does it when, and how it
//! ends. Sample `i` of batch `b` is the same whoever makes it, so the batches depend on nothing but
//! where the cursor started.
//!
//! Ends: dropping [`Batches`] closes the ring and joins the workers, each of which finishes at most
//! its current sample; batches still held stay valid. A worker that panics or fails poisons the
//! batch it was working for: the consumer gets all batches before it, then one error, then nothing.
//!
//! `ring` hands batches over, `slot` gives out their bytes, `slab` owns the memory.

#[cfg(feature = "pin")]
mod pinned;
pub(crate) mod ring;
pub(crate) mod slab;
pub(crate) mod slot;
mod sync;

use std::iter::FusedIterator;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::sync::Parker;

use crate::batch::Batch;
use crate::config::{BROKEN_GRACE, PixelFormat};
use crate::cursor::Cursor;
use crate::error::{Error, Result};
use crate::pipeline::slab::Pin;
use crate::pipeline::slot::{PlaceMut, Slots};
use crate::stages::{StageTimes, thread_cpu_ns};

/// Makes samples; one for every worker thread.
pub(crate) trait Make: Send + 'static {
    /// Writes sample `index` of the batch at `at`.
    fn make(&mut self, at: Cursor, index: usize, place: PlaceMut<'_>) -> Result<()>;

    /// Stages measured so far and JPEG bytes read, if they are being measured.
    fn profile(&self) -> Option<(StageTimes, u64)>;
}

/// What the slots are to hold, and how long an epoch is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub depth: usize,
    pub batch: usize,
    pub output: u32,
    pub pixels: PixelFormat,
    pub pin: Pin,
    pub steps: u64,
}

/// How many broken frames are borne.
#[derive(Clone, Debug)]
pub(crate) struct BrokenLimit {
    /// Share of the frames drawn.
    pub share: f64,
    /// The last broken frame and its reason, as the workers leave it.
    pub last: Arc<Mutex<String>>,
    /// The set.
    pub path: PathBuf,
}

/// What has been delivered so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counters {
    /// Batches delivered.
    pub batches: u64,
    /// Pairs in them.
    pub pairs: u64,
    /// Pairs of boxes drawn for them.
    pub tries: u64,
    /// Pairs that did not reach the IoU threshold within the cap of tries.
    pub fallbacks: u64,
    /// Broken frames that were replaced.
    pub replaced: u64,
    /// Times the consumer asked before its batch was complete.
    pub waits: u64,
    /// How long it waited in all.
    pub wait: Duration,
}

/// What the workers have measured since they started; all zero with the clock off.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// Time by stage.
    pub stages: StageTimes,
    /// CPU time of the worker threads in nanoseconds, everything included.
    pub cpu_ns: u64,
    /// JPEG bytes cut out and decoded.
    pub bytes_read: u64,
    /// Samples made.
    pub samples: u64,
}

impl Profile {
    /// What has been added since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            stages: self.stages.since(&earlier.stages),
            cpu_ns: self.cpu_ns - earlier.cpu_ns,
            bytes_read: self.bytes_read - earlier.bytes_read,
            samples: self.samples - earlier.samples,
        }
    }
}

#[derive(Debug)]
struct Shared {
    slots: Arc<Slots>,
    /// Why the first failing worker failed.
    failure: Mutex<Option<Error>>,
    /// By worker; touched only when stages are measured.
    profiles: Box<[Mutex<Profile>]>,
}

/// An endless sequence of batches, in order, made by background threads. See
/// [`next`](Self::next) for how it ends.
#[derive(Debug)]
pub struct Batches {
    shared: Arc<Shared>,
    parker: Parker,
    threads: Vec<JoinHandle<()>>,
    from: Cursor,
    shape: Shape,
    limit: BrokenLimit,
    counters: Counters,
    stopped: bool,
}

/// How the names of worker threads begin; a number follows.
pub const WORKER_NAME: &str = "sampler-";

/// Starts one thread for every maker. The first batch delivered is the one at `from`.
pub(crate) fn start<M: Make>(
    shape: Shape,
    makers: Vec<M>,
    from: Cursor,
    limit: BrokenLimit,
) -> Result<Batches> {
    let (slots, parkers, parker) = Slots::new(
        shape.depth,
        shape.batch,
        shape.output as usize,
        makers.len(),
        shape.pixels,
        shape.pin,
    )?;
    let profiles = makers.iter().map(|_| Mutex::default()).collect();
    let shared = Arc::new(Shared {
        slots: Arc::new(slots),
        failure: Mutex::default(),
        profiles,
    });
    let counters = Counters::default();
    // Made first, so that its drop ends the threads already running should the next one not start.
    let mut batches = Batches {
        shared,
        parker,
        threads: Vec::new(),
        from,
        shape,
        limit,
        counters,
        stopped: false,
    };
    for (worker_ix, (maker, parker)) in makers.into_iter().zip(parkers).enumerate() {
        let shared = Arc::clone(&batches.shared);
        let thread = std::thread::Builder::new()
            .name(format!("{WORKER_NAME}{worker_ix}"))
            .spawn(move || work(&shared, worker_ix, maker, &parker, from, shape.steps))
            .map_err(|source| Error::Io {
                action: "start a sampler thread",
                source,
            })?;
        batches.threads.push(thread);
    }
    Ok(batches)
}

fn work<M: Make>(
    shared: &Shared,
    worker_ix: usize,
    mut maker: M,
    parker: &Parker,
    from: Cursor,
    steps: u64,
) {
    let started_ns = thread_cpu_ns();
    while let Some(mut place) = shared.slots.claim(parker) {
        let at = from.advanced(place.batch(), steps);
        let index = place.index();
        let target = shared.slots.write(&mut place);
        // A maker that has panicked is never used again, so nobody sees what it left half-done.
        let made = catch_unwind(AssertUnwindSafe(|| maker.make(at, index, target)));
        let error = match made {
            Ok(Ok(())) => {
                shared.slots.finish(place);
                if let Some((stages, bytes_read)) = maker.profile() {
                    let mut profile = lock(&shared.profiles[worker_ix]);
                    let (cpu_ns, samples) = (thread_cpu_ns() - started_ns, profile.samples + 1);
                    *profile = Profile {
                        stages,
                        cpu_ns,
                        bytes_read,
                        samples,
                    };
                }
                continue;
            }
            Ok(Err(error)) => error,
            Err(panic) => Error::Panicked {
                message: host::panic_text(&*panic),
            },
        };
        lock(&shared.failure).get_or_insert(error);
        shared.slots.fail(place);
        return;
    }
}

/// None of these locks guards an invariant that a panic could break.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Batches {
    fn take(&mut self) -> Result<Batch> {
        let number = self.counters.batches;
        let slots = &self.shared.slots;
        let waiting_since = (!slots.is_ready(number)).then(Instant::now);
        let ready = slots.take(number, &self.parker);
        if let Some(since) = waiting_since {
            self.counters.waits += 1;
            self.counters.wait += since.elapsed();
        }
        match ready {
            Ok(ready) => Ok(Batch::new(
                Arc::clone(slots),
                ready,
                self.cursor(),
                self.shape.output,
            )),
            Err(_poisoned) => Err(lock(&self.shared.failure)
                .take()
                .expect("whoever poisons a batch has left the reason before")),
        }
    }

    /// Counts a batch, and refuses it if too many frames have been broken. Depends on the batches
    /// alone: the run stops at the same step with any number of threads.
    fn count(&mut self, batch: &Batch) -> Result<()> {
        let counters = &mut self.counters;
        counters.batches += 1;
        for pair in batch.pairs() {
            counters.pairs += 1;
            counters.tries += u64::from(pair.tries);
            counters.fallbacks += u64::from(pair.fell_back);
            counters.replaced += u64::from(pair.replaced);
        }
        let drawn = counters.pairs + counters.replaced;
        if counters.replaced <= BROKEN_GRACE
            || counters.replaced as f64 <= self.limit.share * drawn as f64
        {
            return Ok(());
        }
        Err(Error::TooManyBroken {
            replaced: counters.replaced,
            drawn,
            limit_percent: self.limit.share * 100.0,
            last: lock(&self.limit.last).clone(),
            path: self.limit.path.clone(),
        })
    }

    /// The batch that comes next: what a checkpoint stores.
    pub fn cursor(&self) -> Cursor {
        self.from.advanced(self.counters.batches, self.shape.steps)
    }

    /// What has been delivered so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether batches lie in page-locked memory.
    pub fn is_pinned(&self) -> bool {
        self.shared.slots.is_pinned()
    }

    /// Number of slots.
    pub fn depth(&self) -> usize {
        self.shape.depth
    }

    /// Number of worker threads.
    pub fn num_threads(&self) -> usize {
        self.threads.len()
    }

    /// What the workers have measured; see [`SamplerConfig::clock`](crate::SamplerConfig::clock).
    pub fn profile(&self) -> Profile {
        let mut sum = Profile::default();
        for profile in &self.shared.profiles {
            let profile = lock(profile);
            sum.stages.add(&profile.stages);
            sum.cpu_ns += profile.cpu_ns;
            sum.bytes_read += profile.bytes_read;
            sum.samples += profile.samples;
        }
        sum
    }
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    /// The next batch; waits until it is complete. Endless: after the last step of an epoch comes
    /// the first of the next. After an error there is nothing more, for good.
    ///
    /// Drop batches in time: with `depth` of them held, this waits for ever.
    ///
    /// # Errors
    /// [`Error::TooManyBroken`] and [`Error::AllBroken`] if the set is damaged, [`Error::Panicked`]
    /// after a bug.
    fn next(&mut self) -> Option<Result<Batch>> {
        if self.stopped {
            return None;
        }
        let taken = self
            .take()
            .and_then(|batch| self.count(&batch).map(|()| batch));
        self.stopped = taken.is_err();
        Some(taken)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, if self.stopped { Some(0) } else { None })
    }
}

impl FusedIterator for Batches {}

impl Drop for Batches {
    fn drop(&mut self) {
        self.shared.slots.close();
        for thread in self.threads.drain(..) {
            // A worker's panic was caught and reported; there is nothing left to say.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
