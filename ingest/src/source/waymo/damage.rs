//! How a reader that unpacks what it reads says that this is damaged: as an I/O error that carries
//! the defect, so that it is told from an answer of the operating system.

use std::fmt;
use std::io::{self, Read};

use crate::error::Defect;

#[derive(Debug)]
struct Damage(Defect);

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.detail)
    }
}

impl std::error::Error for Damage {}

/// An error that says that what is read is damaged.
pub(super) fn damage(reason: &'static str, detail: impl Into<String>) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        Damage(Defect::new(reason, detail)),
    )
}

/// The defect that `error` carries.
///
/// # Errors
/// `error` itself, if it carries none.
pub(super) fn defect_of(error: io::Error) -> io::Result<Defect> {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(Damage(defect)) => Ok(defect.clone()),
        None => Err(error),
    }
}

/// What comes out of something that unpacks: its complaints are damage, too much of it is a bomb,
/// and behind either nothing comes.
pub(super) struct Guarded<R> {
    inner: Option<R>,
    reason: &'static str,
    given: u64,
    limit: u64,
}

impl<R: Read> Guarded<R> {
    /// Complaints of `inner` are damage for this `reason`; `limit` bytes may come out of it.
    pub(super) fn new(inner: R, reason: &'static str, limit: u64) -> Self {
        Self {
            inner: Some(inner),
            reason,
            given: 0,
            limit,
        }
    }

    fn read_inner(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Zstandard's decoder takes an empty read for an error.
        let inner = self.inner.as_mut().filter(|_| !buffer.is_empty());
        let Some(inner) = inner else {
            return Ok(0);
        };
        let read = inner.read(buffer).map_err(|error| match error.kind() {
            _ if error.raw_os_error().is_some() => error,
            io::ErrorKind::Interrupted => error,
            io::ErrorKind::UnexpectedEof => damage(
                "truncated-tfrecord",
                "the compressed file ends before its content does",
            ),
            _ => damage(self.reason, error.to_string()),
        })?;
        self.given += read as u64;
        if self.given > self.limit {
            let detail = format!("it unpacks to more than {} bytes", self.limit);
            return Err(damage("compression-bomb", detail));
        }
        Ok(read)
    }
}

impl<R: Read> Read for Guarded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.read_inner(buffer);
        if let Err(error) = &read
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.inner = None;
        }
        read
    }
}
