//! How a run ends that cannot go on: what has been learnt is kept.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use console::told_elsewhere;
use model::files::checkpoint;
use sampler::Cursor;

use super::checkpoint_writer::CheckpointWriter;
use super::session::Session;

/// Stops the run at its first bad step, before anything is written of it or after it but the state
/// before it, which the gate has kept. `known_good` is a step before it and the batch after that.
pub(super) fn refuse_bad_step(
    s: &mut Session,
    checkpoints: &mut CheckpointWriter,
    (good_step, good_cursor): (u64, Cursor),
) -> Result<()> {
    let Some((bad_step, term)) = s.stepper.gate.first_bad() else {
        return Ok(());
    };
    let bad = format!("{term}{} is not finite at step {bad_step}", culprits(s));
    let before = bad_step - 1;
    let batches = (before - good_step) * s.config.data.accumulate;
    let cursor = good_cursor.advanced(batches, s.sampler.steps_per_epoch());
    let ranks = s.ranks.clone();
    let saved = ranks.first_alone(|| save_once(s, checkpoints, before, cursor));
    let saved = saved.with_context(|| format!("{bad}, and the state before it cannot be saved"))?;
    let Some(saved) = saved else {
        // Rank 0 says it.
        return Err(told_elsewhere(false));
    };
    let state = match saved {
        Some(path) => format!("the state before it is {}", path.display()),
        None => "nothing has been learnt yet".to_owned(),
    };
    Err(anyhow!(
        "{bad}; {state}. A lower optim.base_lr (with --allow-change optim.base_lr) or a longer warm-up may help"
    ))
}

/// On which ranks a loss was bad, if there are several.
fn culprits(s: &Session) -> String {
    let ranks: Vec<String> = s
        .stepper
        .gate
        .culprits()
        .into_iter()
        .map(|rank| format!("rank {rank} ({})", s.ranks.hosts()[rank]))
        .collect();
    // Batch norm over all ranks passes what is not finite on to every one of them.
    match ranks.is_empty() || ranks.len() == s.ranks.size() {
        true => String::new(),
        false => format!(" on {}", ranks.join(", ")),
    }
}

/// The loader gives no more batches: the step under way is dropped, and the steps done become a
/// checkpoint. The error that ends the run.
pub(super) fn end_without_data(
    s: &mut Session,
    (began_at, known_good): (u64, (u64, Cursor)),
    checkpoints: &mut CheckpointWriter,
    why: sampler::Error,
) -> anyhow::Error {
    let why = anyhow::Error::new(why).context("loading a batch");
    s.stepper.gate.abandon();
    if s.step == began_at || !s.ranks.is_first() {
        return why;
    }
    let kept = match keep(s, checkpoints, known_good) {
        Ok(path) => format!("kept in {}", path.display()),
        Err(error) => format!("which could not be kept ({error:#})"),
    };
    why.context(format!("stopped after step {}, {kept}", s.step))
}

/// Writes a checkpoint of the steps done, if they are good.
fn keep(
    s: &mut Session,
    checkpoints: &mut CheckpointWriter,
    known_good: (u64, Cursor),
) -> Result<PathBuf> {
    // The others are in the midst of a step, so nothing is asked of them.
    anyhow::ensure!(
        !s.ranks.are_several() || s.stepper.gate.first_bad().is_none(),
        "a step was bad"
    );
    refuse_bad_step(s, checkpoints, known_good)?;
    save_once(s, checkpoints, s.step, s.cursor)?.context("steps were done")
}

/// The checkpoint after `step` steps, which is written unless it is there. There is none of step 0
/// but an imported one.
fn save_once(
    s: &Session,
    checkpoints: &mut CheckpointWriter,
    step: u64,
    cursor: Cursor,
) -> Result<Option<PathBuf>> {
    checkpoints.wait()?;
    let run_dir = s.run_dir.as_ref().context("rank 0 has a folder")?;
    let newest = checkpoint::list(run_dir.path())?.pop();
    match newest {
        Some((of, path)) if of == step => Ok(Some(path)),
        _ if step == 0 => Ok(None),
        _ => {
            checkpoints.submit(|| s.snapshot(step, cursor))?;
            Ok(checkpoints.wait()?.map(PathBuf::from))
        }
    }
}
