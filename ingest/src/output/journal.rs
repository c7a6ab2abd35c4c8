//! What a run does to shards that the catalog lists, noted until there is a catalog that says so.
//!
//! A catalog refuses a shard that is not what the one before said, since that is how damage looks.
//! So who makes a listed shard again notes its new CRC32C before it appears. And an input whose
//! shards are being replaced is noted before the first of them, so that a run which is killed half
//! way is gone on with. That stays noted until a run has done all of the input. Every part of a run
//! has a file of its own; lines are JSON.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::plan::Part;

/// How the files' names begin.
const JOURNAL_FILE: &str = ".ingest.journal";

/// A line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Note {
    Made { shard: String, crc32c: u32 },
    Replacing { input: String },
}

/// What the journals of a set say.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    /// File name and CRC32C of shards that were made again. Parts of several runs may have made the
    /// same one.
    pub(crate) made: HashSet<(String, u32)>,
    /// Inputs whose shards are being replaced.
    pub(super) replacing: HashSet<String>,
}

impl Noted {
    /// Reads all journals in `dir`. A line that a crash has torn is none.
    ///
    /// # Errors
    /// If one cannot be read.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let mut noted = Self::default();
        for path in journals(dir)? {
            let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
            for line in bytes.split(|&byte| byte == b'\n') {
                match serde_json::from_slice(line) {
                    Ok(Note::Made { shard, crc32c }) => noted.made.insert((shard, crc32c)),
                    Ok(Note::Replacing { input }) => noted.replacing.insert(input),
                    Err(_) => false,
                };
            }
        }
        Ok(noted)
    }
}

/// The journal of this run or part.
pub(super) struct Journal {
    path: PathBuf,
    file: Option<File>,
}

impl Journal {
    pub(super) fn of(dir: &Path, part: Part) -> Self {
        let name = match part.is_whole() {
            true => JOURNAL_FILE.to_owned(),
            false => format!("{JOURNAL_FILE}.part-{}-of-{}", part.index, part.count),
        };
        Self {
            path: dir.join(name),
            file: None,
        }
    }

    /// Notes durably that `shard` is made again and has this CRC32C.
    pub(super) fn made(&mut self, shard: &str, crc32c: u32) -> Result<()> {
        let shard = shard.to_owned();
        self.note(&Note::Made { shard, crc32c })
    }

    /// Notes durably that the shards of `input` are being replaced.
    pub(super) fn replacing(&mut self, input: &str) -> Result<()> {
        let input = input.to_owned();
        self.note(&Note::Replacing { input })
    }

    fn note(&mut self, note: &Note) -> Result<()> {
        let line = line(note);
        let written = self.open().and_then(|file| {
            // A line that a crash has torn does not spoil the next one.
            file.write_all(format!("\n{line}").as_bytes())?;
            file.sync_all()
        });
        written.map_err(Error::io("write", &self.path))
    }

    fn open(&mut self) -> std::io::Result<&mut File> {
        if self.file.is_none() {
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(&self.path)?;
            self.file = Some(file);
        }
        Ok(self.file.as_mut().expect("it was just opened"))
    }
}

/// Forgets which shards were made again, which a catalog says by now, and that the inputs for which
/// `is_done` holds are being replaced.
///
/// # Errors
/// If a journal cannot be read, written or removed.
pub(crate) fn forget(dir: &Path, is_done: &dyn Fn(&str) -> bool) -> Result<()> {
    let mut replacing = Noted::read(dir)?.replacing;
    replacing.retain(|input| !is_done(input));
    let kept = (!replacing.is_empty()).then(|| dir.join(JOURNAL_FILE));
    if let Some(path) = &kept {
        let lines = replacing
            .into_iter()
            .map(|input| line(&Note::Replacing { input }));
        let temporary = path.with_extension("tmp");
        let written = File::create(&temporary).and_then(|mut file| {
            file.write_all(lines.collect::<String>().as_bytes())?;
            file.sync_all()
        });
        written.map_err(Error::io("write", &temporary))?;
        host::publish(&temporary, path).map_err(Error::io("rename a finished file to", path))?;
    }
    for path in journals(dir)? {
        if kept.as_ref() != Some(&path) {
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}

fn line(note: &Note) -> String {
    serde_json::to_string(note).expect("plain data serialises") + "\n"
}

fn journals(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let entry = entry.map_err(Error::io("list", dir))?;
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with(JOURNAL_FILE)
        {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_read_but_for_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::of(dir.path(), Part::WHOLE);
        journal.made("a.parquet", 7).unwrap();
        let torn = br#"{"made":{"shard":"b.par"#;
        journal.open().unwrap().write_all(torn).unwrap();
        let part = "1/2".parse().unwrap();
        Journal::of(dir.path(), part).replacing("x\ny").unwrap();
        journal.made("a.parquet", 8).unwrap();
        let noted = Noted::read(dir.path()).unwrap();
        let made = [7, 8].map(|crc32c| ("a.parquet".to_owned(), crc32c));
        assert_eq!(noted.made, made.into());
        assert_eq!(noted.replacing, ["x\ny".to_owned()].into());
    }

    #[test]
    fn an_input_that_is_being_replaced_is_forgotten_when_it_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::of(dir.path(), "1/2".parse().unwrap());
        journal.made("a.parquet", 7).unwrap();
        journal.replacing("x").unwrap();
        journal.replacing("y").unwrap();
        for (done, left) in [("", &["x", "y"][..]), ("x", &["y"]), ("y", &[]), ("", &[])] {
            forget(dir.path(), &|input| input == done).unwrap();
            let noted = Noted::read(dir.path()).unwrap();
            assert_eq!(noted.made, HashSet::new());
            let left = left.iter().map(|&input| input.to_owned());
            assert_eq!(noted.replacing, left.collect());
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
