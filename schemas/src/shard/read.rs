//! Reads a shard's footer and metadata, and finds its JPEGs in the file.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};

use super::columns::{LevelFacts, Rows};
use super::write::{Body, jpeg_column};
use super::{FORMAT_VERSION, Mapped, Settings, ShardId, Skipped, key};
use crate::frame::{Encoding, FrameMeta};
use crate::geom::Size;
use crate::{Error, Result};

/// Where one level of one frame lies, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelEntry {
    /// First byte of the JPEG in the shard file.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u32,
    /// Its CRC32C.
    pub crc32c: u32,
    /// Its valid size in pixels.
    pub size: Size,
    /// Width of its MCU in pixels.
    pub mcu: u32,
    /// Width of its tiles in pixels.
    pub tile: u32,
    /// How it was made.
    pub encoding: Encoding,
}

/// A row of a shard without its JPEG bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameEntry {
    /// What is known of the frame.
    pub meta: FrameMeta,
    /// In the order of the settings' levels.
    pub levels: Vec<Option<LevelEntry>>,
}

/// An open shard. Opening reads the footer and its page index only.
pub struct ShardReader {
    path: PathBuf,
    metadata: ArrowReaderMetadata,
    id: ShardId,
    settings: Settings,
    skipped: Vec<Skipped>,
    body: Body,
    map: OnceLock<Mapped>,
}

impl ShardReader {
    /// Opens `path` and checks that it is a shard of this format version.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Parquet`], [`Error::Version`] or [`Error::Damaged`].
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
        let metadata = ArrowReaderMetadata::load(&file, options).map_err(Error::parquet("read", path))?;
        let notes = notes(metadata.metadata());
        check_version(notes.get(key::VERSION), path)?;
        Ok(Self {
            path: path.to_owned(),
            id: note(&notes, key::ID, path)?,
            settings: note(&notes, key::SETTINGS, path)?,
            skipped: note(&notes, key::SKIPPED, path)?,
            body: note(&notes, key::BODY, path)?,
            metadata,
            map: OnceLock::new(),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which input it holds.
    pub fn id(&self) -> &ShardId {
        &self.id
    }

    /// The settings it was written with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What its input held besides the frames.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Number of rows.
    pub fn num_frames(&self) -> u64 {
        self.metadata.metadata().file_metadata().num_rows().max(0) as u64
    }

    /// Size and CRC32C of the whole file, reading only what follows the pages: the checksum of the pages stands in
    /// the footer, as it was when they were written.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Damaged`] if the file is shorter than its footer says.
    pub fn file_checksum(&self) -> Result<(u64, u32)> {
        let file = self.mapped()?;
        let tail = usize::try_from(self.body.bytes).ok().and_then(|body| file.get(body..));
        let tail = tail.ok_or_else(|| Error::damaged(&self.path, "it is shorter than its footer says"))?;
        let crc = crc32c::crc32c_combine(self.body.crc32c, crc32c::crc32c(tail), tail.len());
        Ok((file.len() as u64, crc))
    }

    /// Every row, without JPEG bytes.
    ///
    /// # Errors
    /// [`Error::Parquet`] if a metadata column cannot be read, [`Error::Damaged`] if the rows contradict the pages.
    pub fn rows(&self) -> Result<Vec<FrameEntry>> {
        let file = File::open(&self.path).map_err(Error::io("open", &self.path))?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone());
        let schema = builder.parquet_schema();
        let jpeg_columns: Vec<String> = self.settings.levels.iter().map(|&level| jpeg_column(level)).collect();
        let wanted = (0..schema.num_columns())
            .filter(|&column| !jpeg_columns.iter().any(|name| name == schema.column(column).name()));
        let mask = ProjectionMask::leaves(schema, wanted.collect::<Vec<_>>());
        let reader =
            builder.with_projection(mask).with_batch_size(1024).build().map_err(Error::parquet("read", &self.path))?;

        let pages = self.pages()?;
        let mut frames = Vec::with_capacity(self.num_frames() as usize);
        for batch in reader {
            let batch = batch.map_err(|source| Error::damaged(&self.path, source.to_string()))?;
            let rows = Rows::new(&batch, &self.path);
            let metas = rows.metas()?;
            let levels: Vec<Vec<Option<LevelFacts>>> =
                self.settings.levels.iter().map(|&level| rows.levels(level)).collect::<Result<_>>()?;
            for (ix, meta) in metas.into_iter().enumerate() {
                let row = frames.len();
                let located = levels.iter().zip(&pages).map(|(facts, pages)| match &facts[ix] {
                    Some(facts) => self.locate(facts, pages.get(row)).map(Some),
                    None => Ok(None),
                });
                let levels = located.collect::<Result<_>>()?;
                frames.push(FrameEntry { meta, levels });
            }
        }
        Ok(frames)
    }

    /// The bytes of a level, in the mapped file.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be mapped, [`Error::Damaged`] if the range lies outside of it.
    pub fn jpeg(&self, entry: &LevelEntry) -> Result<&[u8]> {
        let file = self.mapped()?;
        usize::try_from(entry.offset)
            .ok()
            .and_then(|start| file.get(start..start.checked_add(entry.len as usize)?))
            .ok_or_else(|| Error::damaged(&self.path, "a JPEG lies outside of the file"))
    }

    fn mapped(&self) -> Result<&Mapped> {
        if let Some(map) = self.map.get() {
            return Ok(map);
        }
        let map = Mapped::open(&self.path, None)?;
        Ok(self.map.get_or_init(|| map))
    }

    /// `(offset, size)` of every page of every JPEG column: `[level][row]`.
    fn pages(&self) -> Result<Vec<Vec<(u64, u64)>>> {
        let metadata = self.metadata.metadata();
        let schema = metadata.file_metadata().schema_descr();
        let find = |level: &u8| {
            let name = jpeg_column(*level);
            (0..schema.num_columns())
                .find(|&column| schema.column(column).name() == name)
                .ok_or_else(|| Error::damaged(&self.path, format!("no column {name}")))
        };
        self.settings.levels.iter().map(find).map(|column| self.column_pages(metadata, column?)).collect()
    }

    fn column_pages(&self, metadata: &ParquetMetaData, column: usize) -> Result<Vec<(u64, u64)>> {
        let damaged = || Error::damaged(&self.path, "its page index does not give one page per JPEG");
        let mut pages = Vec::with_capacity(self.num_frames() as usize);
        for (group_ix, group) in metadata.row_groups().iter().enumerate() {
            let index = metadata.page_index_for_row_group(group_ix);
            let locations = index.page_locations(column).ok_or_else(damaged)?;
            let one_each = locations.iter().enumerate().all(|(ix, page)| page.first_row_index == ix as i64);
            if !one_each || locations.len() as i64 != group.num_rows() {
                return Err(damaged());
            }
            pages.extend(locations.iter().map(|page| (page.offset as u64, page.compressed_page_size as u64)));
        }
        Ok(pages)
    }

    /// A PLAIN byte-array value ends its page, so it starts `len` before the page's end.
    fn locate(&self, facts: &LevelFacts, page: Option<&(u64, u64)>) -> Result<LevelEntry> {
        let damaged = || Error::damaged(&self.path, "a JPEG is longer than its page");
        let &(offset, size) = page.ok_or_else(damaged)?;
        let offset =
            size.checked_sub(facts.len.into()).and_then(|head| offset.checked_add(head)).ok_or_else(damaged)?;
        let LevelFacts { len, crc32c, size, mcu, tile, encoding } = facts.clone();
        Ok(LevelEntry { offset, len, crc32c, size, mcu, tile, encoding })
    }
}

/// The key-value entries of a footer.
pub(crate) fn notes(metadata: &ParquetMetaData) -> HashMap<String, String> {
    let entries = metadata.file_metadata().key_value_metadata().into_iter().flatten();
    entries.filter_map(|entry| Some((entry.key.clone(), entry.value.clone()?))).collect()
}

/// One entry, parsed.
pub(crate) fn note<T: serde::de::DeserializeOwned>(
    notes: &HashMap<String, String>,
    name: &str,
    path: &Path,
) -> Result<T> {
    let text = notes.get(name).ok_or_else(|| Error::damaged(path, format!("its footer lacks {name}")))?;
    serde_json::from_str(text).map_err(|error| Error::damaged(path, format!("{name} in its footer: {error}")))
}

/// # Errors
/// [`Error::Version`] if the file is of another format version, or of none.
pub(crate) fn check_version(found: Option<&String>, path: &Path) -> Result<()> {
    match found {
        Some(found) if *found == FORMAT_VERSION.to_string() => Ok(()),
        found => Err(Error::Version {
            found: found.cloned().unwrap_or_else(|| "0 (no shard)".to_owned()),
            expected: FORMAT_VERSION,
            path: path.to_owned(),
        }),
    }
}
