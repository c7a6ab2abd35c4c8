//! Which files of the output folder are ours.
//!
//! `OUT/.ingest-demo.json` lists them before the first is written. A folder with other files and
//! without the list is left alone; with it, only listed files are ever removed or replaced.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::config::DemoConfig;
use crate::error::{Error, Result};

const FILE_NAME: &str = ".ingest-demo.json";
/// Raised whenever the same seed gives other pictures.
const PICTURES_VERSION: u32 = 1;

/// What a run writes into its output folder.
pub(super) struct Claim {
    out: PathBuf,
    list: List,
}

/// The list as it lies on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct List {
    version: u32,
    seed: u64,
    frames: u32,
    /// All files are there.
    complete: bool,
    files: Vec<PathBuf>,
}

impl Claim {
    pub(super) fn new(config: &DemoConfig, files: Vec<PathBuf>) -> Self {
        let list = List {
            version: PICTURES_VERSION,
            seed: config.seed,
            frames: config.num_frames,
            complete: true,
            files,
        };
        Self {
            out: config.out.clone(),
            list,
        }
    }

    /// Whether an earlier run has written exactly these files.
    ///
    /// # Errors
    /// If the folder cannot be read, or belongs to somebody else.
    pub(super) fn is_fulfilled(&self) -> Result<bool> {
        let earlier = self.earlier()?;
        let there = |file: &PathBuf| self.out.join(file).is_file();
        Ok(earlier.is_some_and(|list| list == self.list) && self.list.files.iter().all(there))
    }

    /// Removes what an earlier run has written, and lists what this one will.
    ///
    /// # Errors
    /// If the folder belongs to somebody else, or cannot be written.
    pub(super) fn stake(&self) -> Result<()> {
        let earlier = self.earlier()?;
        let ours: BTreeSet<&PathBuf> = earlier.iter().flat_map(|list| &list.files).collect();
        let foreign = self
            .list
            .files
            .iter()
            .find(|file| !ours.contains(file) && self.out.join(file).exists());
        if let Some(file) = foreign {
            return Err(self.refuse(format!(
                "{file:?} is there and was not made by `ingest demo`"
            )));
        }
        for file in ours {
            let path = self.out.join(file);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Error::io("remove", path)(error));
                }
                _ => {}
            }
        }
        fs::create_dir_all(&self.out).map_err(Error::io("create the output folder", &self.out))?;
        self.write(false)
    }

    /// Notes that all files are there.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub(super) fn fulfil(&self) -> Result<()> {
        self.write(true)
    }

    /// Bytes of all files.
    ///
    /// # Errors
    /// If one is missing.
    pub(super) fn bytes(&self) -> Result<u64> {
        let size = |file: &PathBuf| {
            let path = self.out.join(file);
            fs::metadata(&path)
                .map(|m| m.len())
                .map_err(Error::io("read", path))
        };
        self.list.files.iter().map(size).sum()
    }

    /// The list of an earlier run; none in a new or empty folder.
    fn earlier(&self) -> Result<Option<List>> {
        let path = self.out.join(FILE_NAME);
        match fs::read_to_string(&path) {
            Ok(text) => match serde_json::from_str::<List>(&text) {
                Ok(list) if list.files.iter().all(|file| stays_inside(file)) => Ok(Some(list)),
                _ => Err(self.refuse(format!("{FILE_NAME:?} in it is damaged"))),
            },
            Err(error) if error.kind() == ErrorKind::NotFound && self.is_empty()? => Ok(None),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(self
                    .refuse("the folder is not empty and was not made by `ingest demo`".to_owned()))
            }
            Err(error) => Err(Error::io("read", path)(error)),
        }
    }

    fn is_empty(&self) -> Result<bool> {
        match fs::read_dir(&self.out) {
            Ok(mut entries) => Ok(entries.next().is_none()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
            Err(error) => Err(Error::io("read the output folder", &self.out)(error)),
        }
    }

    fn refuse(&self, detail: String) -> Error {
        Error::Output {
            detail,
            dir: self.out.clone(),
            advice: "nothing was changed; name another folder with --out".to_owned(),
        }
    }

    fn write(&self, complete: bool) -> Result<()> {
        let list = List {
            complete,
            ..self.list.clone()
        };
        let text = serde_json::to_string_pretty(&list).expect("paths of ours are text");
        let path = self.out.join(FILE_NAME);
        host::replace(&path, |out| out.write_all(text.as_bytes()))
            .map_err(Error::io("write", &path))
    }
}

/// Whether a listed path stays inside the folder: the list may have been edited.
fn stays_inside(file: &Path) -> bool {
    file.components()
        .all(|part| matches!(part, std::path::Component::Normal(_)))
}
