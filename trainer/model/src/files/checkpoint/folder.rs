//! The folder of a run's checkpoints: which there are, and which go.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Beginning and end of a checkpoint's name.
const PREFIX: &str = "step_";
const SUFFIX: &str = ".safetensors";
/// What is appended to the name of a damaged one.
const DAMAGED: &str = ".damaged";

/// All checkpoints of a run by step, oldest first.
///
/// # Errors
/// If the folder cannot be read. One that is not there holds none.
pub fn list(run_dir: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let step_of = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?;
        name.strip_prefix(PREFIX)?
            .strip_suffix(SUFFIX)?
            .parse()
            .ok()
    };
    let all = entries(run_dir)?.into_iter();
    let mut found: Vec<(u64, PathBuf)> = all
        .filter_map(|path| Some((step_of(&path)?, path)))
        .collect();
    found.sort();
    Ok(found)
}

/// Removes old checkpoints. The newest `keep` stay, and so do the milestones.
///
/// # Errors
/// If the folder cannot be read, or a file not removed.
pub fn prune(run_dir: &Path, keep: u64, milestone_every_steps: u64) -> Result<()> {
    let all = list(run_dir)?;
    let old = all.len().saturating_sub(keep as usize);
    let is_milestone =
        |step: u64| milestone_every_steps > 0 && step.is_multiple_of(milestone_every_steps);
    for (_, path) in all[..old].iter().filter(|(step, _)| !is_milestone(*step)) {
        fs::remove_file(path).with_context(|| format!("removing {path:?}"))?;
    }
    Ok(())
}

/// Removes files that a kill left half-written.
///
/// # Errors
/// If the folder cannot be read, or one not removed.
pub fn remove_partial(run_dir: &Path) -> Result<()> {
    let partial = |path: &PathBuf| path.extension().is_some_and(|end| end == "partial");
    for path in entries(run_dir)?.into_iter().filter(partial) {
        fs::remove_file(&path).with_context(|| format!("removing {path:?}"))?;
    }
    Ok(())
}

/// The folder of a run's checkpoints.
pub fn folder(run_dir: &Path) -> PathBuf {
    run_dir.join("checkpoints")
}

/// The name of the checkpoint after `step` steps.
pub(super) fn file_name(step: u64) -> String {
    format!("{PREFIX}{step:010}{SUFFIX}")
}

/// Gives a damaged checkpoint another name, under which [`list`] does not find it.
///
/// # Errors
/// If it cannot be renamed.
pub(super) fn set_aside(path: &Path) -> Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(DAMAGED);
    fs::rename(path, aside).with_context(|| format!("renaming {path:?}"))
}

/// How many have been set aside.
///
/// # Errors
/// If the folder cannot be read.
pub(super) fn num_set_aside(run_dir: &Path) -> Result<usize> {
    let is_aside = |path: &&PathBuf| path.to_string_lossy().ends_with(DAMAGED);
    Ok(entries(run_dir)?.iter().filter(is_aside).count())
}

/// Everything in the folder of checkpoints. Only where there is no such name is there nothing: a
/// folder that cannot be looked into is no empty one.
fn entries(run_dir: &Path) -> Result<Vec<PathBuf>> {
    let folder = folder(run_dir);
    let nothing =
        |error: &io::Error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
    if fs::symlink_metadata(&folder).is_err_and(|error| nothing(&error)) {
        return Ok(Vec::new());
    }
    fs::read_dir(&folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .with_context(|| format!("listing {folder:?}"))
}
