//! What each byte of a shard file belongs to, for whoever has to say where a file is damaged.

use std::fmt;
use std::ops::Range;

use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use super::ShardReader;

/// Bytes behind the footer: its length and the format's mark.
const FOOTER_END_BYTES: u64 = 8;

/// A part of a shard file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The format's mark, in front of everything.
    Mark,
    /// A page of a column, header included. It holds one JPEG in a JPEG column.
    Page {
        /// Name of the column.
        column: String,
        /// Rows of the shard in it.
        rows: Range<u64>,
    },
    /// The tables that say where each page lies.
    PageIndex,
    /// Schema, places of the columns, settings, skipped items; with its length and the mark at the
    /// end.
    Footer,
}

impl Part {
    /// What the byte at `position` of a shard belongs to that cannot be opened, so whose footer or
    /// page index is damaged; `end` holds the last bytes of its `bytes`, eight or more.
    pub fn of_tail(end: &[u8], bytes: u64, position: u64) -> Self {
        let is_in_footer = footer_start(end, bytes).is_none_or(|start| position >= start);
        if is_in_footer {
            Self::Footer
        } else {
            Self::PageIndex
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mark => write!(f, "first four bytes"),
            Self::Page { column, rows } => {
                write!(
                    f,
                    "column {column}, rows {} to {}",
                    rows.start,
                    rows.end.saturating_sub(1)
                )
            }
            Self::PageIndex => write!(f, "page index"),
            Self::Footer => write!(f, "footer"),
        }
    }
}

impl ShardReader {
    /// What the byte at `position` of the file belongs to.
    pub fn part_at(&self, position: u64) -> Part {
        if position >= self.body_bytes() {
            let end = self.end(FOOTER_END_BYTES).ok();
            let footer = end.and_then(|(bytes, end)| footer_start(&end, bytes));
            return if footer.is_none_or(|start| position >= start) {
                Part::Footer
            } else {
                Part::PageIndex
            };
        }
        page_at(self.parquet_metadata(), position).unwrap_or(Part::Mark)
    }
}

/// First byte of the footer, by the length that stands behind it, at the `end` of a file of `bytes`.
fn footer_start(end: &[u8], bytes: u64) -> Option<u64> {
    let length = end.get(end.len().checked_sub(FOOTER_END_BYTES as usize)?..)?;
    let length = u32::from_le_bytes(*length.first_chunk()?);
    bytes
        .checked_sub(FOOTER_END_BYTES)?
        .checked_sub(length.into())
}

fn page_at(metadata: &ParquetMetaData, position: u64) -> Option<Part> {
    let holds = |chunk: &ColumnChunkMetaData| {
        let start = chunk
            .dictionary_page_offset()
            .unwrap_or(chunk.data_page_offset());
        (start..start.saturating_add(chunk.compressed_size())).contains(&(position as i64))
    };
    let mut first_row = 0;
    for (group_ix, group) in metadata.row_groups().iter().enumerate() {
        let rows = first_row..first_row + group.num_rows() as u64;
        if let Some(ix) = group.columns().iter().position(holds) {
            let index = metadata.page_index_for_row_group(group_ix);
            let pages = index.page_locations(ix).into_iter().flatten();
            let pages = pages.map(|page| {
                (
                    page.offset as u64,
                    rows.start.saturating_add(page.first_row_index as u64),
                )
            });
            let pages = pages.filter(|(_, first_row)| rows.contains(first_row));
            let start = pages
                .clone()
                .take_while(|&(offset, _)| offset <= position)
                .last()
                .map_or(rows.start, |page| page.1);
            let end = pages
                .map(|page| page.1)
                .find(|&row| row > start)
                .unwrap_or(rows.end);
            let column = group.column(ix).column_descr().name().to_owned();
            return Some(Part::Page {
                column,
                rows: start..end,
            });
        }
        first_row = rows.end;
    }
    None
}
