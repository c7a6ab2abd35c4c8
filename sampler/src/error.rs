//! What can go wrong between a set of shards and a batch.

use std::path::PathBuf;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every message says what is wrong and, where it can be known, what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is outside its range.
    #[error("sampler setting `{field}` is {found}, but must be {allowed}")]
    Config {
        /// Name of the setting, as in [`SamplerConfig`](crate::SamplerConfig).
        field: &'static str,
        /// Its value.
        found: String,
        /// Values it may have.
        allowed: String,
    },
    /// Reading the set failed.
    #[error(transparent)]
    Shards(#[from] schemas::Error),
    /// The set (after the filter) holds no frames.
    #[error("no frame to sample from: {detail}: {path:?}")]
    Empty {
        /// Why: an empty set, or a filter that nothing passes.
        detail: String,
        /// The set.
        path: PathBuf,
    },
    /// An epoch would not hold a single step.
    #[error(
        "a step takes {batch} pairs on each of {world} rank(s), but the set has only {frames} frame(s); \
         lower `batch` to at most {}", frames / u64::from(*world)
    )]
    TooFewFrames {
        /// Pairs in a batch.
        batch: usize,
        /// Number of ranks.
        world: u32,
        /// Frames that pass the filter.
        frames: u64,
    },
    /// A cursor points behind the last step of its epoch.
    #[error("cannot resume at step {step}: an epoch of this set and batch size has {steps} steps")]
    Cursor {
        /// The cursor's step.
        step: u64,
        /// Steps in an epoch.
        steps: u64,
    },
    /// Too many frames could not be decoded.
    #[error(
        "{replaced} of {drawn} frames drawn are broken, more than the {limit_percent} % allowed \
         (last: {last}); run `ingest verify {}`", path.display()
    )]
    TooManyBroken {
        /// Frames that had to be replaced.
        replaced: u64,
        /// Frames drawn so far.
        drawn: u64,
        /// The limit in percent.
        limit_percent: f64,
        /// The last broken frame and its reason.
        last: String,
        /// The set.
        path: PathBuf,
    },
    /// No decodable frame was found in many consecutive ones.
    #[error("{tried} frames in a row are broken (last: {last}); run `ingest verify {}`", path.display())]
    AllBroken {
        /// How many were tried.
        tried: u32,
        /// The last broken frame and its reason.
        last: String,
        /// The set.
        path: PathBuf,
    },
    /// A worker thread panicked: a bug of this crate.
    #[error("a sampler thread panicked: {message}")]
    Panicked {
        /// What it said.
        message: String,
    },
    /// The operating system refused a thread or memory.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Its answer.
        source: std::io::Error,
    },
}

/// Refuses the setting `field` unless it `fits`.
pub(crate) fn check(
    field: &'static str,
    found: impl ToString,
    fits: bool,
    allowed: &str,
) -> Result<()> {
    if fits {
        return Ok(());
    }
    Err(Error::Config {
        field,
        found: found.to_string(),
        allowed: allowed.to_owned(),
    })
}

/// Why a frame did not become pixels.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Its own fault.
    #[error(transparent)]
    Broken(#[from] BrokenFrame),
    /// The set can no longer be read, which is a failure of whoever reads it: none of its frames
    /// may be taken for broken.
    #[error(transparent)]
    Set(schemas::Error),
}

impl From<schemas::Error> for FrameError {
    fn from(error: schemas::Error) -> Self {
        match error.is_of_frame() {
            true => Self::Broken(BrokenFrame::Shards(error)),
            false => Self::Set(error),
        }
    }
}

impl From<turbojpeg::Error> for FrameError {
    fn from(error: turbojpeg::Error) -> Self {
        Self::Broken(BrokenFrame::Decode(error))
    }
}

/// Why one frame cannot be used. Data, not a failure of the run: the frame is replaced and counted.
#[derive(Debug, thiserror::Error)]
pub enum BrokenFrame {
    /// It is not among the frames of this sampler.
    #[error("row {row} of the catalog does not pass the filter or does not exist")]
    Unknown {
        /// Row of the catalog.
        row: u32,
    },
    /// No level of it is stored.
    #[error("no stored level")]
    NoLevel,
    /// Its bytes are no tile-addressable JPEG, or its place lies outside of its shard.
    #[error(transparent)]
    Shards(schemas::Error),
    /// Its bytes do not decode, or decode with a warning (after `ingest` none does).
    #[error("{0}")]
    Decode(turbojpeg::Error),
}
