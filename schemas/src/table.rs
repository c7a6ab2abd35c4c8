//! A Parquet file of ours as it is found: a shard or a catalog, whole, damaged, or something else
//! altogether.
//!
//! Nothing in it is trusted ([`crate::untrusted`]), and memory is reserved for as many rows as a
//! file of its size can hold.

use std::fmt::Display;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};
use serde::de::DeserializeOwned;

use crate::shard::{FORMAT_VERSION, READ_VERSIONS, key};
use crate::untrusted::{Input, caught, check_page_index, check_schema, read_groups};
use crate::{Error, Result};

/// An open file of this format version. Opening reads the footer, and where its pages lie if that
/// is asked for. The file stays open: another one that takes its name meanwhile does not matter.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    path: PathBuf,
    input: Input,
    metadata: ArrowReaderMetadata,
    num_rows: u64,
}

impl Table {
    /// # Errors
    /// [`Error::Io`], [`Error::Version`] or [`Error::Damaged`].
    pub(crate) fn open(path: &Path, offset_index: PageIndexPolicy) -> Result<Self> {
        let input = Input::open(path).map_err(Error::io("open", path))?;
        Self::of(input, path, offset_index)
    }

    /// The table in an open file, whose name is `path`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn of(input: Input, path: &Path, offset_index: PageIndexPolicy) -> Result<Self> {
        // Types follow from the Parquet schema; what the footer says of Arrow's is more that can be
        // wrong.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let load = || ArrowReaderMetadata::try_new(Arc::new(load(&input, offset_index)?), options);
        let metadata = guarded(path, &input, load)?;
        check_version(metadata.metadata(), path)?;
        let num_rows = num_rows(metadata.metadata()).filter(|&rows| rows <= input.len());
        let num_rows = num_rows
            .ok_or_else(|| Error::damaged(path, "its footer claims rows that it cannot have"))?;
        Ok(Self {
            path: path.to_owned(),
            input,
            metadata,
            num_rows,
        })
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Number of rows; at most as many as the file has bytes.
    pub(crate) fn num_rows(&self) -> u64 {
        self.num_rows
    }

    /// Length of the file when it was opened.
    pub(crate) fn bytes(&self) -> u64 {
        self.input.len()
    }

    /// Some bytes of the file as they are.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Damaged`] if they lie outside of it.
    pub(crate) fn read(&self, start: u64, length: u64) -> Result<Bytes> {
        let input = self.input.again();
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        guarded(&self.path, &input, || input.get_bytes(start, length))
    }

    pub(crate) fn metadata(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }

    /// The footer's entry `name`, parsed.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub(crate) fn note<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let text = note(self.metadata(), name)
            .ok_or_else(|| Error::damaged(&self.path, format!("its footer lacks {name}")))?;
        serde_json::from_str(text)
            .map_err(|error| Error::damaged(&self.path, format!("{name} in its footer: {error}")))
    }

    /// The footer's entry `name`, parsed, if there is one.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub(crate) fn note_if_any<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        match note(self.metadata(), name) {
            Some(_) => self.note(name).map(Some),
            None => Ok(None),
        }
    }

    /// All rows of the columns that `wanted` names, `batch_rows` at a time; the first error is the
    /// last item.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Damaged`], each batch [`Error::Damaged`].
    pub(crate) fn batches(
        &self,
        batch_rows: usize,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<impl Iterator<Item = Result<RecordBatch>> + '_> {
        let input = self.input.again();
        let build = || {
            let schema = self.metadata.parquet_schema();
            let columns =
                (0..schema.num_columns()).filter(|&column| wanted(schema.column(column).name()));
            let mask = ProjectionMask::leaves(schema, columns.collect::<Vec<_>>());
            let groups = (0..self.metadata().num_row_groups()).collect();
            read_groups(&input, &self.metadata, mask, groups, batch_rows)
        };
        // `None` behind the end and an error.
        let mut reader = Some(guarded(&self.path, &input, build)?);
        let mut rows_left = self.num_rows;
        Ok(iter::from_fn(move || {
            let batch = guarded(&self.path, &input, || {
                reader.as_mut().and_then(Iterator::next).transpose()
            });
            let batch = batch
                .and_then(|batch| self.counted(batch, &mut rows_left))
                .transpose();
            if !matches!(batch, Some(Ok(_))) {
                reader = None;
                rows_left = 0;
            }
            batch
        }))
    }

    /// Counts `batch`, or the end, against the rows that are still to come.
    fn counted(
        &self,
        batch: Option<RecordBatch>,
        rows_left: &mut u64,
    ) -> Result<Option<RecordBatch>> {
        let rows = batch.as_ref().map_or(0, |batch| batch.num_rows() as u64);
        match rows_left.checked_sub(rows) {
            Some(left) if batch.is_some() || left == 0 => *rows_left = left,
            _ => {
                return Err(Error::damaged(
                    &self.path,
                    "it has not as many rows as its footer says",
                ));
            }
        }
        Ok(batch)
    }
}

fn load(file: &Input, offset_index: PageIndexPolicy) -> Result<ParquetMetaData, ParquetError> {
    check_schema(file)?;
    let metadata = ParquetMetaDataReader::new().parse_and_finish(file)?;
    if offset_index == PageIndexPolicy::Skip {
        return Ok(metadata);
    }
    check_page_index(file, &metadata)?;
    let mut reader =
        ParquetMetaDataReader::new_with_metadata(metadata).with_offset_index_policy(offset_index);
    reader.read_page_indexes(file)?;
    reader.finish()
}

fn guarded<T, E: Display>(
    path: &Path,
    input: &Input,
    read: impl FnOnce() -> Result<T, E>,
) -> Result<T> {
    let detail = match caught(read) {
        Some(Ok(value)) => return Ok(value),
        Some(Err(error)) => error.to_string(),
        None => "its parts contradict each other".to_owned(),
    };
    match input.take_refusal() {
        Some(refusal) => Err(Error::io("read", path)(refusal)),
        None => Err(Error::damaged(path, detail)),
    }
}

/// The number of rows, if the footer agrees with its row groups.
fn num_rows(metadata: &ParquetMetaData) -> Option<u64> {
    let add = |sum: u64, rows: i64| sum.checked_add(u64::try_from(rows).ok()?);
    let sum = metadata
        .row_groups()
        .iter()
        .map(|group| group.num_rows())
        .try_fold(0, add)?;
    (u64::try_from(metadata.file_metadata().num_rows()) == Ok(sum)).then_some(sum)
}

fn note<'a>(metadata: &'a ParquetMetaData, name: &str) -> Option<&'a str> {
    let mut entries = metadata
        .file_metadata()
        .key_value_metadata()
        .into_iter()
        .flatten();
    entries.find(|entry| entry.key == name)?.value.as_deref()
}

fn check_version(metadata: &ParquetMetaData, path: &Path) -> Result<()> {
    match note(metadata, key::VERSION) {
        Some(found)
            if READ_VERSIONS
                .iter()
                .any(|version| version.to_string() == found) =>
        {
            Ok(())
        }
        found => Err(Error::Version {
            found: found.unwrap_or("0 (no shard)").to_owned(),
            expected: FORMAT_VERSION,
            path: path.to_owned(),
        }),
    }
}
