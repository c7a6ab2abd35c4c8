//! Which shards of a plan are finished, which are to be made, and which finished ones are no more.
//!
//! A shard whose input has other bytes is made again. Other items are another matter: files that
//! were added to a folder or removed from it would shift all shards behind them, which runs that
//! draw from the set would not survive, so that is refused. It is not where the input is one file
//! that has been replaced as a whole, or where something of it was missing before.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use rayon::prelude::*;
use schemas::inputs::GivenInput;
use schemas::shard::FRAMES_DIR;

use super::existing::{Existing, Finished, stem_of};
use super::journal::Noted;
use super::state::{Compare, State, state};
use crate::error::{Error, Result};
use crate::source::Content;
use crate::task::Task;

/// What is to be done.
#[derive(Debug, Default)]
pub(crate) struct Sorted {
    /// Shards to make.
    pub(crate) pending: Vec<Task>,
    /// Inputs whose finished shards are replaced by ones of other items.
    pub(crate) replaced: Vec<String>,
    /// Finished shards that no input has any more.
    pub(crate) obsolete: Vec<String>,
    /// Inputs that lack something by now, whose shards of before are kept, and a line about each.
    pub(crate) damaged_inputs: BTreeMap<String, String>,
}

impl Sorted {
    /// Sorts `plan`, which holds every shard of its inputs; of them `own` are this run's to make.
    ///
    /// # Errors
    /// If files were added to or removed from a folder since its shards were written, or a shard or
    /// an input cannot be read.
    pub(crate) fn of(
        dir: &Path,
        existing: &Existing,
        plan: &[Task],
        own: Vec<Task>,
        compare: Compare,
    ) -> Result<Self> {
        let noted = Noted::read(dir)?;
        let replaced = Replaced::of(existing, &noted, plan);
        let damaged = damaged_inputs(existing, plan);
        let obsolete = obsolete(dir, existing, plan, &damaged, &replaced)?;
        let own = without(own, &damaged);
        let states: Vec<Result<Option<State>>> = own
            .par_iter()
            .map(|task| {
                let finished = existing.shards.get(&task.file_name());
                finished
                    .map(|finished| state(dir, finished, task, compare))
                    .transpose()
            })
            .collect();
        let mut sorted = Self {
            damaged_inputs: damaged,
            obsolete,
            ..Self::default()
        };
        let obsolete = sorted.obsolete.iter().map(|name| &existing.shards[name].id);
        let mut inputs: BTreeSet<String> = obsolete.map(|id| id.input.clone()).collect();
        for (mut task, state) in own.into_iter().zip(states) {
            let state = state?;
            if state == Some(State::Same) {
                continue;
            }
            if state == Some(State::OtherItems) && !replaced.has(&task.job.id.input) {
                return Err(input_changed(dir, &task.file_name()));
            }
            if let Some(finished) = existing.shards.get(&task.file_name()) {
                if finished.is_incomplete() || state == Some(State::OtherItems) {
                    inputs.insert(task.job.id.input.clone());
                }
                task.replaces = Some(finished.lacks);
            }
            sorted.pending.push(task);
        }
        sorted.replaced = inputs.into_iter().collect();
        Ok(sorted)
    }
}

/// Finished shards that no input has any more: of an input that has been replaced as a whole, or of
/// a place below what was given that could not be read and is whole now.
fn obsolete(
    dir: &Path,
    existing: &Existing,
    plan: &[Task],
    damaged: &BTreeMap<String, String>,
    replaced: &Replaced<'_>,
) -> Result<Vec<String>> {
    let planned: HashMap<String, &Task> =
        plan.iter().map(|task| (task.file_name(), task)).collect();
    let inputs: HashSet<&str> = plan.iter().map(|task| &task.job.id.input[..]).collect();
    let mut given: Vec<&GivenInput> = plan.iter().map(|task| &*task.given).collect();
    given.dedup_by(|a, b| std::ptr::eq(*a, *b));
    let was_given = |input: &str| {
        given.iter().any(|given| {
            let known = existing.given.of_root(&given.dataset, &given.root);
            known.is_some_and(|known| known.inputs.iter().any(|own| own == input))
        })
    };
    let mut found = Vec::new();
    for (name, finished) in &existing.shards {
        let (id, task) = (&finished.id, planned.get(name));
        if damaged.contains_key(&id.input) || task.is_some_and(|task| task.job.id == *id) {
            continue;
        }
        if !inputs.contains(&id.input[..]) {
            if finished.lacks.frames == 0 && finished.is_incomplete() && was_given(&id.input) {
                found.push(name.clone());
            }
            continue;
        }
        if !replaced.has(&id.input) {
            return Err(input_changed(dir, name));
        }
        if task.is_none() {
            found.push(name.clone());
        }
    }
    Ok(found)
}

/// Archives and folders that lack something by now though their finished shards lack nothing, or have
/// more, and what to say of them.
fn damaged_inputs(existing: &Existing, plan: &[Task]) -> BTreeMap<String, String> {
    let mut damaged = BTreeMap::new();
    // Each input once.
    for task in plan.iter().filter(|task| task.job.id.first_item == 0) {
        let Content::Files { files, .. } = &task.job.content else {
            continue;
        };
        let Some(lack) = files.lack() else { continue };
        let input = &task.job.id.input;
        let finished: Vec<&Finished> = existing.of_input(input).map(|(_, shard)| shard).collect();
        let was_whole = !finished.iter().any(|shard| shard.is_incomplete());
        let num_before: u64 = finished.iter().map(|shard| shard.num_read()).sum();
        if !finished.is_empty() && (was_whole || files.num_there() < num_before) {
            damaged.insert(input.clone(), task.keeps_frames_of_before(&lack));
        }
    }
    damaged
}

fn without(mut tasks: Vec<Task>, inputs: &BTreeMap<String, String>) -> Vec<Task> {
    tasks.retain(|task| !inputs.contains_key(&task.job.id.input));
    tasks
}

/// The inputs whose shards may be replaced by others.
struct Replaced<'a>(HashSet<&'a str>);

impl<'a> Replaced<'a> {
    fn of(existing: &'a Existing, noted: &Noted, plan: &'a [Task]) -> Self {
        let bytes_now: BTreeMap<&str, Option<u64>> = plan
            .iter()
            .map(|task| (&task.job.id.input[..], task.job.bytes()))
            .collect();
        let is_replaced = |shard: &Finished| {
            let was = shard.input.as_ref().and_then(|record| record.bytes);
            let now = bytes_now.get(&shard.id.input[..]).copied().flatten();
            let is_one_file = was.is_some() && now.is_some();
            is_one_file || shard.is_incomplete() || noted.replacing.contains(&shard.id.input)
        };
        let shards = existing.shards.values();
        Self(
            shards
                .filter(|shard| is_replaced(shard))
                .map(|shard| &shard.id.input[..])
                .collect(),
        )
    }

    fn has(&self, input: &str) -> bool {
        self.0.contains(input)
    }
}

fn input_changed(dir: &Path, shard: &str) -> Error {
    let of_input = stem_of(shard);
    Error::Output {
        detail: format!(
            "files were added to or removed from an input since its shard {shard:?} was written"
        ),
        dir: dir.to_owned(),
        advice: format!(
            "give new images as a folder of their own, or make the input's shards anew: \
             `rm {}/{FRAMES_DIR}/{of_input}-*.parquet` and run the same command again",
            dir.display()
        ),
    }
}
