//! The folder of a run: who may write into it, and what it takes to start over.
//!
//! ```text
//! runs/x/config.toml           the resolved config
//! runs/x/metrics.jsonl         one row every few steps
//! runs/x/events.out.tfevents.* the same for TensorBoard
//! runs/x/checkpoints/step_*.safetensors
//! runs/x/lock                  held by the process that trains
//! ```
//! A folder that holds something else is refused. `--fresh` never deletes: it moves the earlier run
//! to `runs/x.1`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use console::usage;
use model::files::checkpoint;

/// A run's folder, locked for this process.
pub struct RunDir {
    path: PathBuf,
    /// Where an earlier run was moved to.
    moved_to: Option<PathBuf>,
    /// Unlocked when dropped, and by the system when the process dies.
    _lock: File,
}

impl RunDir {
    /// Opens or makes the folder. With `fresh`, an earlier run is moved aside first.
    pub fn open(path: &Path, fresh: bool) -> Result<Self> {
        refuse_foreign(path)?;
        let moved_to = match fresh && holds_run(path) {
            true => Some(move_aside(path)?),
            false => None,
        };
        fs::create_dir_all(path)
            .map_err(|e| usage(format!("cannot make the run folder {path:?} (--out): {e}")))?;
        let lock = lock(path)?;
        checkpoint::remove_partial(path)?;
        Ok(RunDir {
            path: path.to_owned(),
            moved_to,
            _lock: lock,
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the earlier run is now, if `fresh` moved one.
    pub fn moved_to(&self) -> Option<&Path> {
        self.moved_to.as_deref()
    }

    /// Writes the resolved config for people to read; the checkpoint holds the one that counts.
    pub(crate) fn write_config(&self, toml: &str) -> Result<()> {
        use std::io::Write;
        let path = self.path.join("config.toml");
        host::replace(&path, |out| out.write_all(toml.as_bytes()))
            .with_context(|| format!("cannot write {path:?}"))
    }
}

fn holds_run(path: &Path) -> bool {
    path.join("config.toml").is_file() || checkpoint::folder(path).is_dir()
}

fn refuse_foreign(path: &Path) -> Result<()> {
    if path.is_file() {
        return Err(usage(format!(
            "--out {path:?} is a file; a folder for the run is expected"
        )));
    }
    let foreign = fs::read_dir(path).is_ok_and(|entries| {
        let names = entries.filter_map(|e| e.ok().map(|e| e.file_name()));
        names.into_iter().any(|name| name != "lock")
    });
    match foreign && !holds_run(path) {
        true => Err(usage(format!(
            "--out {path:?} holds files that are no run's; give a new or empty folder"
        ))),
        false => Ok(()),
    }
}

fn lock(path: &Path) -> Result<File> {
    let file = path.join("lock");
    let lock = File::create(&file)
        .map_err(|e| usage(format!("cannot write into {path:?} (--out): {e}")))?;
    match host::try_lock(&lock, &file).with_context(|| format!("locking {file:?}"))? {
        true => Ok(lock),
        false => Err(usage(format!(
            "another process is training in {path:?}; wait for it or give another --out"
        ))),
    }
}

/// Renames `runs/x` to the first free of `runs/x.1`, `runs/x.2`, …
fn move_aside(path: &Path) -> Result<PathBuf> {
    // Whoever trains there keeps it.
    drop(lock(path)?);
    let name = path
        .file_name()
        .context("--out has no last part")?
        .to_string_lossy();
    let free = (1..).map(|n| path.with_file_name(format!("{name}.{n}")));
    let target = free
        .into_iter()
        .find(|candidate| !candidate.exists())
        .expect("some number is free");
    fs::rename(path, &target).with_context(|| format!("moving {path:?} to {target:?}"))?;
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_folder_is_locked_and_moved_aside_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let run = RunDir::open(&path, false).unwrap();
        run.write_config("seed = 1\n").unwrap();
        for fresh in [false, true] {
            let second = RunDir::open(&path, fresh).err().unwrap().to_string();
            assert!(second.contains("another process"), "{second}");
        }
        drop(run);
        let fresh = RunDir::open(&path, true).unwrap();
        assert_eq!(fresh.moved_to(), Some(dir.path().join("x.1").as_path()));
        assert!(dir.path().join("x.1/config.toml").is_file() && !path.join("config.toml").exists());
    }

    #[test]
    fn foreign_folders_and_files_are_refused_untouched() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("letter.txt"), "x").unwrap();
        for fresh in [false, true] {
            let error = RunDir::open(dir.path(), fresh).err().unwrap().to_string();
            assert!(error.contains("no run's"), "{error}");
        }
        let error = RunDir::open(&dir.path().join("letter.txt"), false)
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("is a file"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
