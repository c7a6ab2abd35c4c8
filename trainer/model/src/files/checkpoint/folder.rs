//! The folder of a run's checkpoints: which there are, and which go.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// All checkpoints of a run by step, oldest first.
///
/// # Errors
/// If the folder cannot be read. One that is not there holds none.
pub fn list(run_dir: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let folder = folder(run_dir);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(&folder).with_context(|| format!("listing {folder:?}"))?;
    let mut found: Vec<(u64, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?;
            let step = name.strip_prefix("step_")?.strip_suffix(".safetensors")?;
            Some((step.parse().ok()?, path))
        })
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
/// If one cannot be removed.
pub fn remove_partial(run_dir: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder(run_dir)) else {
        return Ok(());
    };
    let partial = entries.filter_map(|e| e.ok().map(|e| e.path()));
    for path in partial.filter(|p| p.extension().is_some_and(|e| e == "partial")) {
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
    format!("step_{step:010}.safetensors")
}
