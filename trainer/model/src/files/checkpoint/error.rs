//! Why a checkpoint could not be had: it is damaged, or something stood in the way.
//!
//! Only damage speaks against a file. What stands in the way (a disk, permissions, memory, a build
//! that is too old) may pass, so whoever meets it leaves the file as it is.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a file is no checkpoint for this program, now.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The system did not hand its bytes out.
    #[error("cannot read it ({source}): {path:?}")]
    Unreadable {
        /// What the system says.
        source: io::Error,
        /// The file.
        path: PathBuf,
    },
    /// It is whole, and written by another build.
    #[error("{what}: {path:?}")]
    Foreign {
        /// How it differs from what this build reads.
        what: String,
        /// The file.
        path: PathBuf,
    },
    /// It is not what was written.
    #[error("{what}: {path:?}")]
    Damaged {
        /// The part, and how that shows.
        what: String,
        /// The file.
        path: PathBuf,
    },
}

impl ReadError {
    /// Whether the file itself is at fault.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, ReadError::Damaged { .. })
    }

    pub(super) fn foreign(what: impl Into<String>, path: &Path) -> Self {
        ReadError::Foreign {
            what: what.into(),
            path: path.to_owned(),
        }
    }

    pub(super) fn damaged(what: impl Into<String>, path: &Path) -> Self {
        ReadError::Damaged {
            what: what.into(),
            path: path.to_owned(),
        }
    }
}
