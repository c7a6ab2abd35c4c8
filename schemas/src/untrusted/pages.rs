//! Reading the pages of a Parquet file.

use std::sync::Arc;

use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReader, RowGroups};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_field_levels};
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::serialized_reader::SerializedPageReader;

use super::Input;

/// Begins to read the columns `mask` of the row groups `groups`, at most `batch_rows` rows at a
/// time. A dictionary that claims more values than its page has bytes is an error before memory is
/// reserved for them.
///
/// # Errors
/// If the columns cannot be read.
pub fn read_groups(
    input: &Input,
    metadata: &ArrowReaderMetadata,
    mask: ProjectionMask,
    groups: Vec<usize>,
    batch_rows: usize,
) -> Result<ParquetRecordBatchReader, ParquetError> {
    let levels = parquet_to_arrow_field_levels(metadata.parquet_schema(), mask, None)?;
    let groups = Groups {
        input: Arc::new(input.clone()),
        metadata: metadata.metadata().clone(),
        groups,
    };
    let batch_rows = batch_rows.min(groups.num_rows());
    ParquetRecordBatchReader::try_new_with_row_groups(&levels, &groups, batch_rows, None)
}

/// Some row groups of a file.
struct Groups {
    input: Arc<Input>,
    metadata: Arc<ParquetMetaData>,
    groups: Vec<usize>,
}

impl RowGroups for Groups {
    fn num_rows(&self) -> usize {
        self.row_groups().fold(0, |sum, group| {
            sum.saturating_add(group.num_rows().max(0) as usize)
        })
    }

    fn column_chunks(&self, column: usize) -> Result<Box<dyn PageIterator>, ParquetError> {
        let readers = self
            .row_groups()
            .map(|group| -> Result<Box<dyn PageReader>, ParquetError> {
                let rows = group.num_rows().max(0) as usize;
                let pages = SerializedPageReader::new(
                    self.input.clone(),
                    group.column(column),
                    rows,
                    None,
                )?;
                Ok(Box::new(Checked(pages)))
            });
        Ok(Box::new(Chunks(readers.collect::<Vec<_>>().into_iter())))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(
            self.groups
                .iter()
                .map(|&group| self.metadata.row_group(group)),
        )
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }
}

/// One column's pages, a reader a row group.
struct Chunks(std::vec::IntoIter<Result<Box<dyn PageReader>, ParquetError>>);

impl Iterator for Chunks {
    type Item = Result<Box<dyn PageReader>, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

impl PageIterator for Chunks {}

/// Pages whose dictionaries are not larger than they are.
struct Checked(SerializedPageReader<Input>);

impl PageReader for Checked {
    fn get_next_page(&mut self) -> Result<Option<Page>, ParquetError> {
        let page = self.0.get_next_page()?;
        match &page {
            Some(Page::DictionaryPage {
                buf, num_values, ..
            }) if *num_values as usize > buf.len() => {
                let detail = format!(
                    "a dictionary of {} bytes claims {num_values} values",
                    buf.len()
                );
                Err(ParquetError::General(detail))
            }
            _ => Ok(page),
        }
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>, ParquetError> {
        self.0.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<(), ParquetError> {
        self.0.skip_next_page()
    }
}

impl Iterator for Checked {
    type Item = Result<Page, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}
