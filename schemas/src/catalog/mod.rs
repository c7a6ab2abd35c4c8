//! The catalog: where every frame of a set lies.
//!
//! `catalog.parquet` beside the `frames/` folder holds the metadata of every frame and, per level,
//! its offset, length and checksum; its footer lists the shards with size and checksum. It is
//! derived: [`build`] makes it from the shards' footers without reading a JPEG, atomically. Opening
//! compares it with the folder by names and sizes, never by time, and checks its own checksum,
//! which lies in `catalog.parquet.crc32c`. An open catalog stays what it was when another one takes
//! its name: a set may grow under a program that reads it.

mod build;
mod left_out;
mod stamp;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use arrow::array::{RecordBatch, UInt64Array};
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::reader::Length;
use serde::{Deserialize, Serialize};

use crate::inputs::GivenInputs;
use crate::shard::columns::{LevelFacts, Rows};
use crate::shard::{
    FRAMES_DIR, FrameEntry, InputRecord, LevelEntry, Settings, ShardId, ShardReader, is_zero, key,
};
use crate::table::Table;
use crate::untrusted::Input;
use crate::{Error, Result};
pub use build::{build, rebuild};
pub use left_out::LeftOut;
pub use stamp::{ShardStamp, fingerprint};

/// The catalog's file name.
pub const CATALOG_FILE: &str = "catalog.parquet";
/// File name of its checksum: eight hexadecimal digits and a line feed.
pub const CATALOG_CHECKSUM_FILE: &str = "catalog.parquet.crc32c";

/// Rows of a row group, and rows read or written at a time.
pub const BATCH_ROWS: usize = 65_536;

/// How often, and how far apart, a catalog is looked at again that is just being replaced.
const LOOKS: u32 = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
/// Bytes that are checksummed at a time.
const CHECKSUM_BYTES: usize = 1 << 20;

/// A shard as the catalog knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardInfo {
    /// File name inside `frames/`.
    pub name: String,
    /// Size of the file.
    pub bytes: u64,
    /// CRC32C of the file.
    pub crc32c: u32,
    /// Its rows.
    pub frames: u64,
    /// How many of them the catalog leaves out, since another shard has frames of their names.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub duplicates: u64,
    /// How many items of its input were skipped.
    pub skipped: u64,
    /// Which input it holds.
    pub id: ShardId,
    /// What the input was; format 2 does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<InputRecord>,
}

impl ShardInfo {
    /// What a catalog says of `shard`.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Damaged`] if the file is shorter than its footer says.
    pub fn of(shard: &ShardReader) -> Result<Self> {
        let (bytes, crc32c) = shard.file_checksum()?;
        let name = shard.path().file_name().unwrap_or_default();
        Ok(Self {
            name: name.to_string_lossy().into_owned(),
            bytes,
            crc32c,
            frames: shard.num_frames(),
            duplicates: 0,
            skipped: shard.skipped().len() as u64,
            id: shard.id().clone(),
            input: shard.input().cloned(),
        })
    }

    /// What makes this shard of the set in `dir` again.
    pub fn remake(&self, settings: &Settings, dir: &Path) -> String {
        GivenInputs::read(dir).remake(&self.id.input, settings, dir)
    }
}

/// A frame as the catalog knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogRow {
    /// Its metadata and levels.
    pub frame: FrameEntry,
    /// Which shard ([`Catalog::shards`]) holds it.
    pub shard: u32,
    /// Its row in that shard.
    pub row: u32,
}

/// Paths of all shards in `dir`, sorted by name.
///
/// # Errors
/// [`Error::NoShards`] if there is no such folder, [`Error::Io`] if it cannot be listed.
pub fn shard_paths(dir: &Path) -> Result<Vec<PathBuf>> {
    let frames = dir.join(FRAMES_DIR);
    if !frames.is_dir() {
        let detail = if dir.is_dir() {
            "it holds no frames/ folder"
        } else {
            "there is no such folder"
        };
        return Err(no_shards(dir, detail));
    }
    let listed = fs::read_dir(&frames).map_err(Error::io("list", &frames))?;
    let mut paths: Vec<PathBuf> = listed
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(Error::io("list", &frames))?;
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "parquet")
    });
    paths.sort();
    Ok(paths)
}

/// That there is no shard in `dir`, and what makes some: the commands that made those of before, if
/// that is known.
pub fn no_shards(dir: &Path, detail: &'static str) -> Error {
    let settings = Catalog::open_even_if_stale(dir).map(|catalog| catalog.settings);
    let commands = GivenInputs::read(dir).commands(&settings.unwrap_or_default(), dir);
    let make = match commands[..] {
        [] => format!("`ingest waymo INPUT --out {}`", dir.display()),
        _ => format!("`{}`", commands.join("`, `")),
    };
    Error::NoShards {
        detail,
        make,
        dir: dir.to_owned(),
    }
}

/// An open catalog.
#[derive(Clone, Debug)]
pub struct Catalog {
    dir: PathBuf,
    table: Table,
    shards: Vec<ShardInfo>,
    settings: Settings,
    crc32c: u32,
}

impl Catalog {
    /// Opens the catalog of the set in `dir` and checks that it is whole and describes the shards
    /// beside it.
    ///
    /// # Errors
    /// [`Error::NoShards`], [`Error::Stale`], [`Error::Version`], [`Error::Damaged`],
    /// [`Error::Io`].
    pub fn open(dir: &Path) -> Result<Self> {
        let found = shard_paths(dir)?;
        let catalog = Self::open_even_if_stale(dir)?;
        check_shards(&catalog, &found)?;
        Ok(catalog)
    }

    /// Opens it without looking at the shards beside it: what they were when it was written.
    ///
    /// # Errors
    /// [`Error::Stale`] if there is none or its checksum does not hold, [`Error::Version`],
    /// [`Error::Damaged`], [`Error::Io`].
    pub fn open_even_if_stale(dir: &Path) -> Result<Self> {
        let path = dir.join(CATALOG_FILE);
        let stale = |detail: String| Error::Stale {
            detail,
            dir: dir.to_owned(),
        };
        if !path.is_file() {
            return Err(stale("there is none".to_owned()));
        }
        let (input, crc32c) = open_checked(dir, &path)?;
        let table = Table::of(input, &path, PageIndexPolicy::Skip)?;
        let (shards, settings) = (table.note(key::SHARDS)?, table.note(key::SETTINGS)?);
        Ok(Self {
            dir: dir.to_owned(),
            table,
            shards,
            settings,
            crc32c,
        })
    }

    /// The folder of the set.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Number of frames.
    pub fn num_frames(&self) -> u64 {
        self.table.num_rows()
    }

    /// Its shards, sorted by name.
    pub fn shards(&self) -> &[ShardInfo] {
        &self.shards
    }

    /// The shard of this file name, if it is listed.
    pub fn shard(&self, name: &str) -> Option<&ShardInfo> {
        let ix = self
            .shards
            .binary_search_by(|info| info.name.as_str().cmp(name))
            .ok()?;
        Some(&self.shards[ix])
    }

    /// Path of a shard.
    pub fn shard_path(&self, shard: u32) -> PathBuf {
        self.dir
            .join(FRAMES_DIR)
            .join(&self.shards[shard as usize].name)
    }

    /// The settings that the whole set was written with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A number that changes with any byte of the catalog.
    pub fn file_fingerprint(&self) -> u64 {
        u64::from(self.crc32c) << 32 | (self.num_frames() & 0xFFFF_FFFF)
    }

    /// Every row in catalog order, `BATCH_ROWS` at a time.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Damaged`] if the file cannot be read; each batch
    /// [`Error::Damaged`] if its columns are wrong.
    pub fn rows(&self) -> Result<impl Iterator<Item = Result<Vec<CatalogRow>>> + '_> {
        let batches = self.batches(|_| true)?;
        Ok(batches.map(|batch| self.catalog_rows(&batch?)))
    }

    /// Record batches of the columns that `wanted` names.
    pub(crate) fn batches(
        &self,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<impl Iterator<Item = Result<RecordBatch>> + '_> {
        self.table.batches(BATCH_ROWS, wanted)
    }

    pub(crate) fn path(&self) -> &Path {
        self.table.path()
    }

    fn catalog_rows(&self, batch: &RecordBatch) -> Result<Vec<CatalogRow>> {
        let rows = Rows::new(batch, self.path());
        let (shard, row) = (rows.u32s("shard")?, rows.u32s("row")?);
        let levels = self.settings.levels.iter().map(
            |&level| -> Result<(&UInt64Array, Vec<Option<LevelFacts>>)> {
                Ok((rows.u64s(&format!("offset_{level}"))?, rows.levels(level)?))
            },
        );
        let levels: Vec<_> = levels.collect::<Result<_>>()?;
        let entry = |ix: usize, offset: &UInt64Array, facts: &[Option<LevelFacts>]| {
            let LevelFacts {
                len,
                crc32c,
                size,
                mcu,
                tile,
                encoding,
            } = facts[ix].clone()?;
            Some(LevelEntry {
                offset: offset.value(ix),
                len,
                crc32c,
                size,
                mcu,
                tile,
                encoding,
            })
        };
        let metas = rows.metas()?.into_iter().zip(rows.origins()?);
        let frames = metas.enumerate().map(|(ix, (meta, origin))| CatalogRow {
            frame: FrameEntry {
                meta,
                origin,
                levels: levels
                    .iter()
                    .map(|(offset, facts)| entry(ix, offset, facts))
                    .collect(),
            },
            shard: shard.value(ix),
            row: row.value(ix),
        });
        Ok(frames.collect())
    }
}

/// Opens the catalog, compares its bytes with the checksum beside it, and returns that. Whoever
/// replaces both replaces one first: while its temporary file is still there, this looks again.
fn open_checked(dir: &Path, path: &Path) -> Result<(Input, u32)> {
    let temporary = temporary_path(dir);
    for _ in 0..LOOKS {
        match open_once(dir, path) {
            Err(Error::Stale { .. }) if temporary.exists() => sleep(BETWEEN_LOOKS),
            done => return done,
        }
    }
    open_once(dir, path)
}

fn open_once(dir: &Path, path: &Path) -> Result<(Input, u32)> {
    let stale = |detail: &str| Error::Stale {
        detail: detail.to_owned(),
        dir: dir.to_owned(),
    };
    let input = Input::open(path).map_err(Error::io("open", path))?;
    let text = fs::read(dir.join(CATALOG_CHECKSUM_FILE))
        .map_err(|_| stale("its checksum file cannot be read"))?;
    let found = crc32c_of(&input).map_err(Error::io("read", path))?;
    // To the letter, so that no bit of the checksum file can change unnoticed.
    match text == checksum_text(found).as_bytes() {
        true => Ok((input, found)),
        false => Err(stale("its checksum does not match")),
    }
}

/// Where a catalog lies until it is whole.
fn temporary_path(dir: &Path) -> PathBuf {
    dir.join(format!("{CATALOG_FILE}.tmp"))
}

/// Read piece by piece: mapped, the whole file would count as memory of the process.
fn crc32c_of(input: &Input) -> io::Result<u32> {
    let mut buffer = vec![0; CHECKSUM_BYTES];
    let (mut at, mut crc) = (0, 0);
    while at < input.len() {
        let piece = &mut buffer[..CHECKSUM_BYTES.min((input.len() - at) as usize)];
        input.read_exact_at(piece, at)?;
        crc = crc32c::crc32c_append(crc, piece);
        at += piece.len() as u64;
    }
    Ok(crc)
}

/// What stands in the checksum file.
pub fn checksum_text(crc32c: u32) -> String {
    format!("{crc32c:08x}\n")
}

/// Same names, same sizes.
fn check_shards(catalog: &Catalog, found: &[PathBuf]) -> Result<()> {
    let listed = &catalog.shards;
    let stale = |detail| Error::Stale {
        detail,
        dir: catalog.dir.clone(),
    };
    let name = |path: &PathBuf| {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    let found_names: Vec<String> = found.iter().map(name).collect();
    if let Some(new) = found_names
        .iter()
        .find(|name| listed.binary_search_by(|info| info.name.cmp(name)).is_err())
    {
        return Err(stale(format!("it does not list {new:?}")));
    }
    for info in listed {
        let Ok(ix) = found_names.binary_search(&info.name) else {
            return Err(Error::Gone {
                name: info.name.clone(),
                remake: info.remake(&catalog.settings, &catalog.dir),
                or_without: match found.is_empty() {
                    true => String::new(),
                    false => format!(
                        ", or go on without its {} frames: `ingest catalog {}`",
                        info.frames,
                        catalog.dir.display()
                    ),
                },
                dir: catalog.dir.clone(),
            });
        };
        match found[ix].metadata().map(|metadata| metadata.len()) {
            Ok(bytes) if bytes == info.bytes => {}
            _ => return Err(stale(format!("shard {:?} has another size", info.name))),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
