//! The output folder: who may write into it, and what is finished in it already.

mod lock;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use schemas::catalog::shard_paths;
use schemas::shard::{FRAMES_DIR, Settings, ShardId, ShardReader};

use crate::error::{Error, Result};
use crate::plan::Part;
use crate::source::{Content, Job, source_name};
use lock::was_taken;

pub(crate) use lock::Lock;

/// A set of shards that this process may write to, until it is dropped.
pub(crate) struct Output {
    dir: PathBuf,
    settings: Settings,
    /// Shards that were there when the folder was opened, by file name.
    existing: HashMap<String, ShardId>,
    _lock: Lock,
}

impl Output {
    /// Opens or creates the set in `dir` and locks it: parts of one run share it, anything else is
    /// refused.
    ///
    /// # Errors
    /// If the folder holds something else than shards of these settings, cannot be written, or is
    /// in use.
    pub(crate) fn open(dir: &Path, settings: &Settings, part: Part) -> Result<Self> {
        check_is_ours(dir)?;
        let frames = dir.join(FRAMES_DIR);
        fs::create_dir_all(&frames).map_err(Error::io("create the output folder", &frames))?;
        let lock = Lock::take(dir, part)?;
        let mut existing = HashMap::new();
        for path in shard_paths(dir)? {
            let shard = ShardReader::open(&path)?;
            if shard.settings() != settings {
                let detail = format!(
                    "the output folder was written with other settings, {}",
                    differences(&shard, settings)
                );
                let advice = "give the same options, or another --out";
                return Err(Error::Output {
                    detail,
                    dir: dir.to_owned(),
                    advice,
                });
            }
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            existing.insert(name, shard.id().clone());
        }
        Ok(Self {
            dir: dir.to_owned(),
            settings: settings.clone(),
            existing,
            _lock: lock,
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

    /// The settings of the set.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Checks `plan`, which must hold every shard of its inputs, against what is finished.
    ///
    /// # Errors
    /// If a finished shard of one of its inputs covers other items: the folder has changed since.
    pub(crate) fn check_unchanged(&self, plan: &[Job]) -> Result<()> {
        let planned: HashMap<String, &ShardId> = plan
            .iter()
            .map(|job| (job.id.file_name(), &job.id))
            .collect();
        let inputs: std::collections::HashSet<&str> =
            plan.iter().map(|job| job.id.input.as_str()).collect();
        let changed = self
            .existing
            .iter()
            .filter(|(name, id)| {
                inputs.contains(id.input.as_str()) && planned.get(*name) != Some(id)
            })
            .map(|(name, _)| name)
            .min();
        match changed {
            Some(name) => Err(self.input_changed(name)),
            None => Ok(()),
        }
    }

    /// Whether the shard of `job` is finished.
    ///
    /// # Errors
    /// If it is, but its items are no longer those of the job.
    pub(crate) fn is_finished(&self, job: &Job) -> Result<bool> {
        let name = job.id.file_name();
        if !self.existing.contains_key(&name) {
            return Ok(false);
        }
        let shard = ShardReader::open(&self.frames_dir().join(&name))?;
        if holds_items(&shard, job)? {
            Ok(true)
        } else {
            Err(self.input_changed(&name))
        }
    }

    fn input_changed(&self, shard: &str) -> Error {
        Error::Output {
            detail: format!(
                "files were added to or removed from an input since its shard {shard:?} was written"
            ),
            dir: self.dir.clone(),
            advice: "give new images as a folder of their own, or delete the input's shards and run again",
        }
    }
}

/// Whether a finished shard of a folder's or an archive's files holds exactly the job's, as frames
/// or as skipped items.
fn holds_items(shard: &ShardReader, job: &Job) -> Result<bool> {
    let Content::Files { files, .. } = &job.content else {
        return Ok(true);
    };
    let rows = shard.rows()?;
    let mut rows = rows.iter().map(|row| row.meta.source.as_str()).peekable();
    let mut skipped = shard
        .skipped()
        .iter()
        .map(|skipped| skipped.source.as_str())
        .peekable();
    let end = job.id.end_item.unwrap_or(files.len());
    let all_found = (job.id.first_item..end).all(|ix| {
        let source = source_name(&job.id.input, &files.relative(ix));
        rows.next_if_eq(&source.as_str()).is_some()
            || skipped.next_if_eq(&source.as_str()).is_some()
    });
    Ok(all_found && rows.next().is_none() && skipped.next().is_none())
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
    let detail = "the output folder is not empty and holds no shards".to_owned();
    Err(Error::Output {
        detail,
        dir: dir.to_owned(),
        advice: "give --out a new or empty folder",
    })
}

/// Which settings differ, as JSON: `"quality":93 instead of "quality":90`.
fn differences(shard: &ShardReader, wanted: &Settings) -> String {
    let fields = |settings: &Settings| -> serde_json::Map<String, serde_json::Value> {
        serde_json::from_str(&settings.to_json()).expect("settings are a JSON object")
    };
    let (found, wanted) = (fields(shard.settings()), fields(wanted));
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
