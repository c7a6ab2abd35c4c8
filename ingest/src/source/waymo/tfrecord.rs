//! The framing of TFRecord files: `u64 length, u32 masked CRC32C of it, data, u32 masked CRC32C of
//! it`, little-endian.
//!
//! A length allocates nothing by itself: it is checked against the file, or, where the length of
//! the whole is not known (a compressed file), memory grows with the data that come. A damaged
//! length ends the file, since nothing says where the next record starts; damaged data costs only
//! its own record.
//!
//! The CRC32C of the whole file comes with it: that of a record's data is computed anyway, and the
//! CRCs of pieces give the CRC of the whole. What follows a damaged length is read for that alone.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use prost::bytes::Bytes;

use super::damage::defect_of;
use crate::cpu_time::{Stage, lap};
use crate::error::Defect;

pub(super) const HEADER_BYTES: u64 = 12;
const FOOTER_BYTES: u64 = 4;

/// A longer record is no time step: with lidar and all cameras one has some megabytes.
const MAX_RECORD_BYTES: u64 = 1 << 30;

/// What is reserved for a record before anything says that its data are there.
const UNSEEN_BYTES: u64 = 1 << 20;

/// Bytes read at once of what only the file's checksum needs.
const PIECE_BYTES: u64 = 1 << 18;

/// One record whose checksums hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Position of its length field in the file.
    pub offset: u64,
    /// Its data.
    pub data: Bytes,
}

impl Record {
    /// Its length in the file.
    pub(super) fn framed_bytes(&self) -> u64 {
        HEADER_BYTES + self.data.len() as u64 + FOOTER_BYTES
    }
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
        /// From there to the next record, or to the end of the file.
        unread_bytes: u64,
        /// Why.
        defect: Defect,
    },
}

/// Iterator over the records of one file. An I/O error ends it.
pub struct Records<R> {
    input: R,
    /// Where the next byte is.
    position: u64,
    /// Where the file ends, if that is known before it is read.
    end: Option<u64>,
    /// Where the record begins that is read.
    start: u64,
    /// Of all bytes up to the position.
    crc: u32,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// All was read.
    Done,
    Failed,
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
        Self::up_to(input, Some(file_bytes))
    }

    /// Reads records from `input` up to its end, wherever that is.
    pub(crate) fn of_unknown_length(input: R) -> Self {
        Self::up_to(input, None)
    }

    fn up_to(input: R, end: Option<u64>) -> Self {
        Self {
            input,
            position: 0,
            end,
            start: 0,
            crc: 0,
            state: State::Reading,
        }
    }

    /// Length and CRC32C of the file, once the last record is read.
    pub fn checksum(&self) -> Option<(u64, u32)> {
        (self.state == State::Done).then_some((self.position, self.crc))
    }

    /// `None` where the file ends as it should.
    fn read_event(&mut self) -> io::Result<Option<Event>> {
        self.start = self.position;
        let mut header = [0; HEADER_BYTES as usize];
        let got = self.fill(&mut header)?;
        if got == 0 {
            return Ok(None);
        }
        if (got as u64) < HEADER_BYTES {
            let detail = format!("{got} bytes are left, a record header has 12");
            return self.lose_rest("truncated-tfrecord", detail).map(Some);
        }
        let Some(length) = parse_header(&header) else {
            let detail = "the checksum of the record's length does not hold".to_owned();
            return self.lose_rest("bad-length-crc", detail).map(Some);
        };
        let wanted = length.saturating_add(FOOTER_BYTES);
        match self.end.map(|end| end - self.position) {
            Some(left) if left < wanted => self.lose_claimed(length, left).map(Some),
            _ if length > MAX_RECORD_BYTES => self.lose_large(length).map(Some),
            _ => self.read_data(length).map(Some),
        }
    }

    fn read_data(&mut self, length: u64) -> io::Result<Event> {
        let wanted = length + FOOTER_BYTES;
        let reserved = self.end.map_or(wanted.min(UNSEEN_BYTES), |_| wanted);
        let mut data = Vec::with_capacity(reserved as usize);
        let read = self.input.by_ref().take(wanted).read_to_end(&mut data);
        self.position += data.len() as u64;
        lap(Stage::Read);
        if read.is_err() || (data.len() as u64) < wanted {
            self.crc = crc32c::crc32c_append(self.crc, &data);
            read?;
            self.check_end()?;
            return self.lose_claimed(length, data.len() as u64);
        }
        let footer = data.split_off(length as usize);
        let data_crc = crc32c::crc32c(&data);
        let crc = crc32c::crc32c_combine(self.crc, data_crc, data.len());
        self.crc = crc32c::crc32c_append(crc, &footer);
        lap(Stage::Crc);
        if masked(data_crc).to_le_bytes() != footer[..] {
            let detail = format!("the checksum of the record's {length} bytes does not hold");
            return Ok(self.lost(Defect::new("bad-data-crc", detail)));
        }
        Ok(Event::Record(Record {
            offset: self.start,
            data: data.into(),
        }))
    }

    fn lose_claimed(&mut self, length: u64, left: u64) -> io::Result<Event> {
        let detail = format!("the record claims {length} bytes, {left} are left");
        self.lose_rest("truncated-tfrecord", detail)
    }

    /// Passes over a record that is too large to be held in memory.
    fn lose_large(&mut self, length: u64) -> io::Result<Event> {
        let wanted = length.saturating_add(FOOTER_BYTES);
        let got = self.pass(wanted)?;
        if got < wanted {
            return self.lose_claimed(length, got);
        }
        let detail = format!("a record of {length} bytes");
        Ok(self.lost(Defect::new("too-large", detail)))
    }

    fn lose_rest(&mut self, reason: &'static str, detail: String) -> io::Result<Event> {
        let left = self.end.map_or(u64::MAX, |end| end - self.position);
        if let Err(error) = self.pass(left) {
            // The file around the records is damaged, too: it ends there.
            defect_of(error)?;
        }
        self.state = State::Done;
        Ok(self.lost(Defect::new(reason, detail)))
    }

    fn lost(&self, defect: Defect) -> Event {
        Event::Lost {
            offset: self.start,
            unread_bytes: self.position - self.start,
            defect,
        }
    }

    /// Reads up to `count` bytes for the checksum alone, and says how many there were.
    fn pass(&mut self, count: u64) -> io::Result<u64> {
        let before = self.position;
        let mut piece = vec![0; count.min(PIECE_BYTES) as usize];
        loop {
            let left = count - (self.position - before);
            let wanted = left.min(PIECE_BYTES) as usize;
            if self.fill(&mut piece[..wanted])? == 0 {
                return Ok(self.position - before);
            }
        }
    }

    /// Fills `buffer` as far as there are bytes, and says how many there were.
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.end.map_or(u64::MAX, |end| end - self.position);
        let wanted = left.min(buffer.len() as u64) as usize;
        let mut got = 0;
        let mut result = Ok(());
        while got < wanted {
            match self.input.read(&mut buffer[got..wanted]) {
                Ok(0) => break,
                Ok(read) => got += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        self.position += got as u64;
        self.crc = crc32c::crc32c_append(self.crc, &buffer[..got]);
        result?;
        if got < wanted {
            self.check_end()?;
        }
        Ok(got)
    }

    /// The input has ended here; it may.
    fn check_end(&self) -> io::Result<()> {
        if self.end.is_some_and(|end| self.position < end) {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file shrank while it was read",
            ));
        }
        Ok(())
    }
}

impl<R: Read> Iterator for Records<R> {
    type Item = io::Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state != State::Reading {
            return None;
        }
        let event = self.read_event().or_else(|error| {
            let Defect { reason, detail } = defect_of(error)?;
            self.lose_rest(reason, detail).map(Some)
        });
        match &event {
            Ok(Some(_)) => {}
            Ok(None) => self.state = State::Done,
            Err(_) => self.state = State::Failed,
        }
        event.transpose()
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
    masked(crc32c::crc32c(bytes))
}

fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xA282_EAD8)
}

/// `data` as a record.
#[cfg(test)]
pub(super) fn framed(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [
        &length[..],
        &masked_crc(&length).to_le_bytes(),
        data,
        &masked_crc(data).to_le_bytes(),
    ]
    .concat()
}

#[cfg(test)]
mod tests;
