//! Whether a finished shard still holds what its input is.
//!
//! Inputs are compared by names and sizes, or by checksums if that is asked for. What format 2 did
//! not note cannot be compared, and is taken for unchanged.

use std::path::Path;

use schemas::frame::Origin;
use schemas::shard::{FRAMES_DIR, InputRecord, Settings, ShardReader};

use super::existing::Finished;
use crate::error::{Error, Result, Trouble};
use crate::source::{Content, Files, read};
use crate::task::Task;

/// What has become of a finished shard's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing.
    Same,
    /// Its bytes have changed, or may have.
    OtherBytes,
    /// It has other items.
    OtherItems,
}

/// How closely to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    Sizes,
    Checksums,
}

/// The state of `finished`, the shard of `task` in the set `dir`.
///
/// # Errors
/// If the shard or the input cannot be read.
pub(crate) fn state(
    dir: &Path,
    finished: &Finished,
    task: &Task,
    compare: Compare,
) -> Result<State> {
    if finished.id != task.job.id {
        return Ok(State::OtherItems);
    }
    let record = finished.input.as_ref();
    let now = task.job.bytes();
    if record.is_some_and(|record| record.bytes.is_some() && now.is_some() && record.bytes != now) {
        return Ok(State::OtherBytes);
    }
    match &task.job.content {
        Content::Files { files, .. } => {
            let shard = ShardReader::open(&dir.join(FRAMES_DIR).join(task.file_name()))?;
            state_of_files(&shard, finished, task, files, compare)
        }
        _ if finished.is_incomplete() => Ok(State::OtherBytes),
        _ if compare == Compare::Checksums => by_checksum(task, record),
        _ => Ok(State::Same),
    }
}

fn by_checksum(task: &Task, record: Option<&InputRecord>) -> Result<State> {
    let Some(was) = record.and_then(|record| record.crc32c) else {
        return Ok(State::Same);
    };
    Ok(match task.job.crc32c()? {
        Some(now) if now != was => State::OtherBytes,
        _ => State::Same,
    })
}

/// Compares a folder's or an archive's files item by item, in their order.
fn state_of_files(
    shard: &ShardReader,
    finished: &Finished,
    task: &Task,
    files: &Files,
    compare: Compare,
) -> Result<State> {
    let rows = shard.rows()?;
    let mut rows = rows.iter().peekable();
    let mut skipped = shard.skipped().iter().peekable();
    let id = &task.job.id;
    let end = id.end_item.unwrap_or(files.len());
    let mut state = match finished.is_incomplete() {
        true => State::OtherBytes,
        false => State::Same,
    };
    let mut origins = Vec::new();
    for ix in id.first_item..end {
        let source = files.source(ix);
        let origin = if let Some(row) = rows.next_if(|row| row.meta.source == source) {
            row.origin
        } else if let Some(skipped) = skipped.next_if(|skipped| skipped.source == source) {
            if skipped.origin.is_none() && files.can_be_opened(ix) {
                state = State::OtherBytes;
            }
            skipped.origin
        } else {
            return Ok(State::OtherItems);
        };
        origins.push((ix, origin));
    }
    if rows.next().is_some() || skipped.next().is_some() {
        return Ok(State::OtherItems);
    }
    for (ix, was) in &origins {
        if let Some(was) = was
            && files
                .size(*ix)
                .map_err(Error::io("look at", files.path()))?
                != Some(was.bytes)
        {
            return Ok(State::OtherBytes);
        }
    }
    match compare {
        Compare::Checksums if state == State::Same => by_reading(task, &origins),
        _ => Ok(state),
    }
}

/// Compares the bytes of every item with what they were.
fn by_reading(task: &Task, origins: &[(u64, Option<Origin>)]) -> Result<State> {
    let settings = Settings::default();
    for (item, (_, was)) in task.job.open(&settings)?.zip(origins) {
        let (Some(was), Ok(image)) = (was, item?.content) else {
            continue;
        };
        let now = match read(image.data) {
            Ok(bytes) => Some(Origin::of(&bytes)),
            Err(Trouble::Item(_)) => None,
            Err(Trouble::Run(error)) => return Err(error),
        };
        if now != Some(*was) {
            return Ok(State::OtherBytes);
        }
    }
    Ok(State::Same)
}
