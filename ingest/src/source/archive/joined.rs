//! The files of an archive as one string of bytes, read at any place by any thread.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::Arc;

use rawzip::ReaderAt;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Size and time of the last change of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Stamp {
    pub bytes: u64,
    pub seconds: i64,
    pub nanoseconds: i64,
}

/// Open files, one after another.
#[derive(Debug, Default)]
pub(super) struct Joined {
    /// Where each begins.
    files: Arc<Vec<(u64, File)>>,
    /// So many bytes are left out at the front.
    start: u64,
    /// Bytes of all files.
    end: u64,
}

impl Joined {
    /// Opens `paths`.
    ///
    /// # Errors
    /// If one cannot be opened.
    pub(super) fn open(paths: &[PathBuf]) -> Result<Self> {
        let (mut files, mut end) = (Vec::with_capacity(paths.len()), 0);
        for path in paths {
            let file = File::open(path).map_err(Error::io("open", path))?;
            let metadata = file.metadata().map_err(Error::io("look at", path))?;
            files.push((end, file));
            end += metadata.len();
        }
        Ok(Self {
            files: Arc::new(files),
            start: 0,
            end,
        })
    }

    /// The same bytes from `start` on.
    pub(super) fn without_first(&self, start: u64) -> Self {
        Self {
            files: self.files.clone(),
            start: (self.start + start).min(self.end),
            end: self.end,
        }
    }

    /// What tells the files from what they are when they are changed.
    ///
    /// # Errors
    /// If the operating system does not say.
    pub(super) fn stamps(&self) -> io::Result<Vec<Stamp>> {
        let stamp = |(_, file): &(u64, File)| {
            let metadata = file.metadata()?;
            Ok(Stamp {
                bytes: metadata.len(),
                seconds: metadata.mtime(),
                nanoseconds: metadata.mtime_nsec(),
            })
        };
        self.files.iter().map(stamp).collect()
    }

    /// Number of bytes.
    pub(super) fn len(&self) -> u64 {
        self.end - self.start
    }
}

impl ReaderAt for Joined {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let offset = offset.saturating_add(self.start);
        let next = self.files.partition_point(|&(start, _)| start <= offset);
        let end = self.files.get(next).map_or(self.end, |&(start, _)| start);
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
        let mut bytes = vec![0; 7];
        let rest = joined.without_first(1).without_first(2);
        rest.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!((rest.len(), &bytes[..]), (7, &whole.as_bytes()[3..]));
    }
}
