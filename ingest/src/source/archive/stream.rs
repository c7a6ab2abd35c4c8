//! What a compressed archive unpacks to, read at any place: in one pass if the places ascend, and
//! from the front again for each that does not.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prost::bytes::Bytes;
use rawzip::ReaderAt;

use super::joined::Joined;
use super::place::Span;
use super::unpack::{Coding, Unpacker};

/// A compressed archive that is open.
#[derive(Debug)]
pub(super) struct Stream {
    bytes: Arc<Joined>,
    coding: Coding,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    unpacker: Option<Unpacker>,
    /// The member that was read last: links to it follow it.
    last: Option<(Span, Bytes)>,
}

impl Stream {
    pub(super) fn new(bytes: Arc<Joined>, coding: Coding) -> Self {
        Self {
            bytes,
            coding,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The member at `span` if it is the one that was kept.
    pub(super) fn kept(&self, span: Span) -> Option<Bytes> {
        let state = self.state();
        let (last, bytes) = state.last.as_ref()?;
        (*last == span).then(|| bytes.clone())
    }

    /// Keeps the member at `span` until another one is kept.
    pub(super) fn keep(&self, span: Span, bytes: Bytes) {
        self.state().last = Some((span, bytes));
    }
}

impl ReaderAt for Stream {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.state();
        let there = state
            .unpacker
            .take()
            .filter(|unpacker| unpacker.position() <= offset);
        let mut unpacker = match there {
            Some(unpacker) => unpacker,
            None => Unpacker::begin(&self.bytes, self.coding)?,
        };
        let ahead = offset - unpacker.position();
        let passed = io::copy(&mut unpacker.by_ref().take(ahead), &mut io::sink())?;
        let read = match passed == ahead {
            true => unpacker.read(buffer)?,
            false => 0,
        };
        state.unpacker = Some(unpacker);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::forward::Forward;
    use super::super::unrolled::Unrolled;
    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn joined(bytes: &[u8]) -> Arc<Joined> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        Arc::new(Joined::open(&[file.path().to_owned()]).unwrap())
    }

    fn contents() -> Vec<u8> {
        (0..900_000_u32).map(|ix| ((ix * ix) >> 9) as u8).collect()
    }

    fn packed() -> [(Coding, Vec<u8>); 2] {
        let contents = contents();
        let (first, second) = contents.split_at(400_000);
        let zstd = |bytes| zstd::encode_all(bytes, 1).unwrap();
        [
            (
                Coding::Gzip,
                [gzip(first), gzip(second), vec![0; 100]].concat(),
            ),
            (Coding::Zstd, [zstd(first), zstd(second)].concat()),
        ]
    }

    #[test]
    fn places_are_read_in_any_order() {
        let contents = contents();
        for (coding, packed) in packed() {
            let stream = Stream::new(joined(&packed), coding);
            for start in [0, 10, 399_990, 400_000, 399_999, 899_000, 5] {
                let mut read = vec![0; 1000];
                stream.read_exact_at(&mut read, start as u64).unwrap();
                assert_eq!(read, contents[start..start + 1000], "{coding:?} {start}");
            }
            let beyond = stream.read_exact_at(&mut [0; 2], 899_999).unwrap_err();
            assert_eq!(beyond.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn a_cut_is_found_and_what_is_in_front_of_it_is_there() {
        for (coding, packed) in packed() {
            let mut whole = Unrolled::new(Unpacker::begin(&joined(&packed), coding).unwrap());
            assert_eq!(whole.reach(u64::MAX).unwrap(), 900_000);
            assert_eq!(whole.fault(), None, "{coding:?}");
            let cut = &packed[..packed.len() / 2];
            let mut cut = Unrolled::new(Unpacker::begin(&joined(cut), coding).unwrap());
            let end = cut.reach(u64::MAX).unwrap() as usize;
            assert!((100_000..900_000).contains(&end), "{coding:?} {end}");
            let mut read = vec![0; 1000];
            cut.read_exact_at(&mut read, end as u64 - 1000).unwrap();
            assert_eq!(read, contents()[end - 1000..end]);
            assert_eq!(cut.fault().unwrap().0.reason, "truncated-archive");
        }
    }

    #[test]
    fn a_bomb_ends_early() {
        let zeros = io::repeat(0).take(3 << 30);
        let packed = zstd::encode_all(zeros, 1).unwrap();
        let mut bomb = Unrolled::new(Unpacker::begin(&joined(&packed), Coding::Zstd).unwrap());
        let end = bomb.reach(u64::MAX).unwrap();
        assert!(
            end < (1 << 30) + (200 * packed.len() as u64) + (1 << 20),
            "{end}"
        );
        assert_eq!(bomb.fault().unwrap().0.reason, "compression-bomb");
    }
}
