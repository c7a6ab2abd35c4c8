//! Errors that the user mends by another command line or config.

use std::fmt::Display;

/// A request that cannot be carried out as written: a bad key, a missing folder, a device that is
/// not there. One line that says what, where and what to do; the program ends with exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub String);

/// An [`anyhow::Error`] that holds such a line.
pub fn usage(line: impl Display) -> anyhow::Error {
    Usage(line.to_string()).into()
}

/// A message of another library on one line: runs of white space become one space.
pub fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
