//! Runs beside each other, drawn from their `metrics.jsonl`.
//!
//! One panel a quantity, one colour a run. A run that is still under way may be drawn too: the line
//! that it is writing is left out. Nothing is computed anew, so a plot needs neither checkpoints
//! nor shards.

mod curve;
mod runs;
mod sheet;

use std::path::{Path, PathBuf};

use anyhow::Result;
use console::usage;

pub use runs::By;

/// Draws the curves of `runs` into the PNG `out`; returns each run in a few words.
///
/// # Errors
/// If a folder holds no metrics, there are more runs than colours, or the picture cannot be
/// written.
pub fn draw(runs: &[PathBuf], by: By, out: &Path) -> Result<Vec<String>> {
    if out.extension().is_none_or(|ending| ending != "png") {
        return Err(usage(format!("--out {out:?} must end in .png")));
    }
    if runs.len() > sheet::MOST_RUNS {
        return Err(usage(format!(
            "{} runs: colours keep {} apart",
            runs.len(),
            sheet::MOST_RUNS
        )));
    }
    let runs = runs::read_all(runs, by)?;
    sheet::draw(&runs, by)
        .and_then(|canvas| canvas.save(out))
        .map_err(usage)?;
    Ok(runs.iter().map(sheet::describe).collect())
}
