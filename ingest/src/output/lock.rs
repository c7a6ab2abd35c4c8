//! The right to write to a set: one run at a time, or the parts of one run together.
//!
//! Locks are advisory locks of the system on empty files inside the set, so they end with the
//! process that holds them, however it ends. The files are left behind: removing one would race
//! with the next run.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use schemas::shard::FRAMES_DIR;

use crate::error::{Error, Result};
use crate::plan::Part;

/// Held exclusively by a whole run, shared by the parts of one.
const LOCK_FILE: &str = ".ingest.lock";

/// Ending of files that are being written.
const TEMPORARY: &str = "tmp";

/// A set that this process may write to, until it is dropped.
pub(crate) struct Lock {
    dir: PathBuf,
    part: Part,
    _files: Vec<File>,
}

impl Lock {
    /// Locks the set in `dir`: a whole run takes it alone, and removes what a killed run was
    /// writing; a part shares it with the other parts of the same run and takes its own number
    /// alone.
    ///
    /// # Errors
    /// If another process is writing to it, or the lock files cannot be made.
    pub(crate) fn take(dir: &Path, part: Part) -> Result<Self> {
        let files = if part.is_whole() {
            vec![hold(dir, LOCK_FILE, host::try_lock)?]
        } else {
            let own = format!("{}{}-of-{}", part_prefix(), part.index, part.count);
            vec![
                hold(dir, LOCK_FILE, host::try_lock_shared)?,
                hold(dir, &own, host::try_lock)?,
            ]
        };
        let lock = Self {
            dir: dir.to_owned(),
            part,
            _files: files,
        };
        if part.is_whole() {
            lock.remove_leftovers()?;
        } else {
            lock.refuse_other_counts()?;
        }
        Ok(lock)
    }

    /// Parts of another number of parts would write some of the same shards at the same time.
    fn refuse_other_counts(&self) -> Result<()> {
        let same = format!("-of-{}", self.part.count);
        for entry in fs::read_dir(&self.dir).map_err(Error::io("list", &self.dir))? {
            let name = entry
                .map_err(Error::io("list", &self.dir))?
                .file_name()
                .to_string_lossy()
                .into_owned();
            let is_other = name.starts_with(&part_prefix()) && !name.ends_with(&same);
            if is_other && try_lock(&self.dir, &name, host::try_lock)?.is_none() {
                let detail = format!(
                    "parts of another number than {} are being written",
                    self.part.count
                );
                let advice =
                    "give every part the same N of --part I/N, or wait for the others to end"
                        .to_owned();
                return Err(Error::Output {
                    detail,
                    dir: self.dir.clone(),
                    advice,
                });
            }
        }
        Ok(())
    }

    /// Temporary files of a run that was killed or has failed.
    fn remove_leftovers(&self) -> Result<()> {
        for dir in [self.dir.clone(), self.dir.join(FRAMES_DIR)] {
            for entry in fs::read_dir(&dir).map_err(Error::io("list", &dir))? {
                let path = entry.map_err(Error::io("list", &dir))?.path();
                if path.extension().is_some_and(|ending| ending == TEMPORARY) {
                    fs::remove_file(&path).map_err(Error::io("remove the leftover", &path))?;
                }
            }
        }
        Ok(())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Nothing is left after success; after a failure, that has been reported and counts.
        if self.part.is_whole() {
            let _ = self.remove_leftovers();
        }
    }
}

/// Whether `dir` has been locked before, so is or was to become a set.
pub(crate) fn was_taken(dir: &Path) -> bool {
    dir.join(LOCK_FILE).is_file()
}

fn part_prefix() -> String {
    format!("{LOCK_FILE}.part-")
}

/// How a file is locked, and whether that was granted.
type TryLock = fn(&File, &Path) -> io::Result<bool>;

fn hold(dir: &Path, name: &str, lock: TryLock) -> Result<File> {
    try_lock(dir, name, lock)?.ok_or_else(|| {
        let detail = "another ingest is writing to the output folder".to_owned();
        Error::Output {
            detail,
            dir: dir.to_owned(),
            advice: "wait for it to end".to_owned(),
        }
    })
}

/// The locked file, or `None` if another process has locked it.
fn try_lock(dir: &Path, name: &str, lock: TryLock) -> Result<Option<File>> {
    let path = dir.join(name);
    // On network file systems a shared lock needs the right to read, an exclusive one the right to
    // write.
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path);
    let file = file.map_err(Error::io("write to the output folder", &path))?;
    let granted = lock(&file, &path).map_err(Error::io("lock", &path))?;
    Ok(granted.then_some(file))
}
