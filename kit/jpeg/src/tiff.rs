//! The orientation in a TIFF structure, which is what EXIF is, as Pillow reads it: tag 0x0112 of the
//! first directory, a number of whatever type.
//!
//! Pillow stops at the first entry whose value lies outside the data, and takes the first of two
//! entries with one tag. Bytes and text are no numbers to it. All of that is kept, so that a picture
//! is turned here exactly if it is turned there.

/// Tag of the orientation.
const ORIENTATION: u16 = 0x0112;

/// What a TIFF structure says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Found {
    /// It is none.
    NoTiff,
    /// There is no such entry.
    Nothing,
    /// The first number of the entry; NaN if it is no number.
    Value(f64),
}

/// Looks for the orientation in `data`.
pub(crate) fn orientation(data: &[u8]) -> Found {
    let Some(tiff) = Tiff::of(data) else {
        return Found::NoTiff;
    };
    tiff.find_orientation().map_or(Found::Nothing, Found::Value)
}

struct Tiff<'a> {
    data: &'a [u8],
    is_big_endian: bool,
    /// Where the first directory begins.
    directory: usize,
}

impl<'a> Tiff<'a> {
    fn of(data: &'a [u8]) -> Option<Self> {
        let is_big_endian = match data.get(..8)? {
            // The version in the other order is invalid, and read all the same.
            [b'M', b'M', 0, 42, ..] | [b'M', b'M', 42, 0, ..] => true,
            [b'I', b'I', 42, 0, ..] | [b'I', b'I', 0, 42, ..] => false,
            _ => return None,
        };
        let mut tiff = Self {
            data,
            is_big_endian,
            directory: 0,
        };
        tiff.directory = tiff.unsigned(4, 4)? as usize;
        Some(tiff)
    }

    fn find_orientation(&self) -> Option<f64> {
        let count = self.unsigned(self.directory, 2)? as usize;
        let mut bytes_elsewhere = 0;
        for entry in (0..count).map(|ix| self.directory + 2 + 12 * ix) {
            self.bytes(entry, 12)?;
            let (tag, kind) = (self.unsigned(entry, 2)?, self.unsigned(entry + 2, 2)?);
            let Some(size) = value_bytes(kind) else {
                continue;
            };
            let len = self.unsigned(entry + 4, 4)? as usize * size;
            let at = if len > 4 {
                bytes_elsewhere += len;
                if bytes_elsewhere > self.data.len() {
                    continue;
                }
                self.unsigned(entry + 8, 4)? as usize
            } else {
                entry + 8
            };
            self.bytes(at, len)?;
            if tag == u64::from(ORIENTATION) && len > 0 {
                return self.number(kind, at);
            }
        }
        None
    }

    /// The number of type `kind` at `at`; NaN for bytes and text.
    fn number(&self, kind: u64, at: usize) -> Option<f64> {
        let signed = |at, bits: u32| -> Option<f64> {
            let value = self.unsigned(at, bits as usize / 8)?;
            Some(((value << (64 - bits)) as i64 >> (64 - bits)) as f64)
        };
        Some(match kind {
            3 => self.unsigned(at, 2)? as f64,
            4 | 13 => self.unsigned(at, 4)? as f64,
            5 => self.unsigned(at, 4)? as f64 / self.unsigned(at + 4, 4)? as f64,
            6 => signed(at, 8)?,
            8 => signed(at, 16)?,
            9 => signed(at, 32)?,
            10 => signed(at, 32)? / signed(at + 4, 32)?,
            11 => f64::from(f32::from_bits(self.unsigned(at, 4)? as u32)),
            12 => f64::from_bits(self.unsigned(at, 8)?),
            16 => self.unsigned(at, 8)? as f64,
            _ => f64::NAN,
        })
    }

    fn bytes(&self, at: usize, len: usize) -> Option<&'a [u8]> {
        self.data.get(at..at.checked_add(len)?)
    }

    fn unsigned(&self, at: usize, len: usize) -> Option<u64> {
        let bytes = self.bytes(at, len)?.iter();
        let append = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
        Some(if self.is_big_endian {
            bytes.fold(0, append)
        } else {
            bytes.rev().fold(0, append)
        })
    }
}

/// Bytes of a value of type `kind`; nothing for unknown types.
fn value_bytes(kind: u64) -> Option<usize> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 | 16 => Some(8),
        _ => None,
    }
}
