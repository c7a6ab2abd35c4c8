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
use schemas::shard::{FRAMES_DIR, ShardReader};

use super::existing::{Existing, Finished};
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
    /// Inputs of which finished shards are replaced.
    pub(crate) replaced: Vec<String>,
    /// Finished shards that no input has any more.
    pub(crate) obsolete: Vec<String>,
    /// Inputs that lack something by now, whose shards of before are kept; a line each.
    pub(crate) damaged_inputs: Vec<String>,
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
            damaged_inputs: damaged.into_values().collect(),
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
                inputs.insert(task.job.id.input.clone());
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
            if finished.frames == 0 && finished.is_incomplete() && was_given(&id.input) {
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

/// Archives that lack something by now though their finished shards lack nothing, and what to say of
/// them.
fn damaged_inputs(existing: &Existing, plan: &[Task]) -> BTreeMap<String, String> {
    let mut damaged = BTreeMap::new();
    for task in plan {
        let Content::Files { files, .. } = &task.job.content else {
            continue;
        };
        let Some(lack) = files.lack() else { continue };
        let input = &task.job.id.input;
        let mut finished = existing.of_input(input).peekable();
        if finished.peek().is_some() && finished.all(|(_, shard)| !shard.is_incomplete()) {
            let path = task.job.path().display();
            let line = format!(
                "{path} lacks something by now ({lack}); its frames of before are kept: fetch it again"
            );
            damaged.insert(input.clone(), line);
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
    // All shards of an input begin alike: its stem and hash come before the first item.
    let of_input = shard
        .rsplit_once('-')
        .map_or(shard, |(of_input, _)| of_input);
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

/// Whether the set has shards under a name of `tasks` that are of another input: given as another
/// path, and not equal in what it holds. Of shards of format 2, which know no sizes, one common item
/// is enough to be taken for the same input.
///
/// # Errors
/// If a shard cannot be read.
pub(crate) fn holds_another(dir: &Path, existing: &Existing, tasks: &[Task]) -> Result<bool> {
    let planned: HashMap<String, &Task> =
        tasks.iter().map(|task| (task.file_name(), task)).collect();
    let inputs: BTreeSet<&str> = tasks.iter().map(|task| &task.job.id.input[..]).collect();
    for input in inputs {
        let mut old = Vec::new();
        for (name, finished) in existing.of_input(input) {
            if finished.input.is_none() {
                old.push(name);
                continue;
            }
            let is_equal = match planned.get(name) {
                Some(task) => state(dir, finished, task, Compare::Sizes)? == State::Same,
                None => false,
            };
            if !is_equal {
                return Ok(true);
            }
        }
        if !old.is_empty() && !has_common_item(dir, &old, tasks, input)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Refuses a file of Waymo's whose shard the set has of another file: one of the same name and
/// folder, given as another path, of other bytes, and the name says no drive.
///
/// # Errors
/// If there is one, or a shard cannot be read.
pub(crate) fn refuse_namesake(dir: &Path, existing: &Existing, tasks: &[Task]) -> Result<()> {
    for task in tasks.iter().filter(|task| !task.job.names_its_drive()) {
        let Some(finished) = existing.shards.get(&task.file_name()) else {
            continue;
        };
        let mut known = existing.given.with(&task.job.id.input).peekable();
        let Some(first) = known.peek().map(|given| given.root.clone()) else {
            continue;
        };
        let is_known = known.any(|given| given.root == task.given.root);
        let is_there = Path::new(&first).exists();
        if !is_known && is_there && state(dir, finished, task, Compare::Sizes)? != State::Same {
            return Err(Error::SameName {
                name: task.job.id.input.clone(),
                first: first.into(),
                second: task.job.path().to_owned(),
            });
        }
    }
    Ok(())
}

fn has_common_item(dir: &Path, shards: &[&String], tasks: &[Task], input: &str) -> Result<bool> {
    let mut sources = HashSet::new();
    for name in shards {
        let shard = ShardReader::open(&dir.join(FRAMES_DIR).join(name))?;
        sources.extend(shard.rows()?.into_iter().map(|row| row.meta.source));
        sources.extend(shard.skipped().iter().map(|skipped| skipped.source.clone()));
    }
    let of_input = tasks.iter().filter(|task| task.job.id.input == input);
    Ok(sources.is_empty()
        || of_input.into_iter().any(|task| match &task.job.content {
            Content::Files { files, .. } => {
                let end = task.job.id.end_item.unwrap_or(files.len());
                (task.job.id.first_item..end).any(|ix| sources.contains(&files.source(ix)))
            }
            _ => true,
        }))
}
