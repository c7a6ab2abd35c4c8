//! What an archive unpacks to that is compressed as a whole: gzip of any number of members, zstd of
//! any number of frames.
//!
//! It ends well, or with an error that [`fault`] explains. What claims to be more than 200 times as
//! large as it is, and a gigabyte more, is taken for a bomb.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

use flate2::bufread::GzDecoder;
use rawzip::RangeReader;

use super::joined::Joined;
use crate::error::Defect;

/// How an archive is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Zstd,
}

/// No photograph is compressed better by gzip or zstd.
const MAX_RATIO: u64 = 200;

/// What small archives may unpack to.
const MAX_SMALL_BYTES: u64 = 1 << 30;

/// Zstd's own limit: 128 MiB of memory.
const MAX_WINDOW_LOG: u32 = 27;

type Input = BufReader<RangeReader<Arc<Joined>>>;

enum Decoder {
    /// `None` between two members.
    Gzip(Option<Box<GzDecoder<Input>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Input>>),
}

/// A stream of what an archive unpacks to.
pub(super) struct Unpacker {
    decoder: Decoder,
    packed_bytes: u64,
    position: u64,
}

impl Unpacker {
    /// Begins at the front of `bytes`.
    ///
    /// # Errors
    /// If there is no memory.
    pub(super) fn begin(bytes: &Arc<Joined>, coding: Coding) -> io::Result<Self> {
        let packed_bytes = bytes.len();
        let input =
            BufReader::with_capacity(1 << 17, RangeReader::new(bytes.clone(), 0..packed_bytes));
        let decoder = match coding {
            Coding::Gzip => Decoder::Gzip(Some(Box::new(GzDecoder::new(input)))),
            Coding::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
                decoder.window_log_max(MAX_WINDOW_LOG)?;
                Decoder::Zstd(Box::new(decoder))
            }
        };
        Ok(Self {
            decoder,
            packed_bytes,
            position: 0,
        })
    }

    /// How many bytes were unpacked.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Bytes of the archive that were not used yet.
    pub(super) fn packed_bytes_left(&self) -> u64 {
        let input = match &self.decoder {
            Decoder::Gzip(None) => return 0,
            Decoder::Gzip(Some(decoder)) => decoder.get_ref(),
            Decoder::Zstd(decoder) => decoder.get_ref(),
        };
        input.get_ref().remaining() + input.buffer().len() as u64
    }
}

impl Read for Unpacker {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            // Zstandard's decoder takes that for an error.
            return Ok(0);
        }
        let read = match &mut self.decoder {
            Decoder::Gzip(decoder) => read_gzip(decoder, buffer)?,
            Decoder::Zstd(decoder) => decoder.read(buffer)?,
        };
        self.position += read as u64;
        let max = self.packed_bytes.saturating_mul(MAX_RATIO) + MAX_SMALL_BYTES;
        match self.position > max {
            true => Err(io::Error::other(Bomb)),
            false => Ok(read),
        }
    }
}

/// Members follow one another; zeros after the last one are padding.
fn read_gzip(decoder: &mut Option<Box<GzDecoder<Input>>>, buffer: &mut [u8]) -> io::Result<usize> {
    while let Some(member) = decoder {
        let read = member.read(buffer)?;
        if read > 0 {
            return Ok(read);
        }
        let input = member.get_mut();
        while let zeros = input
            .fill_buf()?
            .iter()
            .take_while(|&&byte| byte == 0)
            .count()
            && zeros > 0
        {
            input.consume(zeros);
        }
        if input.fill_buf()?.is_empty() {
            *decoder = None;
        } else if let Some(member) = decoder.take() {
            *decoder = Some(Box::new(GzDecoder::new(member.into_inner())));
        }
    }
    Ok(0)
}

/// It unpacks to too much.
#[derive(Debug)]
struct Bomb;

impl fmt::Display for Bomb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "it unpacks to more than {MAX_RATIO} times its bytes and 1 GiB"
        )
    }
}

impl std::error::Error for Bomb {}

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpacker")
            .field("packed_bytes", &self.packed_bytes)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// What `error` of an [`Unpacker`] says of the archive.
///
/// # Errors
/// The error again if it is the operating system's.
pub(super) fn fault(error: io::Error) -> io::Result<Defect> {
    if error.raw_os_error().is_some() {
        return Err(error);
    }
    let is_bomb = error.get_ref().is_some_and(|inner| inner.is::<Bomb>());
    Ok(match error.kind() {
        _ if is_bomb => Defect::new("compression-bomb", error.to_string()),
        io::ErrorKind::UnexpectedEof => Defect::new(
            "truncated-archive",
            "the compressed archive ends before its end",
        ),
        _ => Defect::new(
            "damaged-archive",
            format!("what is compressed cannot be unpacked: {error}"),
        ),
    })
}
