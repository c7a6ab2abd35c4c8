//! Throughput, and where the time of the workers goes.
//!
//! First a warm-up (buffers grow, pages are read), then the throughput without any timer inside the
//! workers, then the stages, with the CPU clock of each worker thread read after every stage. The
//! consumer drops each batch at once, so the workers are the only limit.

use std::time::{Duration, Instant};

use anyhow::Context;
use console::Progress;
use sampler::stages::Clock;
use sampler::{Batch, Batches, Counters, Cursor, Profile, Sampler, SamplerConfig};

use super::load::{Load, Watch};

const WARM_UP: Duration = Duration::from_millis(500);
/// Share of `--seconds` that the stages are measured for.
const STAGES_SHARE: f64 = 0.4;

/// What was measured with the threads that were asked for.
#[derive(Debug)]
pub(crate) struct Measured {
    pub threads: usize,
    pub batch: usize,
    pub pinned: bool,
    /// Bytes a second from the batches to the device, if they are page-locked.
    pub upload_bytes_per_s: Option<f64>,
    pub pairs_per_s: f64,
    pub load: Load,
    pub counters: Counters,
    pub profile: Profile,
    pub rss_mib: Option<f64>,
}

/// Measures throughput for `time`, and then the stages.
pub(crate) fn measure(sampler: &Sampler, time: Duration) -> anyhow::Result<Measured> {
    let mut batches = sampler.start(Cursor::default())?;
    let (seconds, counters, load) = throughput(&mut batches, time)?;
    let (threads, pinned) = (batches.num_threads(), batches.is_pinned());
    let upload_bytes_per_s = next(&mut batches)?.upload_bytes_per_s();
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
        load,
        counters,
        profile,
        rss_mib: rss_mib(),
    })
}

/// Takes batches for `time`, after a warm-up; how many seconds that were, what was delivered in
/// them, and who had the CPUs.
pub(crate) fn throughput(
    batches: &mut Batches,
    time: Duration,
) -> anyhow::Result<(f64, Counters, Load)> {
    warm_up(batches)?;
    let before = batches.counters();
    let watch = Watch::start();
    take_for(batches, time, "measuring throughput")?;
    let (seconds, load) = watch.stop(batches.num_threads());
    Ok((seconds, difference(batches.counters(), before), load))
}

/// Every thread makes a few samples, and every slot is written once: the system gives out its
/// memory at that time.
fn warm_up(batches: &mut Batches) -> anyhow::Result<()> {
    take_for(batches, WARM_UP, "warming up")?;
    // While the last slot is taken, the others are being filled again.
    while batches.counters().batches <= batches.depth() as u64 {
        drop(next(batches)?);
    }
    Ok(())
}

/// Takes batches for at least `time`.
fn take_for(batches: &mut Batches, time: Duration, what: &str) -> anyhow::Result<()> {
    let progress = Progress::announce(what, time.as_millis() as u64);
    let started = Instant::now();
    while started.elapsed() < time {
        drop(next(batches)?);
        progress.at(started.elapsed().as_millis() as u64);
    }
    Ok(())
}

/// The next batch.
pub(crate) fn next(batches: &mut Batches) -> anyhow::Result<Batch> {
    let batch = batches.next().context("the sampler has stopped")?;
    batch.context("sampling failed")
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

/// Resident memory of this process in MiB, where the system tells.
fn rss_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}
