//! The framing of TFRecord files: `u64 length, u32 masked CRC32C of it, data, u32 masked CRC32C of
//! it`, little-endian.
//!
//! Lengths are checked against the file before a byte is allocated. A damaged length ends the file,
//! since nothing says where the next record starts; damaged data costs only its own record.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use prost::bytes::Bytes;

use crate::cpu_time::{Stage, lap};
use crate::error::Defect;

const HEADER_BYTES: u64 = 12;
const FOOTER_BYTES: u64 = 4;

/// One record whose checksums hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Position of its length field in the file.
    pub offset: u64,
    /// Its data.
    pub data: Bytes,
}

/// What stands at one place of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A good record.
    Record(Record),
    /// A record, or the rest of the file, that is lost.
    Lost {
        /// Position of its length field.
        offset: u64,
        /// Why.
        defect: Defect,
    },
}

/// Iterator over the records of one file. An I/O error ends it.
pub struct Records<R> {
    input: R,
    offset: u64,
    file_bytes: u64,
}

impl Records<File> {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let file_bytes = file.metadata()?.len();
        Ok(Self::new(file, file_bytes))
    }
}

impl<R: Read> Records<R> {
    /// Reads records from `input`, which holds `file_bytes` bytes.
    pub fn new(input: R, file_bytes: u64) -> Self {
        Self {
            input,
            offset: 0,
            file_bytes,
        }
    }

    fn read_event(&mut self) -> io::Result<Event> {
        let offset = self.offset;
        let left = self.file_bytes - offset;
        if left < HEADER_BYTES {
            return Ok(self.lose_rest(
                "truncated-tfrecord",
                format!("{left} bytes are left, a record header has 12"),
            ));
        }
        let mut header = [0; HEADER_BYTES as usize];
        self.input.read_exact(&mut header)?;
        let Some(length) = parse_header(&header) else {
            return Ok(self.lose_rest(
                "bad-length-crc",
                "the checksum of the record's length does not hold".into(),
            ));
        };
        let framed = length.checked_add(HEADER_BYTES + FOOTER_BYTES);
        let Some(framed) = framed.filter(|&bytes| bytes <= left) else {
            let detail = format!(
                "the record claims {length} bytes, {} are left",
                left - HEADER_BYTES
            );
            return Ok(self.lose_rest("truncated-tfrecord", detail));
        };

        let mut data = Vec::with_capacity((length + FOOTER_BYTES) as usize);
        self.input
            .by_ref()
            .take(length + FOOTER_BYTES)
            .read_to_end(&mut data)?;
        if data.len() as u64 != length + FOOTER_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file shrank while it was read",
            ));
        }
        self.offset += framed;
        let footer = data.split_off(length as usize);
        lap(Stage::Read);
        let holds = masked_crc(&data).to_le_bytes() == footer[..];
        lap(Stage::Crc);
        if !holds {
            let detail = format!("the checksum of the record's {length} bytes does not hold");
            return Ok(Event::Lost {
                offset,
                defect: Defect::new("bad-data-crc", detail),
            });
        }
        Ok(Event::Record(Record {
            offset,
            data: data.into(),
        }))
    }

    fn lose_rest(&mut self, reason: &'static str, detail: String) -> Event {
        let offset = std::mem::replace(&mut self.offset, self.file_bytes);
        Event::Lost {
            offset,
            defect: Defect::new(reason, detail),
        }
    }
}

impl<R: Read> Iterator for Records<R> {
    type Item = io::Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.offset == self.file_bytes {
            return None;
        }
        let event = self.read_event();
        if event.is_err() {
            self.offset = self.file_bytes;
        }
        Some(event)
    }
}

/// The length in a record header, if its checksum holds.
pub(crate) fn parse_header(header: &[u8; HEADER_BYTES as usize]) -> Option<u64> {
    let (length, crc) = header
        .split_first_chunk::<8>()
        .expect("a header has 12 bytes");
    (masked_crc(length).to_le_bytes() == crc).then(|| u64::from_le_bytes(*length))
}

/// TFRecord's checksum: CRC32C, rotated and offset so that a CRC of data that holds CRCs stays a
/// good check.
pub fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xA282_EAD8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(data: &[u8]) -> Vec<u8> {
        let length = (data.len() as u64).to_le_bytes();
        [
            &length[..],
            &masked_crc(&length).to_le_bytes(),
            data,
            &masked_crc(data).to_le_bytes(),
        ]
        .concat()
    }

    fn three() -> Vec<u8> {
        [framed(b"first"), framed(b""), framed(&[7; 1000])].concat()
    }

    fn read(bytes: &[u8]) -> Vec<Event> {
        Records::new(bytes, bytes.len() as u64)
            .map(|event| event.unwrap())
            .collect()
    }

    /// Offsets of good records, and offsets and reasons of lost ones.
    fn summary(bytes: &[u8]) -> Vec<(u64, &'static str)> {
        let events = read(bytes).into_iter();
        events
            .map(|event| match event {
                Event::Record(record) => (record.offset, "ok"),
                Event::Lost { offset, defect } => (offset, defect.reason),
            })
            .collect()
    }

    #[test]
    fn records_come_back_with_their_offsets() {
        assert_eq!(summary(&three()), [(0, "ok"), (21, "ok"), (37, "ok")]);
        assert_eq!(summary(b""), []);
    }

    #[test]
    fn the_tfrecord_crate_reads_the_same() {
        let bytes = three();
        let theirs =
            tfrecord::RecordIter::<Vec<u8>, _>::from_reader(&bytes[..], Default::default());
        let theirs: Vec<Vec<u8>> = theirs.map(|record| record.unwrap()).collect();
        let ours = read(&bytes).into_iter().map(|event| match event {
            Event::Record(record) => record.data.to_vec(),
            Event::Lost { .. } => panic!("a good record was lost"),
        });
        assert_eq!(ours.collect::<Vec<_>>(), theirs);
    }

    #[test]
    fn a_flipped_length_ends_the_file() {
        for at in [21, 25, 30] {
            let mut bytes = three();
            bytes[at] ^= 4;
            assert_eq!(
                summary(&bytes),
                [(0, "ok"), (21, "bad-length-crc")],
                "byte {at}"
            );
        }
    }

    #[test]
    fn flipped_data_costs_one_record() {
        for at in [12, 16, 17, 20] {
            let mut bytes = three();
            bytes[at] ^= 1;
            assert_eq!(
                summary(&bytes),
                [(0, "bad-data-crc"), (21, "ok"), (37, "ok")],
                "byte {at}"
            );
        }
    }

    #[test]
    fn every_truncation_is_named() {
        let bytes = three();
        for len in [1, 11, 12, 20, 22, 36, 38, bytes.len() - 1] {
            let (_, last) = *summary(&bytes[..len]).last().unwrap();
            assert_eq!(last, "truncated-tfrecord", "{len} bytes");
        }
    }

    #[test]
    fn a_length_of_terabytes_allocates_nothing() {
        for length in [1u64 << 42, u64::MAX] {
            let length = length.to_le_bytes();
            let bytes = [&length[..], &masked_crc(&length).to_le_bytes(), b"data"].concat();
            assert_eq!(summary(&bytes), [(0, "truncated-tfrecord")]);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read(&bytes).len() <= bytes.len());
        }
    }
}
