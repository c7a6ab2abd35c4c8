//! `sampler bench`: how fast, and where the time goes.
//!
//! Three phases over the same frames: a warm-up (buffers grow, pages are read), the throughput
//! without any timer inside the workers, and the stages, with the CPU clock of each worker thread
//! read after every stage. The consumer drops each batch at once, so the workers are the only
//! limit. On request other numbers of threads ([`sweep`]) and a cold page cache ([`cache`]) are
//! measured beside it.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use sampler::stages::Clock;
use sampler::{Batches, Counters, Cursor, Profile, Sampler, SamplerConfig};

use crate::cli::BenchArgs;
use crate::progress::Progress;
use crate::report::{print, print_json, rss_mib};

mod cache;
mod sweep;
mod table;

const WARM_UP: Duration = Duration::from_millis(500);
/// Share of `--seconds` that the stages are measured for.
const STAGES_SHARE: f64 = 0.4;
/// Used when there are at least as many frames.
const DEFAULT_BATCH: usize = 64;

/// Everything that was measured.
#[derive(Debug)]
struct Report {
    main: Measured,
    /// One for each number of threads, if asked for.
    sweep: Option<Vec<sweep::Point>>,
    /// Cold and warm, if asked for.
    cache: Option<cache::Passes>,
}

/// What was measured with the threads that were asked for.
#[derive(Debug)]
struct Measured {
    threads: usize,
    batch: usize,
    pinned: bool,
    /// Bytes a second from the batches to the device, if they are page-locked.
    upload_bytes_per_s: Option<f64>,
    pairs_per_s: f64,
    counters: Counters,
    profile: Profile,
    rss_mib: Option<f64>,
}

/// Runs the command.
pub fn run(args: &BenchArgs) -> anyhow::Result<()> {
    ensure!(
        args.seconds > 0.0 && args.seconds.is_finite(),
        "--seconds is {}, but must be more than 0",
        args.seconds
    );
    let time = Duration::from_secs_f64(args.seconds);
    let sampler = Sampler::open(&args.set.shards, args.config())?;
    let batch = args
        .batch
        .unwrap_or(DEFAULT_BATCH.min(sampler.num_frames() as usize));
    let sampler = sampler.with_config(SamplerConfig {
        batch,
        ..sampler.config().clone()
    })?;
    // First: pages that this process has mapped cannot be dropped.
    let cache = args
        .cold
        .then(|| cache::measure(&args.set.shards, sampler.config(), time))
        .transpose()?;
    let main = measure(&sampler, time)?;
    let sweep = args
        .sweep
        .as_ref()
        .map(|threads| sweep::measure(&sampler, threads, time))
        .transpose()?;
    let report = Report { main, sweep, cache };
    if args.json {
        print_json(&report.to_json(args))
    } else {
        print(&report.to_table(&sampler, args))
    }
}

fn measure(sampler: &Sampler, time: Duration) -> anyhow::Result<Measured> {
    let mut batches = sampler.start(Cursor::default())?;
    let (seconds, counters) = throughput(&mut batches, time)?;
    let (threads, pinned) = (batches.num_threads(), batches.is_pinned());
    let upload_bytes_per_s = batches
        .next_batch()
        .context("sampling failed")?
        .upload_bytes_per_s();
    let from = batches.cursor();
    drop(batches);

    let timed = sampler.with_config(SamplerConfig {
        clock: Clock::ThreadCpu,
        ..sampler.config().clone()
    })?;
    let mut batches = timed.start(from)?;
    warm_up(&mut batches)?;
    let before = batches.profile();
    take_for(&mut batches, time.mul_f64(STAGES_SHARE), "measuring stages")?;
    let profile = batches.profile().since(&before);
    Ok(Measured {
        threads,
        batch: sampler.config().batch,
        pinned,
        upload_bytes_per_s,
        pairs_per_s: counters.pairs as f64 / seconds,
        counters,
        profile,
        rss_mib: rss_mib(),
    })
}

/// Takes batches for `time`, after a warm-up; how many seconds that were, and what was delivered in
/// them.
fn throughput(batches: &mut Batches, time: Duration) -> anyhow::Result<(f64, Counters)> {
    warm_up(batches)?;
    let before = batches.counters();
    let started = Instant::now();
    take_for(batches, time, "measuring throughput")?;
    Ok((
        started.elapsed().as_secs_f64(),
        difference(batches.counters(), before),
    ))
}

/// Every thread makes a few samples, and every slot is written once: the system gives out its
/// memory at that time.
fn warm_up(batches: &mut Batches) -> anyhow::Result<()> {
    take_for(batches, WARM_UP, "warming up")?;
    // While the last slot is taken, the others are being filled again.
    while batches.counters().batches <= batches.depth() as u64 {
        drop(batches.next_batch().context("sampling failed")?);
    }
    Ok(())
}

/// Takes batches for at least `time`.
fn take_for(batches: &mut Batches, time: Duration, what: &str) -> anyhow::Result<()> {
    let progress = Progress::start(what, time.as_millis() as u64);
    let started = Instant::now();
    while started.elapsed() < time {
        drop(batches.next_batch().context("sampling failed")?);
        progress.at(started.elapsed().as_millis() as u64);
    }
    Ok(())
}

fn difference(after: Counters, before: Counters) -> Counters {
    Counters {
        batches: after.batches - before.batches,
        pairs: after.pairs - before.pairs,
        tries: after.tries - before.tries,
        fallbacks: after.fallbacks - before.fallbacks,
        replaced: after.replaced - before.replaced,
        waits: after.waits - before.waits,
        wait: after.wait - before.wait,
    }
}
