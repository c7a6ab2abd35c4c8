//! The files of an archive as one string of bytes, read at any place by any thread.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rawzip::ReaderAt;

use crate::error::{Error, Result};

/// Open files, one after another.
#[derive(Debug)]
pub(super) struct Joined {
    /// Where each begins.
    files: Vec<(u64, File)>,
    len: u64,
}

impl Joined {
    /// Opens `paths`.
    ///
    /// # Errors
    /// If one cannot be opened.
    pub(super) fn open(paths: &[PathBuf]) -> Result<Self> {
        let mut joined = Self {
            files: Vec::with_capacity(paths.len()),
            len: 0,
        };
        for path in paths {
            let file = File::open(path).map_err(Error::io("open", path))?;
            let metadata = file.metadata().map_err(Error::io("look at", path))?;
            joined.files.push((joined.len, file));
            joined.len += metadata.len();
        }
        Ok(joined)
    }

    /// Bytes of all files.
    pub(super) fn len(&self) -> u64 {
        self.len
    }
}

impl ReaderAt for Joined {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let next = self.files.partition_point(|&(start, _)| start <= offset);
        let end = self.files.get(next).map_or(self.len, |&(start, _)| start);
        let Some((start, file)) = next.checked_sub(1).map(|ix| &self.files[ix]) else {
            return Ok(0);
        };
        let len = end.saturating_sub(offset).min(buffer.len() as u64) as usize;
        file.read_at(&mut buffer[..len], offset - start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_read_as_one_whatever_their_sizes() {
        let dir = tempfile::tempdir().unwrap();
        let pieces = ["abc", "", "d", "efghij", ""];
        let paths: Vec<PathBuf> = (0..pieces.len())
            .map(|ix| dir.path().join(ix.to_string()))
            .collect();
        for (path, piece) in paths.iter().zip(pieces) {
            std::fs::write(path, piece).unwrap();
        }
        let joined = Joined::open(&paths).unwrap();
        let whole = pieces.concat();
        assert_eq!(joined.len(), whole.len() as u64);
        for start in 0..=whole.len() {
            for end in start..=whole.len() {
                let mut bytes = vec![0; end - start];
                joined.read_exact_at(&mut bytes, start as u64).unwrap();
                assert_eq!(bytes, whole.as_bytes()[start..end]);
            }
            let beyond = joined.read_exact_at(&mut vec![0; whole.len() - start + 1], start as u64);
            assert_eq!(beyond.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
