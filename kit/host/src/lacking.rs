//! What a file system can lack without harm: advisory locks, and syncing folders.
//!
//! Network and user-space file systems are often mounted without them. What needs them goes on
//! without, after one warning for each that is lacking.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Once;

/// "No locks available": a network mount without its lock service.
const ENOLCK: i32 = if cfg!(target_os = "macos") { 77 } else { 37 };
/// "Invalid argument": what some file systems answer when a folder is synced.
pub(crate) const EINVAL: i32 = 22;

/// Locks of whole files.
pub(crate) static LOCKS: Lacking = Lacking {
    said: Once::new(),
    consequence: "two programs that write there at once would not notice each other",
    what: "file locks",
};

/// Making names durable.
pub(crate) static FOLDER_SYNC: Lacking = Lacking {
    said: Once::new(),
    consequence: "after a power failure, the newest files there may be missing",
    what: "syncing of folders",
};

/// One thing that a file system can lack.
pub(crate) struct Lacking {
    said: Once,
    what: &'static str,
    consequence: &'static str,
}

impl Lacking {
    /// Says so, the first time.
    pub(crate) fn warn(&self, path: &Path, answer: &io::Error) {
        let Self {
            what, consequence, ..
        } = self;
        self.said.call_once(|| {
            tracing::warn!("the file system of {path:?} has no {what} ({answer}): {consequence}");
        });
    }
}

/// Whether `answer` says that a file system does not offer what was asked: ENOSYS, EOPNOTSUPP
/// (ENOTSUP), ENOLCK.
pub(crate) fn lacks(answer: &io::Error) -> bool {
    answer.kind() == ErrorKind::Unsupported || answer.raw_os_error() == Some(ENOLCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn only_what_is_not_offered_is_lacking() {
        let (enosys, eopnotsupp) = (38, 95);
        let (eperm, eintr, eio, eagain) = (1, 4, 5, 11);
        let answer = |errno| lacks(&io::Error::from_raw_os_error(errno));
        assert!([ENOLCK, enosys, eopnotsupp].into_iter().all(answer));
        assert!(![eperm, eintr, eio, eagain, EINVAL].into_iter().any(answer));
    }
}
