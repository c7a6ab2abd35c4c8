//! Chosen columns of a Parquet file that somebody else wrote, a few rows at a time.
//!
//! Damage costs the row group that it hits; an answer of the operating system ends the run. The
//! Parquet library turns both into text, so its reads go through [`Input`], which keeps the
//! system's answer. Its panics over damaged pages are damage like any other.

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
};
use schemas::untrusted::{Input, caught, check_schema, read_groups};

use crate::error::{Defect, Error, Result, Trouble};

/// Rows read at a time; a row holds a JPEG of half a megabyte.
const BATCH_ROWS: usize = 8;

/// A column's name, and which types it may have.
pub(super) type Wanted = (&'static str, fn(&DataType) -> bool);

/// An open file and the columns wanted of it.
pub(super) struct Table {
    path: PathBuf,
    input: Input,
    metadata: ArrowReaderMetadata,
    mask: ProjectionMask,
}

impl Table {
    /// Opens `path`, which must have the columns `wanted`.
    pub(super) fn open(path: &Path, wanted: &[Wanted]) -> Result<Self, Trouble> {
        let input = Input::open(path).map_err(Error::io("open", path))?;
        // Types follow from the Parquet schema alone: what the writer says of Arrow types is its
        // own affair.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let load =
            || check_schema(&input).and_then(|()| ArrowReaderMetadata::load(&input, options));
        let metadata = guarded(path, &input, load)?;
        let mut columns = Vec::new();
        for (name, is_accepted) in wanted {
            let field = metadata.schema().field_with_name(name);
            let field = field.map_err(|_| bad(format!("it has no column {name}")))?;
            if !is_accepted(field.data_type()) {
                return Err(bad(format!(
                    "its column {name} has the type {}",
                    field.data_type()
                ))
                .into());
            }
            let leaves = metadata.parquet_schema().columns();
            columns.extend(
                leaves
                    .iter()
                    .position(|column| column.path().parts() == [*name]),
            );
        }
        let mask = ProjectionMask::leaves(metadata.parquet_schema(), columns);
        Ok(Self {
            path: path.to_owned(),
            input,
            metadata,
            mask,
        })
    }

    /// Rows of every row group.
    pub(super) fn group_rows(&self) -> Vec<u64> {
        self.metadata
            .metadata()
            .row_groups()
            .iter()
            .map(|group| group.num_rows().max(0) as u64)
            .collect()
    }

    /// Bytes that the wanted columns of row group `group` take in the file.
    pub(super) fn group_bytes(&self, group: usize) -> u64 {
        let chunks = self.metadata.metadata().row_group(group).columns();
        let wanted = chunks.iter().enumerate();
        wanted
            .filter(|&(ix, _)| self.mask.leaf_included(ix))
            .map(|(_, chunk)| chunk.compressed_size().max(0) as u64)
            .sum()
    }

    /// Begins to read row group `group`.
    pub(super) fn read_group(&self, group: usize) -> Result<ParquetRecordBatchReader, Trouble> {
        guarded(&self.path, &self.input, || {
            read_groups(
                &self.input,
                &self.metadata,
                self.mask.clone(),
                vec![group],
                BATCH_ROWS,
            )
        })
    }

    /// The next rows of a group.
    pub(super) fn next_batch(
        &self,
        reader: &mut ParquetRecordBatchReader,
    ) -> Result<Option<RecordBatch>, Trouble> {
        guarded(&self.path, &self.input, || reader.next().transpose())
    }
}

fn guarded<T, E: std::fmt::Display>(
    path: &Path,
    input: &Input,
    read: impl FnOnce() -> Result<T, E>,
) -> Result<T, Trouble> {
    let error = match caught(read) {
        Some(Ok(value)) => return Ok(value),
        Some(Err(error)) => error.to_string(),
        None => "its pages contradict each other".to_owned(),
    };
    match input.take_refusal() {
        Some(refusal) => Err(Trouble::Run(Error::io("read", path)(refusal))),
        None => Err(bad(error).into()),
    }
}

pub(super) fn bad(detail: String) -> Defect {
    Defect::new("bad-parquet", detail)
}
