//! Checkpoints: everything a run needs to go on as if it had never stopped.
//!
//! One safetensors file a checkpoint, `checkpoints/step_0000001234.safetensors`: the method's
//! tensors (`online.*`, `target.*`, both with their batch-norm statistics), the optimizer's
//! (`optim.*`), and one metadata entry with the step, the loader's cursor, the resolved config and
//! the fingerprint of the data. They are taken between optimizer steps, so an accumulation is never
//! half done. CRCs over every tensor and over the metadata tell a damaged file from a good one.
//!
//! [`Snapshot`] is the state copied to the host; [`Snapshot::write`] is pure I/O and may run on
//! another thread.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use sampler::Cursor;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::tensor_file::{self, HostTensor};

/// Version of the layout described in the module's head.
const VERSION: u32 = 1;
/// Key of the metadata entry, and of its CRC.
const HEADER_KEY: &str = "checkpoint";
const HEADER_CRC_KEY: &str = "checkpoint_crc32c";

/// What a checkpoint knows beside its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Layout version.
    pub version: u32,
    /// Optimizer steps done.
    pub step: u64,
    /// The next batch to take from the loader.
    pub cursor: Cursor,
    /// The resolved config, as TOML.
    pub config: String,
    /// What the loader draws from (catalog and filter).
    pub data: DataId,
    /// Threads that libtorch computed with: on CPU another number rounds differently.
    pub torch_threads: i32,
    /// `cpu` or `cuda`.
    pub device: String,
    /// CRC32C of every tensor, by name.
    pub crc32c: BTreeMap<String, u32>,
}

/// Which frames a run draws from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataId {
    /// Fingerprint of catalog and filter, in hexadecimal.
    pub fingerprint: String,
    /// Frames that pass the filter.
    pub frames: u64,
}

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
    pub fn write(&self, run_dir: &Path) -> Result<PathBuf> {
        let folder = folder(run_dir);
        fs::create_dir_all(&folder).with_context(|| format!("creating {folder:?}"))?;
        let path = folder.join(file_name(self.header.step));
        let header = serde_json::to_string(&self.header).context("encoding the header")?;
        let crc = crc32c::crc32c(header.as_bytes()).to_string();
        let metadata = [(HEADER_KEY, header), (HEADER_CRC_KEY, crc)];
        let metadata = metadata.map(|(k, v)| (k.to_owned(), v)).into();
        tensor_file::write(&path, &metadata, &self.tensors)?;
        Ok(path)
    }
}

impl Checkpoint {
    /// Reads a checkpoint and checks every CRC.
    pub fn read(path: &Path) -> Result<Self> {
        let (metadata, tensors) = tensor_file::read(path)?;
        let header = parse_header(&metadata).with_context(|| format!("{path:?}"))?;
        ensure!(
            tensors.iter().map(|t| &t.name).eq(header.crc32c.keys()),
            "its tensors are not those it lists: {path:?}"
        );
        for tensor in &tensors {
            ensure!(
                header.crc32c[&tensor.name] == tensor.crc32c(),
                "{} is damaged (CRC32C): {path:?}",
                tensor.name
            );
        }
        let tensors = tensors.iter().map(|t| Ok((t.name.clone(), t.to_tensor()?)));
        Ok(Checkpoint {
            header,
            tensors: tensors.collect::<Result<_>>()?,
        })
    }

    /// The newest good checkpoint of a run. Each damaged one on the way is renamed to `*.damaged`
    /// and told to `note`.
    ///
    /// # Errors
    /// Checkpoints exist and none is good: starting over is the user's decision.
    pub fn latest(run_dir: &Path, mut note: impl FnMut(String)) -> Result<Option<Self>> {
        let mut all = list(run_dir)?;
        let num = all.len();
        while let Some((step, path)) = all.pop() {
            match Self::read(&path) {
                Ok(checkpoint) => return Ok(Some(checkpoint)),
                Err(error) => {
                    let aside = path.with_extension("safetensors.damaged");
                    fs::rename(&path, &aside).with_context(|| format!("renaming {path:?}"))?;
                    note(format!(
                        "checkpoint of step {step} is damaged, taking the one before: {error:#}"
                    ));
                }
            }
        }
        match num {
            0 => Ok(None),
            _ => Err(anyhow!(
                "all {num} checkpoint(s) are damaged; --fresh starts over: {run_dir:?}"
            )),
        }
    }

    /// The newest good checkpoint of a run folder, or of a file; for commands that only read.
    pub fn open(run_dir_or_file: &Path) -> Result<Self> {
        if run_dir_or_file.is_file() {
            return Self::read(run_dir_or_file);
        }
        let newest = list(run_dir_or_file)?.pop();
        let (_, path) = newest.ok_or_else(|| {
            crate::error::usage(format!(
                "no checkpoint in {run_dir_or_file:?}; `trainer run --out DIR` writes them"
            ))
        })?;
        Self::read(&path)
    }

    /// The method's tensors, with their full names.
    pub fn networks(&self) -> BTreeMap<String, Tensor> {
        let all = self.tensors.iter();
        all.filter(|(name, _)| !name.starts_with("optim."))
            .map(|(name, tensor)| (name.clone(), tensor.shallow_clone()))
            .collect()
    }

    /// The tensors below a prefix (`online.`, `target.`, `optim.`), the prefix taken off.
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

/// All checkpoints of a run by step, oldest first.
pub fn list(run_dir: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let folder = folder(run_dir);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(&folder).with_context(|| format!("listing {folder:?}"))?;
    let mut found: Vec<(u64, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?;
            let step = name.strip_prefix("step_")?.strip_suffix(".safetensors")?;
            Some((step.parse().ok()?, path))
        })
        .collect();
    found.sort();
    Ok(found)
}

/// Removes all but the newest `keep` checkpoints, the milestones, and what a kill left
/// half-written.
pub fn prune(run_dir: &Path, keep: u64, milestone_every_steps: u64) -> Result<()> {
    let all = list(run_dir)?;
    let old = all.len().saturating_sub(keep as usize);
    let is_milestone =
        |step: u64| milestone_every_steps > 0 && step.is_multiple_of(milestone_every_steps);
    for (_, path) in all[..old].iter().filter(|(step, _)| !is_milestone(*step)) {
        fs::remove_file(path).with_context(|| format!("removing {path:?}"))?;
    }
    Ok(())
}

/// Removes files that a kill left half-written.
pub fn remove_partial(run_dir: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder(run_dir)) else {
        return Ok(());
    };
    let partial = entries.filter_map(|e| e.ok().map(|e| e.path()));
    for path in partial.filter(|p| p.extension().is_some_and(|e| e == "partial")) {
        fs::remove_file(&path).with_context(|| format!("removing {path:?}"))?;
    }
    Ok(())
}

/// The folder of a run's checkpoints.
pub fn folder(run_dir: &Path) -> PathBuf {
    run_dir.join("checkpoints")
}

fn file_name(step: u64) -> String {
    format!("step_{step:010}.safetensors")
}

fn parse_header(metadata: &BTreeMap<String, String>) -> Result<Header> {
    let get = |key| {
        metadata
            .get(key)
            .ok_or_else(|| anyhow!("not a checkpoint (no {key:?})"))
    };
    let text = get(HEADER_KEY)?;
    ensure!(
        get(HEADER_CRC_KEY)?.parse() == Ok(crc32c::crc32c(text.as_bytes())),
        "its header is damaged (CRC32C)"
    );
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let Version { version } = serde_json::from_str(text).context("its header is not ours")?;
    ensure!(
        version == VERSION,
        "checkpoint layout {version}, this build reads {VERSION}"
    );
    serde_json::from_str(text).context("its header is not ours")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(step: u64) -> Header {
        Header {
            version: 0,
            step,
            cursor: Cursor { epoch: 1, step: 2 },
            config: "seed = 3\n".into(),
            data: DataId {
                fingerprint: "00ff".into(),
                frames: 9,
            },
            torch_threads: 2,
            device: "cpu".into(),
            crc32c: BTreeMap::new(),
        }
    }

    fn save(run: &Path, step: u64) -> PathBuf {
        let tensors = [
            (
                "online.w".to_owned(),
                Tensor::from_slice(&[1.0f32, step as f32]),
            ),
            ("optim.w".to_owned(), Tensor::from_slice(&[0.5f32])),
        ];
        let snapshot = Snapshot::take(header(step), &tensors).unwrap();
        snapshot.write(run).unwrap()
    }

    #[test]
    fn a_damaged_newest_falls_back_to_the_one_before() {
        let run = tempfile::tempdir().unwrap();
        save(run.path(), 10);
        let newest = save(run.path(), 20);
        let good = Checkpoint::latest(run.path(), |n| panic!("{n}"))
            .unwrap()
            .unwrap();
        assert_eq!(
            (good.header.step, good.header.cursor),
            (20, Cursor { epoch: 1, step: 2 })
        );
        assert_eq!(
            good.part("online.")["w"],
            Tensor::from_slice(&[1.0f32, 20.0])
        );

        let mut bytes = fs::read(&newest).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&newest, bytes).unwrap();
        let mut notes = Vec::new();
        let older = Checkpoint::latest(run.path(), |n| notes.push(n))
            .unwrap()
            .unwrap();
        assert_eq!(older.header.step, 10);
        assert!(
            notes.len() == 1 && notes[0].contains("step 20 is damaged"),
            "{notes:?}"
        );
        assert_eq!(list(run.path()).unwrap().len(), 1);
    }

    #[test]
    fn any_flipped_byte_is_noticed() {
        let run = tempfile::tempdir().unwrap();
        let path = save(run.path(), 1);
        let good = fs::read(&path).unwrap();
        for ix in (0..good.len()).step_by(7) {
            let mut bad = good.clone();
            bad[ix] ^= 0x10;
            fs::write(&path, &bad).unwrap();
            // A flip of the padding or of insignificant JSON may leave the content whole; nothing
            // else may.
            if let Ok(read) = Checkpoint::read(&path) {
                assert_eq!(
                    read.part("online.")["w"],
                    Tensor::from_slice(&[1.0f32, 1.0])
                );
                assert_eq!(read.header.step, 1);
            }
        }
    }

    #[test]
    fn all_damaged_is_an_error_and_none_is_a_start() {
        let run = tempfile::tempdir().unwrap();
        assert!(Checkpoint::latest(run.path(), |_| ()).unwrap().is_none());
        let path = save(run.path(), 1);
        fs::write(&path, b"short").unwrap();
        let error = Checkpoint::latest(run.path(), |_| ()).err().unwrap();
        assert!(error.to_string().contains("--fresh"), "{error}");
    }

    #[test]
    fn old_ones_go_milestones_and_the_newest_stay() {
        let run = tempfile::tempdir().unwrap();
        for step in [10, 20, 30, 40, 50] {
            save(run.path(), step);
        }
        fs::write(folder(run.path()).join("step_60.safetensors.partial"), b"x").unwrap();
        prune(run.path(), 2, 20).unwrap();
        remove_partial(run.path()).unwrap();
        let steps: Vec<u64> = list(run.path())
            .unwrap()
            .into_iter()
            .map(|(s, _)| s)
            .collect();
        assert_eq!(steps, [20, 40, 50]);
        assert_eq!(fs::read_dir(folder(run.path())).unwrap().count(), 3);
    }

    #[test]
    fn no_checkpoint_holds_a_nan() {
        let tensors = [("online.w".to_owned(), Tensor::from_slice(&[f32::NAN]))];
        let error = Snapshot::take(header(5), &tensors)
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("online.w") && error.contains("step 5"),
            "{error}"
        );
    }
}
