//! What can go wrong with a picture.

use std::path::PathBuf;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A picture could not be drawn or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw {path:?}: {detail}")]
pub struct Error {
    /// The picture.
    pub(crate) path: PathBuf,
    /// Why not.
    pub(crate) detail: String,
}
