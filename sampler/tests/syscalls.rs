//! Counts the system calls of a warm pipeline with strace: per sample one for each level read, or none
//! if shards are mapped.
//!
//! The test runs itself under strace twice, for few batches and for many; what the longer run made
//! more of is what a batch costs. Threads that wait for each other do so in `futex`, a few times a
//! batch. Bytes that seem cold are asked for with `madvise` or `fadvise64`: not in this set, but a
//! thread that lost its core at the wrong moment may believe so.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use sampler::{Cursor, Reading, Sampler, SamplerConfig};
use testkit::photos;

const BATCH: usize = 8;
const FEW: usize = 60;
const MANY: usize = 260;
/// Tells a run under strace how many batches to take, of which set, and how to read it.
const TAKE: &str = "SAMPLER_TEST_TAKE";
const MAPPED: &str = "SAMPLER_TEST_MAPPED";
const SET: &str = "SAMPLER_TEST_SET";

fn take_batches(count: usize, set: &Path) {
    let config = SamplerConfig {
        reading: match std::env::var_os(MAPPED) {
            Some(_) => Reading::Mmap,
            None => Reading::Pread,
        },
        batch: BATCH,
        depth: 4,
        threads: 2,
        ..SamplerConfig::default()
    };
    let batches = Sampler::open(set, config)
        .unwrap()
        .start(Cursor::default())
        .unwrap();
    for batch in batches.take(count) {
        assert_eq!(batch.unwrap().len(), BATCH);
    }
}

/// Calls by name, of a run that takes `count` batches, or why strace does not count here.
fn count_calls(
    count: usize,
    set: &Path,
    reading: Reading,
) -> Result<BTreeMap<String, f64>, String> {
    let report = set.join("calls");
    let mut command = Command::new("strace");
    if reading == Reading::Mmap {
        command.env(MAPPED, "");
    }
    let output = command
        .args(["-f", "-qq", "-c", "-U", "calls,name", "-o"])
        .arg(&report)
        .arg(std::env::current_exe().unwrap())
        .args([
            "a_warm_pipeline_asks_the_system_for_levels_alone",
            "--exact",
        ])
        .env(TAKE, count.to_string())
        .env(SET, set)
        .output()
        .map_err(|error| format!("strace: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "strace: {}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    let row = |line: &str| {
        let mut words = line.split_whitespace();
        let calls = words.next()?.parse().ok()?;
        Some((words.next()?.to_owned(), calls)).filter(|(name, _)| name != "total")
    };
    let report = std::fs::read_to_string(report).unwrap();
    Ok(report.lines().filter_map(row).collect())
}

#[test]
fn a_warm_pipeline_asks_the_system_for_levels_alone() {
    if let (Ok(count), Some(set)) = (std::env::var(TAKE), std::env::var_os(SET)) {
        return take_batches(count.parse().unwrap(), Path::new(&set));
    }
    let dir = tempfile::tempdir().unwrap();
    photos::write(dir.path(), 16, 16);
    for (reading, reads) in [(Reading::Mmap, 0.02), (Reading::Pread, 2.0)] {
        let counted = count_calls(FEW, dir.path(), reading)
            .and_then(|few| Ok((few, count_calls(MANY, dir.path(), reading)?)));
        match counted {
            Ok((few, many)) => check(&few, &many, reads),
            Err(why) => return testkit::skip(&why),
        }
    }
}

/// That the longer run's further samples took no more than `reads` reads each, and nothing else.
fn check(few: &BTreeMap<String, f64>, many: &BTreeMap<String, f64>, reads: f64) {
    assert!(few.values().sum::<f64>() > 0.0, "the counter counts");
    let samples = ((MANY - FEW) * BATCH) as f64;
    for (name, calls) in many {
        let per_sample = (calls - few.get(name).unwrap_or(&0.0)) / samples;
        let limit = match name.as_str() {
            "futex" => 8.0 / BATCH as f64,
            "madvise" => 0.25,
            "pread64" => reads,
            // Under strace a read takes as long as one from a disk.
            "fadvise64" => 2.0 * reads,
            _ => 0.02,
        };
        assert!(per_sample <= limit, "{per_sample} calls of {name} a sample");
    }
}
