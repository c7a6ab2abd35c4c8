//! Checks a set from the first byte to the last: every checksum, every JPEG, the catalog and the
//! report against the shards.
//!
//! What is wrong is named as narrowly as the checksums allow, a frame's JPEG or a part of a file,
//! with what to do about it. A shard is a function of its input, so its repair is to make it again;
//! catalog and report follow from the shards.

mod bytes;
mod catalog;
mod flipped_bit;
mod shard;
mod verdict;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use crossbeam::channel::unbounded;
use host::file_name::is_hidden;
use schemas::catalog::{Catalog, no_shards, shard_paths};
use schemas::shard::FRAMES_DIR;

use crate::error::{Error, Result};
use shard::Checker;

pub use verdict::{Problem, Verdict};

/// Checks the set in `dir` on `threads` threads.
///
/// # Errors
/// If there is no set, or its folders cannot be read at all; damage is not an error, but in the
/// verdict.
pub fn verify(dir: &Path, threads: usize) -> Result<Verdict> {
    let paths = shard_paths(dir)?;
    if paths.is_empty() {
        return Err(no_shards(dir, "its frames/ folder is empty").into());
    }
    let (catalog, mut bad) = match catalog::open(dir) {
        Ok(catalog) => (Some(catalog), Vec::new()),
        Err(problem) => (None, vec![*problem]),
    };
    let frames = check_shards(&paths, catalog.as_ref(), threads, &mut bad);
    if let Some(catalog) = &catalog {
        catalog::check_list(catalog, &paths, &mut bad);
        let bad_files: BTreeSet<String> = bad.iter().map(|problem| problem.file.clone()).collect();
        catalog::check_rows(catalog, &bad_files, &mut bad);
    }
    check_others(dir, &mut bad)?;
    // Every repair so far writes the report anew.
    if bad.is_empty() {
        bad.extend(catalog::check_report(dir, catalog.as_ref(), &paths));
    }
    bad.sort();
    Ok(Verdict {
        frames,
        shards: paths.len() as u64,
        bad,
    })
}

/// Checks all shards; returns the number of frames.
fn check_shards(
    paths: &[PathBuf],
    catalog: Option<&Catalog>,
    threads: usize,
    bad: &mut Vec<Problem>,
) -> u64 {
    let (jobs_in, jobs) = unbounded();
    paths
        .iter()
        .for_each(|path| jobs_in.send(path).expect("the receiver is alive"));
    drop(jobs_in);
    let (found_in, found) = unbounded();
    thread::scope(|scope| {
        for _ in 0..threads {
            let (jobs, found) = (jobs.clone(), found_in.clone());
            scope.spawn(move || {
                let mut checker = Checker::new(catalog);
                jobs.iter().for_each(|path| {
                    found
                        .send(checker.check(path))
                        .expect("the receiver outlives this")
                });
            });
        }
        drop(found_in);
        let mut frames = 0;
        for (count, problems) in found {
            frames += count;
            bad.extend(problems);
        }
        frames
    })
}

/// Files among the shards that are none. Hidden ones are the file system's own.
fn check_others(dir: &Path, bad: &mut Vec<Problem>) -> Result<()> {
    let frames = dir.join(FRAMES_DIR);
    for entry in fs::read_dir(&frames).map_err(Error::io("list", &frames))? {
        let path = entry.map_err(Error::io("list", &frames))?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let (problem, repair) = match path.extension().and_then(|ending| ending.to_str()) {
            Some("parquet") => continue,
            _ if is_hidden(&name) => continue,
            Some("tmp") => (
                "it is half a shard",
                "wait for the run that writes it, or run that again".to_owned(),
            ),
            _ => (
                "it is no shard",
                format!("move it out of {}", frames.display()),
            ),
        };
        bad.push(Problem {
            file: name,
            problem: problem.to_owned(),
            repair,
            ..Problem::default()
        });
    }
    Ok(())
}
