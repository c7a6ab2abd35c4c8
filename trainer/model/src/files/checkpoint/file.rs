//! One checkpoint: taken, written, read back.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use console::usage;
use tch::Tensor;

use super::folder::{file_name, folder, list};
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
    /// If the file cannot be read, is no checkpoint or one of another layout, or a CRC does not match.
    pub fn read(path: &Path) -> Result<Self> {
        let (metadata, tensors) = safetensors::read(path)?;
        Self::of_file(&metadata, &tensors, path)
    }

    /// As [`read`](Self::read), of what the file `path` holds.
    pub(in crate::files) fn of_file(
        metadata: &BTreeMap<String, String>,
        tensors: &[HostTensor],
        path: &Path,
    ) -> Result<Self> {
        let header = Header::of_file(metadata, tensors).with_context(|| format!("{path:?}"))?;
        ensure!(
            tensors.iter().map(|t| &t.name).eq(header.crc32c.keys()),
            "its tensors are not those it lists: {path:?}"
        );
        for tensor in tensors {
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
    ///
    /// # Errors
    /// If there is none.
    pub fn open(run_dir_or_file: &Path) -> Result<Self> {
        if run_dir_or_file.is_file() {
            return Self::read(run_dir_or_file);
        }
        let newest = list(run_dir_or_file)?.pop();
        let (_, path) = newest.ok_or_else(|| {
            usage(format!(
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::checkpoint::{DataId, LoaderPosition, prune, remove_partial};

    fn header(step: u64) -> Header {
        Header {
            version: 0,
            step,
            cursor: LoaderPosition { epoch: 1, step: 2 },
            config: "seed = 3\n".into(),
            data: DataId {
                fingerprint: "00ff".into(),
                frames: 9,
            },
            shards: Vec::new(),
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
            (20, LoaderPosition { epoch: 1, step: 2 })
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
