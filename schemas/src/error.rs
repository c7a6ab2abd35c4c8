//! What can go wrong between a set on disk and its reader.

use std::io;
use std::path::PathBuf;

use parquet::errors::ParquetError;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// No file descriptor is left to the process, or to the machine.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

/// Every message says what is wrong, where, and, where it can be known, what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} {path:?}: {source}")]
    Io {
        /// What was tried: "open", "write", …
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// A shard or catalog is not readable Parquet, or could not be written as such.
    #[error("cannot {action} as Parquet: {path:?}: {source}")]
    Parquet {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The library's answer.
        source: ParquetError,
    },
    /// The file was written by another format version.
    #[error(
        "format is v{found}, this build reads v{expected}: {path:?}; ingest the data again with this build"
    )]
    Version {
        /// Version in the file.
        found: String,
        /// Version of this build.
        expected: u32,
        /// The file.
        path: PathBuf,
    },
    /// The file is readable, but says something that cannot be.
    #[error(
        "damaged: {detail}: {path:?}; run `ingest verify` on the set, remove what it names and ingest again"
    )]
    Damaged {
        /// What is wrong.
        detail: String,
        /// Where.
        path: PathBuf,
    },
    /// A shard cannot be read any more, or is not the file any more that the catalog describes:
    /// nothing that can be said of a single frame.
    #[error(
        "shard {path:?} is lost: {detail}; bring the file back (its disk, mount or copy) and run the command again"
    )]
    Lost {
        /// What happened.
        detail: String,
        /// The shard.
        path: PathBuf,
    },
    /// A set does not hold any more what was drawn from it before.
    #[error("shard {path:?} {detail}")]
    Changed {
        /// In which way.
        detail: String,
        /// The shard.
        path: PathBuf,
    },
    /// The catalog does not describe the shards that lie beside it.
    #[error("the catalog is stale ({detail}); run `ingest catalog {dir}`", dir = .dir.display())]
    Stale {
        /// What differs.
        detail: String,
        /// The set.
        dir: PathBuf,
    },
    /// A shard that the catalog lists is not there.
    #[error("shard {name:?} is gone from {dir:?}; {remake}{or_without}")]
    Gone {
        /// Its file name.
        name: String,
        /// What makes it again.
        remake: String,
        /// How to go on without its frames, if there are others.
        or_without: String,
        /// The set.
        dir: PathBuf,
    },
    /// There is no set of shards in this folder.
    #[error("no shards in {dir:?} ({detail}); make them with {make}")]
    NoShards {
        /// What was looked for and not found.
        detail: &'static str,
        /// The commands that make them.
        make: String,
        /// The folder.
        dir: PathBuf,
    },
    /// Shards of one folder were written with different settings.
    #[error("{path:?} was written with other settings than the rest of its set")]
    MixedSettings {
        /// The first shard that differs.
        path: PathBuf,
    },
    /// Bytes that are not the tile-addressable JPEG they should be.
    #[error("not a tile-addressable JPEG: {0}")]
    Tiled(&'static str),
    /// A `--where` expression that cannot be evaluated.
    #[error("--where {sql:?}: {detail}")]
    Filter {
        /// The expression as given.
        sql: String,
        /// Why not.
        detail: String,
    },
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

    pub(crate) fn parquet(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(ParquetError) -> Self {
        let path = path.into();
        move |source| match source {
            // What the operating system refused is not Parquet's matter.
            ParquetError::External(inner) if inner.is::<io::Error>() => {
                let source = *inner.downcast().expect("the guard checked its type");
                Self::Io {
                    action,
                    path,
                    source,
                }
            }
            source => Self::Parquet {
                action,
                path,
                source,
            },
        }
    }

    /// What the operating system answered when a shard of an open set was to be read. That there are
    /// no file descriptors left is no fault of the shard's.
    pub fn lost(path: impl Into<PathBuf>, answer: io::Error) -> Self {
        match answer.raw_os_error() {
            Some(EMFILE | ENFILE) => Self::Io {
                action: "open (raise `ulimit -n`)",
                path: path.into(),
                source: answer,
            },
            _ => Self::Lost {
                detail: format!("it cannot be read: {answer}"),
                path: path.into(),
            },
        }
    }

    /// An open set's shard that has another length than the catalog says.
    pub fn resized(path: impl Into<PathBuf>, found: u64, expected: u64) -> Self {
        Self::Lost {
            detail: format!("it has {found} bytes, the catalog says {expected}"),
            path: path.into(),
        }
    }

    /// Whether a frame's own bytes are to blame, so that others of the set can still be had.
    pub fn is_of_frame(&self) -> bool {
        matches!(self, Self::Tiled(_) | Self::Damaged { .. })
    }

    pub(crate) fn damaged(path: impl Into<PathBuf>, detail: impl Into<String>) -> Self {
        Self::Damaged {
            detail: detail.into(),
            path: path.into(),
        }
    }
}
