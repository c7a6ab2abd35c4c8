//! A file as the Parquet library reads it.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

/// Checks lengths against the file before a byte is allocated, keeps what the operating system
/// answers, which the library turns into text, and makes the end of the file an error: there, the
/// library may read nothing a billion times.
#[derive(Clone, Debug)]
pub struct Input {
    file: Arc<File>,
    bytes: u64,
    /// What the operating system answered to a read that failed.
    refusal: Arc<Mutex<Option<io::Error>>>,
}

impl Input {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self {
            file: Arc::new(file),
            bytes,
            refusal: Arc::default(),
        })
    }

    /// The same open file for another reader, with refusals of its own.
    pub(crate) fn again(&self) -> Self {
        Self {
            refusal: Arc::default(),
            ..self.clone()
        }
    }

    /// Reads from `start` until `buffer` is full.
    ///
    /// # Errors
    /// If the operating system refuses, or the file ends before.
    pub(crate) fn read_exact_at(&self, buffer: &mut [u8], start: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, start)
    }

    /// What the operating system answered to a read that failed since this was last asked.
    pub fn take_refusal(&self) -> Option<io::Error> {
        self.refusal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn refuse(&self, error: io::Error) -> io::Error {
        let kind = error.kind();
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        kind.into()
    }
}

impl Length for Input {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for Input {
    type T = BufReader<Tail>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(BufReader::new(Tail {
            input: self.clone(),
            offset: start,
        }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        if start
            .checked_add(length as u64)
            .is_none_or(|end| end > self.bytes)
        {
            let detail = format!(
                "{length} bytes should be at {start}, the file has {}",
                self.bytes
            );
            return Err(ParquetError::EOF(detail));
        }
        let mut buffer = vec![0; length];
        self.file
            .read_exact_at(&mut buffer, start)
            .map_err(|error| self.refuse(error))?;
        Ok(buffer.into())
    }
}

/// A file from some place on.
#[derive(Debug)]
pub struct Tail {
    input: Input,
    offset: u64,
}

impl Read for Tail {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self
            .input
            .file
            .read_at(buffer, self.offset)
            .map_err(|error| self.input.refuse(error))?;
        if read == 0 && !buffer.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.offset += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_behind_the_end_is_an_error_and_costs_no_memory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, b"four").unwrap();
        let input = Input::open(&path).unwrap();
        assert_eq!(&input.get_bytes(1, 3).unwrap()[..], b"our");
        assert!(input.get_bytes(1, usize::MAX).is_err());
        let mut tail = input.get_read(2).unwrap();
        let mut bytes = [0; 2];
        tail.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"ur");
        assert_eq!(
            tail.read(&mut bytes).unwrap_err().kind(),
            ErrorKind::UnexpectedEof
        );
        assert!(input.take_refusal().is_none());
    }
}
