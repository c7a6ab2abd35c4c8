//! Advisory locks of whole files, which end with the process that holds them, however it ends.
//!
//! A file system without locks grants every lock, after a warning: whoever works there alone, as
//! nearly everybody does, is not kept from working.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use crate::lacking::{LOCKS, lacks};

/// Locks `file`, which lies at `path`, for this process alone. `false`: another one holds it.
///
/// # Errors
/// What the operating system answers, unless that is that there are no locks.
pub fn try_lock(file: &File, path: &Path) -> io::Result<bool> {
    granted(file.try_lock(), path)
}

/// As [`try_lock`], together with other processes that share it.
///
/// # Errors
/// Likewise.
pub fn try_lock_shared(file: &File, path: &Path) -> io::Result<bool> {
    granted(file.try_lock_shared(), path)
}

fn granted(answer: Result<(), TryLockError>, path: &Path) -> io::Result<bool> {
    match answer {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) if lacks(&error) => {
            LOCKS.warn(path, &error);
            Ok(true)
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    #[test]
    fn one_holds_it_alone_and_several_share_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let open = || File::create(&path).unwrap();
        let (first, second) = (open(), open());
        assert!(
            try_lock_shared(&first, &path).unwrap() && try_lock_shared(&second, &path).unwrap()
        );
        assert!(!try_lock(&open(), &path).unwrap());
        drop((first, second));
        let alone = open();
        assert!(try_lock(&alone, &path).unwrap() && !try_lock_shared(&open(), &path).unwrap());
    }

    #[test]
    fn without_locks_every_lock_is_granted_and_other_errors_stay() {
        let answer =
            |kind: ErrorKind| granted(Err(TryLockError::Error(kind.into())), Path::new("x"));
        assert!(answer(ErrorKind::Unsupported).unwrap());
        assert_eq!(
            answer(ErrorKind::PermissionDenied).unwrap_err().kind(),
            ErrorKind::PermissionDenied
        );
    }
}
