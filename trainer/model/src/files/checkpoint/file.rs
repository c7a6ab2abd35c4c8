//! One checkpoint: taken, written, read back.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use console::usage;
use tch::Tensor;

use super::error::ReadError;
use super::folder::{file_name, folder, list, num_set_aside, set_aside};
use super::header::{Header, VERSION};
use crate::files::safetensors::{self, HostTensor};

/// A run's state on the host.
pub struct Snapshot {
    header: Header,
    tensors: Vec<HostTensor>,
}

/// A checkpoint read back.
pub struct Checkpoint {
    /// What it knows.
    pub header: Header,
    /// Its tensors by full name, on the CPU.
    pub tensors: BTreeMap<String, Tensor>,
}

impl Snapshot {
    /// Copies `tensors` to the host; waits for the device. `header.crc32c` is filled here.
    ///
    /// # Errors
    /// A tensor that holds a NaN or an infinity: no checkpoint ever does.
    pub fn take(mut header: Header, tensors: &[(String, Tensor)]) -> Result<Self> {
        let copies = tensors.iter().map(|(name, t)| HostTensor::copy_of(name, t));
        let tensors = copies.collect::<Result<Vec<_>>>()?;
        if let Some(bad) = tensors.iter().find(|t| !t.is_finite()) {
            bail!("{} is not finite at step {}", bad.name, header.step);
        }
        header.version = VERSION;
        header.crc32c = tensors
            .iter()
            .map(|t| (t.name.clone(), t.crc32c()))
            .collect();
        Ok(Snapshot { header, tensors })
    }

    /// Writes the file into `run_dir`, atomically, and returns its path.
    ///
    /// # Errors
    /// If it cannot be written; then nothing of it stays.
    pub fn write(&self, run_dir: &Path) -> Result<PathBuf> {
        let folder = folder(run_dir);
        fs::create_dir_all(&folder).with_context(|| format!("creating {folder:?}"))?;
        let path = folder.join(file_name(self.header.step));
        safetensors::write(&path, &self.header.to_metadata()?, &self.tensors)?;
        Ok(path)
    }
}

impl Checkpoint {
    /// Reads a checkpoint and checks every CRC.
    ///
    /// # Errors
    /// If the file cannot be read, is of another layout, or is damaged.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let bytes = read_file(path).map_err(|source| ReadError::Unreadable {
            source,
            path: path.to_owned(),
        })?;
        let (metadata, tensors) = safetensors::parse(&bytes).map_err(|error| {
            ReadError::damaged(format!("not a whole safetensors file ({error})"), path)
        })?;
        Self::of_file(&metadata, &tensors, path)
    }

    /// As [`read`](Self::read), of what the file `path` holds.
    pub(in crate::files) fn of_file(
        metadata: &BTreeMap<String, String>,
        tensors: &[HostTensor],
        path: &Path,
    ) -> Result<Self, ReadError> {
        let header = Header::of_file(metadata, tensors, path)?;
        if !tensors.iter().map(|t| &t.name).eq(header.crc32c.keys()) {
            let what = "its tensors are not those it lists";
            return Err(ReadError::damaged(what, path));
        }
        if let Some(bad) = tensors
            .iter()
            .find(|tensor| header.crc32c[&tensor.name] != tensor.crc32c())
        {
            let what = format!("{} is damaged (CRC32C)", bad.name);
            return Err(ReadError::damaged(what, path));
        }
        let tensors = tensors.iter().map(|t| Ok((t.name.clone(), t.to_tensor()?)));
        let tensors: Result<_> = tensors.collect();
        Ok(Checkpoint {
            header,
            tensors: tensors.map_err(|error| ReadError::foreign(format!("{error:#}"), path))?,
        })
    }

    /// The newest good checkpoint of a run. Each damaged one on the way is renamed to `*.damaged`
    /// and told to `note`.
    ///
    /// # Errors
    /// The newest cannot be read, or is of another build: it may be good, so it stays. Or
    /// checkpoints exist and none is good: starting over is the user's decision.
    pub fn latest(run_dir: &Path, mut note: impl FnMut(String)) -> Result<Option<Self>> {
        for (step, path) in list(run_dir)?.into_iter().rev() {
            match Self::read(&path) {
                Ok(checkpoint) => return Ok(Some(checkpoint)),
                Err(error) if error.is_damage() => {
                    set_aside(&path)?;
                    note(format!(
                        "checkpoint of step {step} is damaged, taking the one before: {error}"
                    ));
                }
                Err(error) => {
                    return Err(anyhow!(
                        "the checkpoint of step {step} is left as it is; mend this, or move it away to go on from the one before: {error}"
                    ));
                }
            }
        }
        match num_set_aside(run_dir)? {
            0 => Ok(None),
            num => Err(anyhow!(
                "all {num} checkpoint(s) are damaged; --fresh starts over: {run_dir:?}"
            )),
        }
    }

    /// The newest checkpoint of a run folder, or the one that a file is; for commands that only
    /// read.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn open(run_dir_or_file: &Path) -> Result<Self> {
        if run_dir_or_file.is_file() {
            return Ok(Self::read(run_dir_or_file)?);
        }
        let newest = list(run_dir_or_file)?.pop();
        let (_, path) = newest.ok_or_else(|| {
            usage(format!(
                "no checkpoint in {run_dir_or_file:?}; `trainer run --out DIR` writes them"
            ))
        })?;
        Ok(Self::read(&path)?)
    }

    /// The method's tensors, with their full names.
    pub fn networks(&self) -> BTreeMap<String, Tensor> {
        let all = self.tensors.iter();
        all.filter(|(name, _)| !name.starts_with("optim."))
            .map(|(name, tensor)| (name.clone(), tensor.shallow_clone()))
            .collect()
    }

    /// The tensors below a prefix (`online.`, `target.`, `memory.`, `optim.`), the prefix taken off.
    pub fn part(&self, prefix: &str) -> BTreeMap<String, Tensor> {
        let below = |(name, tensor): (&String, &Tensor)| {
            Some((
                name.strip_prefix(prefix)?.to_owned(),
                tensor.shallow_clone(),
            ))
        };
        self.tensors.iter().filter_map(below).collect()
    }
}

/// The bytes of a file. What is none, a pipe say, is an error: it might be waited for without end.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    match fs::metadata(path)?.is_file() {
        true => fs::read(path),
        false => Err(io::Error::new(ErrorKind::InvalidInput, "not a file")),
    }
}
