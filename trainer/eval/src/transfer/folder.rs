//! The folder of a fine-tuning: its checkpoint, metrics, picture and result. Rank 0 alone has it.
//!
//! A checkpoint is whole or not there. Metrics are rows up to the present iteration: those after a
//! checkpoint that is gone on from are cut off.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use console::usage;
use model::files::safetensors::{self, HostTensor};
use serde::Serialize;
use tch::Tensor;

/// File names.
pub(super) const METRICS: &str = "metrics.jsonl";
pub(super) const RESULT: &str = "result.json";
pub(super) const PICTURE: &str = "predictions.png";
const CHECKPOINT: &str = "checkpoint.safetensors";

/// Entries of the checkpoint's metadata.
const ITERATION_KEY: &str = "iteration";
const CONFIG_KEY: &str = "config";

/// The folder.
pub(super) struct Folder {
    path: PathBuf,
}

/// The state of a fine-tuning.
pub(super) struct Checkpoint {
    /// Iterations done.
    pub iteration: u64,
    /// What must be the same for it to be gone on from.
    pub identity: String,
    /// Network and optimizer.
    pub tensors: BTreeMap<String, Tensor>,
}

impl Checkpoint {
    /// Reads the bytes of a checkpoint's file.
    ///
    /// # Errors
    /// If they are not whole, or of something else.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let (metadata, tensors) = safetensors::read_bytes(bytes)?;
        let entry = |key: &str| metadata.get(key).cloned();
        let tensors = tensors
            .iter()
            .map(|tensor| Ok((tensor.name.clone(), tensor.to_tensor()?)));
        let iteration = entry(ITERATION_KEY).and_then(|text| text.parse().ok());
        Ok(Self {
            iteration: iteration.context("it does not say its iteration")?,
            identity: entry(CONFIG_KEY).unwrap_or_default(),
            tensors: tensors.collect::<Result<_>>()?,
        })
    }
}

impl Folder {
    /// The folder at `path`, which rank 0 makes.
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the picture of predictions is.
    pub(super) fn picture(&self) -> PathBuf {
        self.path.join(PICTURE)
    }

    /// Makes it, unless it is there.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(super) fn create(&self) -> Result<()> {
        let path = &self.path;
        fs::create_dir_all(path)
            .map_err(|error| usage(format!("cannot make the folder {path:?} (--out): {error}")))
    }

    /// The bytes of the checkpoint, if there is one.
    ///
    /// # Errors
    /// If it cannot be read, or is not of the fine-tuning called `identity`.
    pub(super) fn read_checkpoint(&self, identity: &str) -> Result<Option<Vec<u8>>> {
        let path = self.path.join(CHECKPOINT);
        // Only where there is no such name does it begin anew: what cannot be read may be good.
        if fs::symlink_metadata(&path).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            return Ok(None);
        }
        let read = || -> Result<(Vec<u8>, Checkpoint)> {
            let bytes = fs::read(&path)?;
            let checkpoint = Checkpoint::parse(&bytes)?;
            Ok((bytes, checkpoint))
        };
        let (bytes, checkpoint) = read().with_context(|| {
            format!("going on from {path:?} (moved away, the fine-tuning starts over)")
        })?;
        if checkpoint.identity != identity {
            return Err(usage(format!(
                "{:?} holds a fine-tuning of other weights, images or settings; give another --out",
                self.path
            )));
        }
        Ok(Some(bytes))
    }

    /// Replaces the checkpoint. Waits for the device.
    ///
    /// # Errors
    /// If a value is not finite, or it cannot be written.
    pub(super) fn write_checkpoint(&self, checkpoint: &Checkpoint) -> Result<()> {
        let tensors: Vec<HostTensor> = checkpoint
            .tensors
            .iter()
            .map(|(name, tensor)| HostTensor::copy_of(name, tensor))
            .collect::<Result<_>>()?;
        if let Some(bad) = tensors.iter().find(|tensor| !tensor.is_finite()) {
            bail!(
                "{} is not finite after iteration {}; a lower lr may help",
                bad.name,
                checkpoint.iteration
            );
        }
        let metadata = [
            (ITERATION_KEY, checkpoint.iteration.to_string()),
            (CONFIG_KEY, checkpoint.identity.clone()),
        ];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value)).into();
        safetensors::write(&self.path.join(CHECKPOINT), &metadata, &tensors)
    }

    /// Opens the metrics, cut back to the rows up to `iteration`.
    ///
    /// # Errors
    /// If they cannot be read or written.
    pub(super) fn open_metrics(&self, iteration: u64) -> Result<File> {
        let path = self.path.join(METRICS);
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("reading {path:?}")),
        };
        let is_past = |line: &&str| {
            let row: Option<serde_json::Value> = serde_json::from_str(line).ok();
            row.and_then(|row| row["iteration"].as_u64())
                .is_some_and(|of_row| of_row <= iteration)
        };
        let kept: String = text
            .lines()
            .filter(is_past)
            .map(|line| format!("{line}\n"))
            .collect();
        write(&path, &kept)?;
        OpenOptions::new()
            .append(true)
            .open(&path)
            .with_context(|| format!("opening {path:?}"))
    }

    /// Replaces the result.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn write_result(&self, result: &impl Serialize) -> Result<()> {
        let json = serde_json::to_string_pretty(result)? + "\n";
        write(&self.path.join(RESULT), &json)
    }
}

/// Writes a text file whole.
fn write(path: &Path, text: &str) -> Result<()> {
    host::replace(path, |file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {path:?}"))
}
