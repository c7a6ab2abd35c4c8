//! What a footer claims to be there, held against the bytes that are there.
//!
//! The library reserves memory for all the children that a schema's group says it has, and for all
//! the pages that an index says it lists, before it reads the first. Both are counts of Thrift
//! structs of at least a byte each, so more of them than bytes is a lie. Of Thrift's compact
//! protocol (<https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>)
//! only the way past its fields is here; the library does the reading.

use parquet::errors::ParquetError;
use parquet::file::FOOTER_SIZE;
use parquet::file::metadata::{FooterTail, ParquetMetaData};
use parquet::file::reader::ChunkReader;

/// Fields of `FileMetaData` and `SchemaElement` in parquet.thrift.
const SCHEMA: u64 = 2;
const NUM_CHILDREN: u64 = 5;
/// Groups in a schema. The library goes down into them by recursion; tables of ours, and of data
/// sets, are nearly flat.
const MAX_GROUPS: usize = 100;
/// Structs in structs; the footer has four.
const MAX_DEPTH: u8 = 16;

/// Whether the footer of `file` has as many columns as it says.
///
/// # Errors
/// If not, or if there is no footer.
pub fn check_schema(file: &impl ChunkReader) -> Result<(), ParquetError> {
    let cut_off = || ParquetError::EOF("the file is shorter than its footer".to_owned());
    let end = file
        .len()
        .checked_sub(FOOTER_SIZE as u64)
        .ok_or_else(cut_off)?;
    let bytes = FooterTail::try_from(&*file.get_bytes(end, FOOTER_SIZE)?)?.metadata_length();
    let start = end.checked_sub(bytes as u64).ok_or_else(cut_off)?;
    let is_possible = has_possible_schema(&file.get_bytes(start, bytes)?);
    is_possible
        .ok_or_else(|| ParquetError::General("the schema in its footer is damaged".to_owned()))
}

/// Whether the page index of every column of `file`, which `metadata` describes, has as many pages
/// as it says.
///
/// # Errors
/// If not, or if the file ends before.
pub(crate) fn check_page_index(
    file: &impl ChunkReader,
    metadata: &ParquetMetaData,
) -> Result<(), ParquetError> {
    for chunk in metadata
        .row_groups()
        .iter()
        .flat_map(|group| group.columns())
    {
        let place = chunk.offset_index_offset().zip(chunk.offset_index_length());
        let Some((start, bytes)) =
            place.and_then(|(at, len)| Some((at.try_into().ok()?, len.try_into().ok()?)))
        else {
            continue;
        };
        let index = file.get_bytes(start, bytes)?;
        if has_possible_pages(&index).is_none() {
            let name = chunk.column_descr().name();
            return Err(ParquetError::General(format!(
                "the page index of column {name} is damaged"
            )));
        }
    }
    Ok(())
}

fn has_possible_schema(footer: &[u8]) -> Option<()> {
    let mut num_groups = 0;
    Compact(footer).fields(|footer, field, kind| {
        if field != SCHEMA {
            return footer.skip(kind, MAX_DEPTH);
        }
        let (num_elements, _) = footer.list()?;
        (0..num_elements).try_for_each(|_| {
            footer.fields(|element, field, kind| {
                if field != NUM_CHILDREN {
                    return element.skip(kind, MAX_DEPTH);
                }
                // Signed numbers alternate: 0, -1, 1, -2, …
                let num_children = element.varint()? / 2;
                num_groups += usize::from(num_children > 0);
                (num_children <= num_elements && num_groups <= MAX_GROUPS).then_some(())
            })
        })
    })
}

/// An `OffsetIndex` begins with its list of pages.
fn has_possible_pages(index: &[u8]) -> Option<()> {
    let mut index = Compact(index);
    index.byte()?;
    index.list().map(drop)
}

/// What is left of a structure in the compact protocol. `None` anywhere: it is none, or ends too
/// early.
struct Compact<'a>(&'a [u8]);

impl Compact<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn bytes(&mut self, count: u64) -> Option<()> {
        self.0 = self.0.get(usize::try_from(count).ok()?..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// The length of a list and the kind of its elements.
    fn list(&mut self) -> Option<(u64, u8)> {
        let header = self.byte()?;
        let len = match header >> 4 {
            15 => self.varint()?,
            short => short.into(),
        };
        (len <= self.0.len() as u64).then_some((len, header & 15))
    }

    /// Calls `value` with the number and kind of each field of a struct, to go past its value.
    fn fields(&mut self, mut value: impl FnMut(&mut Self, u64, u8) -> Option<()>) -> Option<()> {
        let mut field = 0;
        loop {
            let header = self.byte()?;
            match (header >> 4, header & 15) {
                (_, 0) => return Some(()),
                (0, _) => field = self.varint()? / 2,
                (step, _) => field += u64::from(step),
            }
            value(self, field, header & 15)?;
        }
    }

    fn skip(&mut self, kind: u8, depth: u8) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match kind {
            1 | 2 => Some(()), // a Boolean is its kind
            3 => self.bytes(1),
            4..=6 => self.varint().map(drop),
            7 => self.bytes(8),
            8 => {
                let len = self.varint()?;
                self.bytes(len)
            }
            9 | 10 => {
                let (len, kind) = self.list()?;
                // In a list, a Boolean is a byte.
                (0..len).try_for_each(|_| {
                    if kind <= 2 {
                        self.bytes(1)
                    } else {
                        self.skip(kind, depth)
                    }
                })
            }
            12 => self.fields(|value, _, kind| value.skip(kind, depth)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `version` 1, `schema`: a root of `num_children` and two columns, `num_rows` 0.
    fn footer(num_children: u8) -> Vec<u8> {
        let root = [0x48, 1, b'r', 0x15, 2 * num_children, 0];
        let column = [0x15, 4, 0x25, 0, 0x18, 1, b'c', 0];
        [
            &[0x15, 2, 0x19, 0x3C][..],
            &root,
            &column,
            &column,
            &[0x16, 0, 0],
        ]
        .concat()
    }

    #[test]
    fn a_schema_has_no_more_children_than_elements() {
        assert_eq!(has_possible_schema(&footer(2)), Some(()));
        assert_eq!(has_possible_schema(&footer(4)), None);
        let groups = [&[0x29, 0xFC, 101][..], &[0x55, 2, 0].repeat(101), &[0]].concat();
        assert_eq!(has_possible_schema(&groups), None);
    }

    #[test]
    fn every_truncation_is_noticed() {
        for len in 0..footer(2).len() {
            assert_eq!(has_possible_schema(&footer(2)[..len]), None, "{len} bytes");
        }
    }

    #[test]
    fn a_page_index_has_no_more_pages_than_bytes() {
        let two = [
            0x19, 0x2C, 0x16, 8, 0x15, 8, 0x16, 0, 0, 0x16, 8, 0x15, 8, 0x16, 2, 0, 0,
        ];
        assert_eq!(has_possible_pages(&two), Some(()));
        assert_eq!(
            has_possible_pages(&[&[0x19, 0xFC, 0xFF, 0xFF, 0xFF, 0xFF, 7][..], &two].concat()),
            None
        );
        assert_eq!(has_possible_pages(&[]), None);
    }
}
