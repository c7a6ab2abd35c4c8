//! Two kinds of trouble: a [`Defect`] is data (an item is skipped, counted and listed), an
//! [`Error`] ends the run.

use std::io;
use std::path::PathBuf;

pub use jpeg::Defect;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an item becomes no frame: the item's fault, which is reported, or not, which ends the run.
#[derive(Debug)]
pub enum Trouble {
    /// What is wrong with the item.
    Item(Defect),
    /// What went wrong.
    Run(Error),
}

impl From<Defect> for Trouble {
    fn from(defect: Defect) -> Self {
        Self::Item(defect)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Run(error)
    }
}

/// Every message says what is wrong, where, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} {path:?}: {source}{}", advice(.source))]
    Io {
        /// What was tried: "open", "read", …
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// An input that is not there, or is not what the command reads.
    #[error("{detail}: {path:?}; {advice}")]
    Input {
        /// What is wrong with it.
        detail: &'static str,
        /// The input as given.
        path: PathBuf,
        /// What to do.
        advice: String,
    },
    /// Two inputs would be stored under one name.
    #[error(
        "{first:?} and {second:?} are both named {name:?}; give one of them another name (NAME=PATH), or \
         ingest them into two folders"
    )]
    SameName {
        /// The name of both.
        name: String,
        /// One of them.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// The output folder cannot take the shards of this run.
    #[error("{detail}: {dir:?}; {advice}")]
    Output {
        /// What is in the way.
        detail: String,
        /// The output folder.
        dir: PathBuf,
        /// What to do.
        advice: String,
    },
    /// Our own mistake while processing one item.
    #[error("internal error (please report it) at {place}: {detail}")]
    Panic {
        /// The item.
        place: String,
        /// The panic's message.
        detail: String,
    },
    /// A shard or the catalog.
    #[error(transparent)]
    Schemas(schemas::Error),
}

impl From<schemas::Error> for Error {
    fn from(error: schemas::Error) -> Self {
        match error {
            schemas::Error::Io {
                action,
                path,
                source,
            } => Self::Io {
                action,
                path,
                source,
            },
            other => Self::Schemas(other),
        }
    }
}

/// What a person can do about an answer of the operating system.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free space and run the same command again: finished shards are kept"
        }
        io::ErrorKind::FileTooLarge => {
            "; raise the limit of file sizes (`ulimit -f`) and run the same command again: finished shards are kept"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; check the permissions, or give another path"
        }
        io::ErrorKind::NotFound => {
            "; it was moved or removed: put it back and run the same command again"
        }
        _ => "",
    }
}

impl Error {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    pub(crate) fn input(
        detail: &'static str,
        path: impl Into<PathBuf>,
        advice: impl Into<String>,
    ) -> Self {
        Self::Input {
            detail,
            path: path.into(),
            advice: advice.into(),
        }
    }
}
