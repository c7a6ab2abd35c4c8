//! How a reader that unpacks what it reads says that this is damaged: as an I/O error that carries
//! the defect, so that it is told from an answer of the operating system.

use std::fmt;
use std::io;

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
