//! Inputs of one name: whether the shards that the set has under it are of what lies there now.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use schemas::shard::{FRAMES_DIR, ShardReader};

use super::existing::{Existing, Finished};
use super::state::{Compare, State, state};
use crate::error::{Error, Result};
use crate::source::Content;
use crate::task::Task;

/// What a set has under the names of some tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// No shard.
    Nothing,
    /// Shards that are equal in what they hold.
    Equal,
    /// Those of another input.
    Another,
}

/// What the set in `dir` has under the names of `tasks`, which are given as a path that it does not
/// know. Of shards of format 2, which know no sizes, one common item is enough to be taken for the
/// same input.
///
/// # Errors
/// If a shard cannot be read.
pub(crate) fn held(dir: &Path, existing: &Existing, tasks: &[Task]) -> Result<Held> {
    let planned: HashMap<String, &Task> =
        tasks.iter().map(|task| (task.file_name(), task)).collect();
    let inputs: BTreeSet<&str> = tasks.iter().map(|task| &task.job.id.input[..]).collect();
    let mut found = Held::Nothing;
    for input in inputs {
        let mut old = Vec::new();
        for (name, finished) in existing.of_input(input) {
            found = Held::Equal;
            if finished.input.is_none() {
                old.push(name);
                continue;
            }
            let is_equal = match planned.get(name) {
                Some(task) => state(dir, finished, task, Compare::Sizes)? == State::Same,
                None => false,
            };
            if !is_equal {
                return Ok(Held::Another);
            }
        }
        if !old.is_empty() && !has_common_item(dir, &old, tasks, input)? {
            return Ok(Held::Another);
        }
    }
    Ok(found)
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

/// Refuses a file of Waymo's whose shard the set has of another file: one of the same name and
/// folder, given as another path, of other bytes and, as far as can be seen, of another drive.
///
/// # Errors
/// If there is one, or a shard cannot be read.
pub(crate) fn refuse_namesake(dir: &Path, existing: &Existing, tasks: &[Task]) -> Result<()> {
    for task in tasks.iter().filter(|task| !task.job.names_its_drive()) {
        let Some(finished) = existing.shards.get(&task.file_name()) else {
            continue;
        };
        let mut known = existing.given.with(&task.job.id.input);
        let is_known = known.any(|given| given.root == task.given.root);
        if !is_known
            && state(dir, finished, task, Compare::Sizes)? != State::Same
            && !may_be_of_its_drive(dir, finished, task)?
        {
            return Err(same_name(dir, existing, task));
        }
    }
    Ok(())
}

/// Whether the frames of `finished` are of the drive that the file of `task` is of, or there are
/// none.
fn may_be_of_its_drive(dir: &Path, finished: &Finished, task: &Task) -> Result<bool> {
    let shard = ShardReader::open(&dir.join(FRAMES_DIR).join(finished.id.file_name()))?;
    let rows = shard.rows()?;
    let drive = task.job.first_drive();
    Ok(rows
        .first()
        .is_none_or(|row| drive.is_some() && row.meta.segment.as_deref() == drive))
}

/// The refusal of `task`: the set has an input of its name.
pub(crate) fn same_name(dir: &Path, existing: &Existing, task: &Task) -> Error {
    let input = &task.job.id.input;
    let known = existing.given.with(input).next();
    let shard = || dir.join(FRAMES_DIR).join(task.file_name());
    Error::SameName {
        name: input.clone(),
        first: known.map_or_else(shard, |given| PathBuf::from(&given.root)),
        second: task.job.path().to_owned(),
    }
}
