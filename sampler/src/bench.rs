//! `sampler bench`: how fast, and where the time goes.
//!
//! Three phases over the same frames: a warm-up (buffers grow, pages are read), the throughput without any timer
//! inside the workers, and the stages, with the CPU clock of each worker thread read after every stage. The consumer
//! drops each batch at once, so the workers are the only limit.

use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use sampler::stages::{Clock, Stage};
use sampler::{Batches, Counters, Cursor, Profile, Sampler, SamplerConfig};
use serde_json::json;

use crate::cli::BenchArgs;
use crate::progress::Progress;
use crate::report::{grouped, print, print_json, rounded, rss_mib};

const WARM_UP: Duration = Duration::from_millis(1500);
/// Share of `--seconds` that the stages are measured for.
const STAGES_SHARE: f64 = 0.4;
/// Used when there are at least as many frames.
const DEFAULT_BATCH: usize = 64;

/// What was measured.
#[derive(Debug)]
struct Measured {
    threads: usize,
    batch: usize,
    pinned: bool,
    pairs_per_s: f64,
    counters: Counters,
    profile: Profile,
    rss_mib: Option<f64>,
}

/// Runs the command.
pub fn run(args: &BenchArgs) -> anyhow::Result<()> {
    ensure!(args.seconds > 0.0 && args.seconds.is_finite(), "--seconds is {}, but must be more than 0", args.seconds);
    let sampler = Sampler::open(&args.set.shards, args.config())?;
    let batch = args.batch.unwrap_or(DEFAULT_BATCH.min(sampler.num_frames() as usize));
    let config = SamplerConfig { batch, ..sampler.config().clone() };
    let sampler = sampler.with_config(config)?;
    let measured = measure(&sampler, Duration::from_secs_f64(args.seconds))?;
    if args.json { print_json(&measured.to_json()) } else { print(&measured.to_table(&sampler, args)) }
}

fn measure(sampler: &Sampler, time: Duration) -> anyhow::Result<Measured> {
    let mut batches = sampler.start(Cursor::default())?;
    // Every slot once, and every thread a few samples.
    take_for(&mut batches, WARM_UP, "warming up")?;
    let before = batches.counters();
    let started = Instant::now();
    take_for(&mut batches, time, "measuring throughput")?;
    let seconds = started.elapsed().as_secs_f64();
    let counters = difference(batches.counters(), before);
    let (threads, pinned) = (batches.num_threads(), batches.is_pinned());
    let from = batches.cursor();
    drop(batches);

    let timed = sampler.with_config(SamplerConfig { clock: Clock::ThreadCpu, ..sampler.config().clone() })?;
    let mut batches = timed.start(from)?;
    take_for(&mut batches, WARM_UP / 3, "warming up")?;
    let before = batches.profile();
    take_for(&mut batches, time.mul_f64(STAGES_SHARE), "measuring stages")?;
    let profile = batches.profile().since(&before);
    Ok(Measured {
        threads,
        batch: sampler.config().batch,
        pinned,
        pairs_per_s: counters.pairs as f64 / seconds,
        counters,
        profile,
        rss_mib: rss_mib(),
    })
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

impl Measured {
    fn per_pair(&self, total: u64) -> f64 {
        total as f64 / self.profile.samples.max(1) as f64
    }

    fn cpu_ms_per_pair(&self) -> f64 {
        self.per_pair(self.profile.cpu_ns) / 1e6
    }

    fn stage_ms(&self, stage: Stage) -> f64 {
        self.per_pair(self.profile.stages.spent_ns(stage)) / 1e6
    }

    fn mean_tries(&self) -> f64 {
        self.counters.tries as f64 / self.counters.pairs.max(1) as f64
    }

    fn to_json(&self) -> serde_json::Value {
        let stages: serde_json::Map<_, _> = Stage::ALL
            .into_iter()
            .map(|stage| (stage.name().to_owned(), json!(rounded(self.stage_ms(stage), 5))))
            .collect();
        json!({
            "pairs_per_s": rounded(self.pairs_per_s, 1),
            "cpu_ms_per_pair": rounded(self.cpu_ms_per_pair(), 5),
            "bytes_per_pair": self.per_pair(self.profile.bytes_read).round(),
            "stages_ms": stages,
            "threads": self.threads,
            "batch": self.batch,
            "mean_tries": rounded(self.mean_tries(), 3),
            "fallbacks": self.counters.fallbacks,
            "rss_mib": self.rss_mib.map(|mib| rounded(mib, 1)),
            "pinned": self.pinned,
        })
    }

    fn to_table(&self, sampler: &Sampler, args: &BenchArgs) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_table(&mut text, sampler, args);
        text
    }

    fn write_table(&self, out: &mut String, sampler: &Sampler, args: &BenchArgs) -> std::fmt::Result {
        let frames = grouped(sampler.num_frames());
        let level = if args.set.exact { "level 0 only" } else { "coarsest sufficient level" };
        writeln!(out, "{}: {frames} frames, IoU ≥ {}, {level}", args.set.shards.display(), args.iou)?;
        writeln!(out, "{} threads, batch {}, depth {}\n", self.threads, self.batch, args.depth)?;
        writeln!(out, "{:>10.0} pairs/s", self.pairs_per_s)?;
        writeln!(out, "{:>10.3} ms of CPU a pair", self.cpu_ms_per_pair())?;
        writeln!(out, "{:>10.1} KB read a pair", self.per_pair(self.profile.bytes_read) / 1e3)?;
        let fallbacks = self.counters.fallbacks;
        writeln!(out, "{:>10.2} tries a pair ({fallbacks} of {} fell back)", self.mean_tries(), self.counters.pairs)?;
        if let Some(mib) = self.rss_mib {
            writeln!(out, "{mib:>10.0} MiB resident")?;
        }
        let memory = if self.pinned { "page-locked" } else { "ordinary" };
        writeln!(out, "{memory:>10} memory holds the batches")?;
        if self.counters.replaced > 0 {
            writeln!(out, "{:>10} broken frames replaced", self.counters.replaced)?;
        }
        writeln!(out, "\n{:<12}{:>10}{:>10}", "stage", "ms/pair", "share")?;
        let cpu_ms = self.cpu_ms_per_pair();
        let mut row = |name: &str, ms: f64| {
            let share = 100.0 * ms / cpu_ms;
            let bar = "▇".repeat((share / 2.5).round() as usize);
            writeln!(out, "{name:<12}{ms:>10.4}{share:>8.1} %  {bar}")
        };
        let mut sum = 0.0;
        for stage in Stage::ALL {
            row(stage.name(), self.stage_ms(stage))?;
            sum += self.stage_ms(stage);
        }
        row("(between)", (cpu_ms - sum).max(0.0))
    }
}
