//! TFRecord files that are compressed as a whole are unpacked while they are read.
//!
//! Whether a file is compressed shows in its first bytes, whatever it is called. What unpacks to
//! more than [`limit`] says is taken for a bomb, and is read no further.

use std::cell::Cell;
use std::io::{self, BufReader, Cursor, Read};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use zstd::stream::read::Decoder as ZstdDecoder;

use super::damage::{Guarded, defect_of};
use super::place::{Bytes, Place};
use crate::error::{Error, Result, Trouble};

const GZIP: [u8; 2] = [0x1F, 0x8B];
const ZSTD: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];

/// Zstandard frames that need a larger window are refused: `zstd --ultra --long=27` makes the
/// largest that are in use.
const MAX_WINDOW_LOG: u32 = 27;

/// Compressed bytes read at once.
const BUFFER_BYTES: usize = 1 << 16;

/// JPEGs and lidar hardly shrink, zeros by a thousand.
const MAX_RATIO: u64 = 200;

/// What any file may unpack to.
const MIN_LIMIT: u64 = 1 << 30;

fn limit(packed_bytes: u64) -> u64 {
    packed_bytes
        .saturating_mul(MAX_RATIO)
        .saturating_add(MIN_LIMIT)
}

/// A file opened to be read as what is in it.
pub(super) struct Unpacked {
    pub(super) reader: Box<dyn Read>,
    /// Bytes that come out, if that is certain.
    pub(super) len: Option<u64>,
    /// What was read of the file, if it is compressed.
    pub(super) packed: Option<Packed>,
}

/// Bytes that were read of a compressed file, and their CRC32C.
#[derive(Clone, Debug, Default)]
pub(super) struct Packed(Rc<Cell<(u64, u32)>>);

impl Packed {
    /// Bytes read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.0.get().0
    }

    fn add(&self, read: &[u8]) {
        let (bytes, crc) = self.0.get();
        self.0
            .set((bytes + read.len() as u64, crc32c::crc32c_append(crc, read)));
    }

    /// Length and CRC32C of the whole file at `place`, the rest of which is read for that.
    pub(super) fn checksum(&self, place: &Place) -> Result<Option<(u64, u32)>> {
        let rest = match place.open(self.bytes()) {
            Ok(rest) => rest.reader,
            Err(Trouble::Run(error)) => return Err(error),
            Err(Trouble::Item(_)) => return Ok(None),
        };
        let mut rest = Counted {
            inner: rest,
            packed: self.clone(),
        };
        io::copy(&mut rest, &mut io::sink()).map_err(Error::io("read", place.path()))?;
        Ok(Some(self.0.get()))
    }
}

/// Opens the file at `place`.
///
/// # Errors
/// As [`Place::open`].
pub(super) fn open(place: &Place) -> Result<Unpacked, Trouble> {
    let Bytes { mut reader, len } = place.open(0)?;
    let mut head = Vec::new();
    let mut begin = reader.by_ref().take(ZSTD.len() as u64);
    let read = begin.read_to_end(&mut head);
    read.map_err(|error| trouble(error, place))?;
    let reader = match place {
        // A file of its own is read as nothing but a file, which is quicker.
        Place::File(_) => place.open(0)?.reader,
        Place::Member(..) => Box::new(Cursor::new(head.clone()).chain(reader)),
    };
    if !head.starts_with(&GZIP) && !head.starts_with(&ZSTD) {
        return Ok(Unpacked {
            reader,
            len,
            packed: None,
        });
    }
    let packed = Packed::default();
    let most = limit(len.unwrap_or(0));
    let counted = Counted {
        inner: reader,
        packed: packed.clone(),
    };
    let buffered = BufReader::with_capacity(BUFFER_BYTES, counted);
    let unpacked: Box<dyn Read> = match head.starts_with(&GZIP) {
        true => Box::new(MultiGzDecoder::new(buffered)),
        false => {
            let decoder = ZstdDecoder::with_buffer(buffered).and_then(|mut decoder| {
                decoder.window_log_max(MAX_WINDOW_LOG)?;
                Ok(decoder)
            });
            Box::new(decoder.map_err(Error::io("read", place.path()))?)
        }
    };
    Ok(Unpacked {
        reader: Box::new(Guarded::new(unpacked, "damaged-compression", most)),
        len: None,
        packed: Some(packed),
    })
}

/// Whose fault it is that the file at `place` cannot be read.
fn trouble(error: io::Error, place: &Place) -> Trouble {
    match defect_of(error) {
        Ok(defect) => defect.into(),
        Err(error) => Error::io("read", place.path())(error).into(),
    }
}

/// Counts what is read.
struct Counted {
    inner: Box<dyn Read>,
    packed: Packed,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.packed.add(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
