//! The output folder: who may write into it, what is finished in it, and what of that stays.

mod existing;
mod journal;
mod lock;
mod namesakes;
mod sorting;
mod state;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemas::inputs::{GivenInput, GivenInputs};
use schemas::shard::{FRAMES_DIR, Settings};

use crate::error::{Error, Result};
use crate::plan::Part;
use crate::source::Dataset;
use crate::task::Task;
use journal::Journal;
use lock::was_taken;

pub(crate) use existing::{Existing, Lacks, first_lack};
pub(crate) use journal::{Noted, forget};
pub(crate) use lock::Lock;
pub(crate) use namesakes::{Held, held, refuse_namesake, same_name};
pub(crate) use sorting::Sorted;
pub(crate) use state::Compare;

/// A set of shards that this process may write to, until it is dropped.
pub(crate) struct Output {
    dir: PathBuf,
    journal: Journal,
    _lock: Lock,
}

impl Output {
    /// Opens or creates the set in `dir` and locks it: parts of one run share it, anything else is
    /// refused.
    ///
    /// # Errors
    /// If the folder holds something else than a set, cannot be written, or is in use.
    pub(crate) fn open(dir: &Path, part: Part) -> Result<Self> {
        check_is_ours(dir)?;
        let frames = dir.join(FRAMES_DIR);
        fs::create_dir_all(&frames).map_err(Error::io("create the output folder", &frames))?;
        Ok(Self {
            _lock: Lock::take(dir, part)?,
            dir: dir.to_owned(),
            journal: Journal::of(dir, part),
        })
    }

    /// The folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder of the shards.
    pub(crate) fn frames_dir(&self) -> PathBuf {
        self.dir.join(FRAMES_DIR)
    }

    /// Remembers what the set is given, for later runs and for advice.
    ///
    /// # Errors
    /// If that cannot be written.
    pub(crate) fn remember(&self, plan: &[Task]) -> Result<()> {
        let before = GivenInputs::read(&self.dir);
        let mut all = before.clone();
        for tasks in plan.chunk_by(|a, b| Arc::ptr_eq(&a.given, &b.given)) {
            // What several inputs hold is of one of them only.
            all.add(GivenInput {
                inputs: tasks.iter().map(|task| task.job.id.input.clone()).collect(),
                ..(*tasks[0].given).clone()
            });
        }
        if all == before {
            return Ok(());
        }
        all.write(&self.dir)
            .map_err(Error::io("write the inputs into", &self.dir))
    }

    /// Notes durably that the shards of `inputs` are being replaced.
    ///
    /// # Errors
    /// If that cannot be written.
    pub(crate) fn note_replacing(&mut self, inputs: &[String]) -> Result<()> {
        inputs
            .iter()
            .try_for_each(|input| self.journal.replacing(input))
    }

    /// Notes durably that `shard`, which the catalog lists, is about to appear with this CRC32C.
    ///
    /// # Errors
    /// If that cannot be written.
    pub(crate) fn note_made(&mut self, shard: &str, crc32c: u32) -> Result<()> {
        self.journal.made(shard, crc32c)
    }

    /// Removes shards that no input has any more.
    ///
    /// # Errors
    /// If one cannot be removed.
    pub(crate) fn remove(&self, shards: &[String]) -> Result<()> {
        for name in shards {
            let path = self.frames_dir().join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Refuses shards that were written with other settings than those at hand. Cameras count among
/// inputs of one data set only.
///
/// # Errors
/// If a shard differs.
pub(crate) fn check_settings(
    existing: &Existing,
    dir: &Path,
    dataset: Dataset,
    wanted: &Settings,
) -> Result<()> {
    for shard in existing.shards.values() {
        let has_other_cameras = shard.settings.cameras != wanted.cameras
            && dataset == Dataset::Waymo
            && shard.may_be_of(dataset.name());
        if has_other_cameras || !shard.settings.goes_with(wanted) {
            return Err(Error::Output {
                detail: format!(
                    "the output folder was written with other settings, {}",
                    differences(&shard.settings, wanted)
                ),
                dir: dir.to_owned(),
                advice: "give the same options, or another --out".to_owned(),
            });
        }
    }
    Ok(())
}

/// Refuses a folder that holds anything but a set.
fn check_is_ours(dir: &Path) -> Result<()> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("use the output folder", dir)(error)),
    };
    let is_ours = dir.join(FRAMES_DIR).is_dir() || was_taken(dir);
    if is_ours || entries.count() == 0 {
        return Ok(());
    }
    Err(Error::Output {
        detail: "the output folder is not empty and holds no shards".to_owned(),
        dir: dir.to_owned(),
        advice: "give --out a new or empty folder".to_owned(),
    })
}

/// Which settings differ, as JSON: `"quality":93 instead of "quality":90`.
fn differences(found: &Settings, wanted: &Settings) -> String {
    let fields = |settings: &Settings| -> serde_json::Map<String, serde_json::Value> {
        serde_json::from_str(&settings.to_json()).expect("settings are a JSON object")
    };
    let (found, wanted) = (fields(found), fields(wanted));
    let names: std::collections::BTreeSet<&String> = found.keys().chain(wanted.keys()).collect();
    let text = |value: Option<&serde_json::Value>| {
        value.map_or("the default".to_owned(), ToString::to_string)
    };
    let differing = names
        .into_iter()
        .filter(|name| found.get(*name) != wanted.get(*name));
    let differing = differing.map(|name| {
        format!(
            "{name} {} instead of {}",
            text(found.get(name)),
            text(wanted.get(name))
        )
    });
    differing.collect::<Vec<_>>().join(", ")
}
