//! Files that appear whole under their name, or not at all.
//!
//! The content is written beside the file as `NAME.partial`, synced, and renamed; then the folder is
//! synced, so that the name survives a power failure too. After a kill, `NAME.partial` may be left:
//! it is never taken for the file, and the next write replaces it.
//!
//! Some file systems cannot sync a folder. There a warning is logged, once: a file is whole or absent
//! all the same, but after a power failure it may be absent although it had been written.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::lacking::{EINVAL, FOLDER_SYNC, lacks};

/// The name under which a file is written until it is whole.
pub fn partial_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    path.with_file_name(name)
}

/// Writes a file whole: `fill` writes the content, and what was there before is replaced.
///
/// # Errors
/// What `fill` or the operating system answers; then the old file is untouched and no new one stays.
pub fn replace(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let partial = partial_name(path);
    let written = (|| {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&partial)?);
        fill(&mut out)?;
        out.flush()?;
        out.get_ref().sync_all()?;
        publish(&partial, path)
    })();
    if written.is_err() {
        // Best effort: a leftover is harmless.
        let _ = fs::remove_file(&partial);
    }
    written
}

/// Gives a complete, synced file its name, durably.
///
/// # Errors
/// What the operating system answers to the rename or to the syncing of the folder.
pub fn publish(partial: &Path, path: &Path) -> io::Result<()> {
    fs::rename(partial, path)?;
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    accept_unsynced(folder, File::open(folder)?.sync_all())
}

/// What came of syncing `folder`; that its file system cannot is a warning.
fn accept_unsynced(folder: &Path, synced: io::Result<()>) -> io::Result<()> {
    match synced {
        Err(error) if lacks(&error) || error.raw_os_error() == Some(EINVAL) => {
            FOLDER_SYNC.warn(folder, &error);
            Ok(())
        }
        synced => synced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EIO: i32 = 5;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.bin");
        replace(&path, |out| out.write_all(b"old")).unwrap();
        let failed = replace(&path, |out| {
            out.write_all(b"half of the n")?;
            Err(io::Error::other("disk full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "disk full");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        replace(&path, |out| out.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_cannot_be_synced_is_accepted_and_a_failing_disk_is_not() {
        let answer =
            |errno| accept_unsynced(Path::new("x"), Err(io::Error::from_raw_os_error(errno)));
        assert!(answer(EINVAL).is_ok() && accept_unsynced(Path::new("x"), Ok(())).is_ok());
        assert_eq!(answer(EIO).unwrap_err().raw_os_error(), Some(EIO));
    }

    #[test]
    fn the_partial_name_lies_beside_the_file() {
        assert_eq!(
            partial_name(Path::new("runs/a/x.safetensors")),
            Path::new("runs/a/x.safetensors.partial")
        );
    }
}
