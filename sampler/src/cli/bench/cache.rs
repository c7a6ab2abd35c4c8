//! The same samples from a cold page cache and from a warm one.
//!
//! A cold pass opens the set anew, drops its pages (`posix_fadvise(DONTNEED)`; no privileges
//! needed, because nothing has written to them) and samples one epoch, or as much of it as there is
//! time for; the warm pass after it makes the same samples again. What each took from the disk is
//! what the kernel counts for this process.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use console::Progress;
use rustix::fs::{Advice, fadvise};
use sampler::{Cursor, Sampler, SamplerConfig};
use schemas::catalog::Catalog;

use super::measure::next;

/// Small, so that memory for the slots, which every pass takes anew, is no part of the result.
const BATCH: usize = 16;

/// Sums over all passes of one kind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pass {
    pub pairs: u64,
    pub seconds: f64,
    /// Bytes that came from the storage.
    pub disk_bytes: u64,
    /// Page faults that waited for the storage.
    pub major_faults: u64,
}

/// What was measured.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Passes {
    pub cold: Pass,
    pub warm: Pass,
}

impl Pass {
    pub(crate) fn pairs_per_s(&self) -> f64 {
        self.pairs as f64 / self.seconds
    }

    pub(crate) fn per_pair(&self, total: u64) -> f64 {
        total as f64 / self.pairs as f64
    }

    fn add(&mut self, other: Self) {
        self.pairs += other.pairs;
        self.seconds += other.seconds;
        self.disk_bytes += other.disk_bytes;
        self.major_faults += other.major_faults;
    }
}

/// Measures cold and warm passes in turns, for `time` in all, and at least one of each.
pub(crate) fn measure(
    shards: &Path,
    config: &SamplerConfig,
    time: Duration,
) -> anyhow::Result<Passes> {
    let config = SamplerConfig {
        batch: BATCH.min(config.batch),
        ..config.clone()
    };
    let progress = Progress::announce("measuring from a cold page cache", time.as_millis() as u64);
    let started = Instant::now();
    let mut passes = Passes::default();
    for epoch in 0.. {
        let from = Cursor { epoch, step: 0 };
        let left = time.saturating_sub(started.elapsed());
        let cold = pass(shards, &config, from, u64::MAX, Some(left / 2))?;
        passes.cold.add(cold);
        passes.warm.add(pass(
            shards,
            &config,
            from,
            cold.pairs / config.batch as u64,
            None,
        )?);
        progress.at(started.elapsed().as_millis() as u64);
        if started.elapsed() >= time {
            break;
        }
    }
    Ok(passes)
}

/// Samples up to `most_steps` steps of an epoch; with a limit of time, from cold pages.
fn pass(
    shards: &Path,
    config: &SamplerConfig,
    from: Cursor,
    most_steps: u64,
    cold_for: Option<Duration>,
) -> anyhow::Result<Pass> {
    let sampler = Sampler::open(shards, config.clone())?;
    if cold_for.is_some() {
        drop_pages(sampler.frames().catalog())?;
    }
    let mut batches = sampler.start(from)?;
    let (disk_bytes, major_faults) = (disk_bytes()?, major_faults()?);
    let started = Instant::now();
    for _ in 0..sampler.steps_per_epoch().min(most_steps) {
        drop(next(&mut batches)?);
        if cold_for.is_some_and(|time| started.elapsed() > time) {
            break;
        }
    }
    Ok(Pass {
        pairs: batches.counters().pairs,
        seconds: started.elapsed().as_secs_f64(),
        disk_bytes: self::disk_bytes()? - disk_bytes,
        major_faults: self::major_faults()? - major_faults,
    })
}

/// Drops all shards from the page cache. They must not be mapped by this process.
fn drop_pages(catalog: &Catalog) -> anyhow::Result<()> {
    for (ix, _) in (0..).zip(catalog.shards()) {
        let path = catalog.shard_path(ix);
        let drop = || -> std::io::Result<()> {
            let file = File::open(&path)?;
            // Pages that are still to be written out cannot be dropped.
            file.sync_data()?;
            Ok(fadvise(&file, 0, None, Advice::DontNeed)?)
        };
        drop().with_context(|| format!("cannot drop {path:?} from the page cache"))?;
    }
    Ok(())
}

/// Bytes that this process has caused to be read from storage.
fn disk_bytes() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/io")
        .context("cannot read /proc/self/io, which --cold needs")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("read_bytes:"));
    line.and_then(|bytes| bytes.trim().parse().ok())
        .context("/proc/self/io has no read_bytes")
}

/// Page faults of this process that waited for storage (field 12 of `/proc/self/stat`, see
/// proc(5)).
fn major_faults() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/stat")
        .context("cannot read /proc/self/stat, which --cold needs")?;
    let behind_name = text.rsplit(')').next();
    let field = behind_name.and_then(|fields| fields.split_whitespace().nth(9));
    field
        .and_then(|faults| faults.parse().ok())
        .context("/proc/self/stat has another form")
}
