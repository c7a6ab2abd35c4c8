//! Reads a shard's footer and metadata, and finds its JPEGs in the file.

use std::path::Path;

use bytes::Bytes;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};

use super::columns::{LevelFacts, Rows};
use super::write::{Body, jpeg_column};
use super::{InputRecord, Settings, ShardId, Skipped, key};
use crate::frame::{Encoding, FrameMeta, Origin};
use crate::geom::Size;
use crate::table::Table;
use crate::{Error, Result};

/// Rows read at a time.
const BATCH_ROWS: usize = 1024;

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
    /// The image that it was made of; format 2 does not say.
    pub origin: Option<Origin>,
    /// In the order of the settings' levels.
    pub levels: Vec<Option<LevelEntry>>,
}

/// An open shard. Opening reads the footer and its page index only.
pub struct ShardReader {
    table: Table,
    id: ShardId,
    settings: Settings,
    skipped: Vec<Skipped>,
    input: Option<InputRecord>,
    body: Body,
}

impl ShardReader {
    /// Opens `path` and checks that it is a shard of this format version.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Version`] or [`Error::Damaged`].
    pub fn open(path: &Path) -> Result<Self> {
        let table = Table::open(path, PageIndexPolicy::Required)?;
        Ok(Self {
            id: table.note(key::ID)?,
            settings: table.note(key::SETTINGS)?,
            skipped: table.note(key::SKIPPED)?,
            input: table.note_if_any(key::INPUT)?,
            body: table.note(key::BODY)?,
            table,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.table.path()
    }

    /// Which input it holds.
    pub fn id(&self) -> &ShardId {
        &self.id
    }

    /// The settings it was written with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The input as it was when the shard was made; format 2 does not say.
    pub fn input(&self) -> Option<&InputRecord> {
        self.input.as_ref()
    }

    /// What its input held besides the frames.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Number of rows.
    pub fn num_frames(&self) -> u64 {
        self.table.num_rows()
    }

    /// Size and CRC32C of the whole file, reading only what follows the pages: the checksum of the
    /// pages stands in the footer, as it was when they were written.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Damaged`] if the file is shorter than its footer says.
    pub fn file_checksum(&self) -> Result<(u64, u32)> {
        let bytes = self.table.bytes();
        let tail = bytes
            .checked_sub(self.body.bytes)
            .ok_or_else(|| Error::damaged(self.path(), "it is shorter than its footer says"))?;
        let tail = self.table.read(self.body.bytes, tail)?;
        let crc = crc32c::crc32c_combine(self.body.crc32c, crc32c::crc32c(&tail), tail.len());
        Ok((bytes, crc))
    }

    /// Length of the pages, and of what stands before them.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.body.bytes
    }

    pub(crate) fn parquet_metadata(&self) -> &ParquetMetaData {
        self.table.metadata()
    }

    /// Every row, without JPEG bytes.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Damaged`] if a metadata column cannot be read or the rows contradict
    /// the pages.
    pub fn rows(&self) -> Result<Vec<FrameEntry>> {
        let jpeg_columns: Vec<String> = self
            .settings
            .levels
            .iter()
            .map(|&level| jpeg_column(level))
            .collect();
        let batches = self.table.batches(BATCH_ROWS, |name| {
            !jpeg_columns.iter().any(|column| column == name)
        })?;
        let pages = self.pages()?;
        let mut frames = Vec::with_capacity(self.num_frames() as usize);
        for batch in batches {
            let batch = batch?;
            let rows = Rows::new(&batch, self.path());
            let metas = rows.metas()?;
            let origins = rows.origins()?;
            let levels: Vec<Vec<Option<LevelFacts>>> = self
                .settings
                .levels
                .iter()
                .map(|&level| rows.levels(level))
                .collect::<Result<_>>()?;
            for (ix, (meta, origin)) in metas.into_iter().zip(origins).enumerate() {
                let row = frames.len();
                let located = levels
                    .iter()
                    .zip(&pages)
                    .map(|(facts, pages)| match &facts[ix] {
                        Some(facts) => self.locate(facts, pages.get(row)).map(Some),
                        None => Ok(None),
                    });
                let levels = located.collect::<Result<_>>()?;
                frames.push(FrameEntry {
                    meta,
                    origin,
                    levels,
                });
            }
        }
        Ok(frames)
    }

    /// The bytes of a level.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::Damaged`] if the range lies outside of it.
    pub fn jpeg(&self, entry: &LevelEntry) -> Result<Bytes> {
        self.table.read(entry.offset, entry.len.into())
    }

    /// Length of the file, and its last `count` bytes, or all of it.
    ///
    /// # Errors
    /// As [`jpeg`](Self::jpeg).
    pub(crate) fn end(&self, count: u64) -> Result<(u64, Bytes)> {
        let bytes = self.table.bytes();
        let count = count.min(bytes);
        Ok((bytes, self.table.read(bytes - count, count)?))
    }

    /// `(offset, size)` of every page of every JPEG column: `[level][row]`.
    fn pages(&self) -> Result<Vec<Vec<(u64, u64)>>> {
        let metadata = self.table.metadata();
        let schema = metadata.file_metadata().schema_descr();
        let find = |level: &u8| {
            let name = jpeg_column(*level);
            (0..schema.num_columns())
                .find(|&column| schema.column(column).name() == name)
                .ok_or_else(|| Error::damaged(self.path(), format!("no column {name}")))
        };
        self.settings
            .levels
            .iter()
            .map(find)
            .map(|column| self.column_pages(metadata, column?))
            .collect()
    }

    fn column_pages(&self, metadata: &ParquetMetaData, column: usize) -> Result<Vec<(u64, u64)>> {
        let damaged = || {
            Error::damaged(
                self.path(),
                "its page index does not give one page per JPEG",
            )
        };
        let mut pages = Vec::with_capacity(self.num_frames() as usize);
        for (group_ix, group) in metadata.row_groups().iter().enumerate() {
            let index = metadata.page_index_for_row_group(group_ix);
            let locations = index.page_locations(column).ok_or_else(damaged)?;
            let one_each = locations
                .iter()
                .enumerate()
                .all(|(ix, page)| page.first_row_index == ix as i64);
            if !one_each || locations.len() as i64 != group.num_rows() {
                return Err(damaged());
            }
            pages.extend(
                locations
                    .iter()
                    .map(|page| (page.offset as u64, page.compressed_page_size as u64)),
            );
        }
        Ok(pages)
    }

    /// A PLAIN byte-array value ends its page, so it starts `len` before the page's end.
    fn locate(&self, facts: &LevelFacts, page: Option<&(u64, u64)>) -> Result<LevelEntry> {
        let damaged = || Error::damaged(self.path(), "a JPEG is longer than its page");
        let &(offset, size) = page.ok_or_else(damaged)?;
        let offset = size
            .checked_sub(facts.len.into())
            .and_then(|head| offset.checked_add(head))
            .ok_or_else(damaged)?;
        let LevelFacts {
            len,
            crc32c,
            size,
            mcu,
            tile,
            encoding,
        } = facts.clone();
        Ok(LevelEntry {
            offset,
            len,
            crc32c,
            size,
            mcu,
            tile,
            encoding,
        })
    }
}
