//! A file system without locks and without syncing of folders, as network mounts can be, for one
//! program: a library that stands before the system's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::skip;

const SOURCE: &str = r"
#include <errno.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int flock(int file, int operation) {
    errno = ENOLCK;
    return -1;
}

int fsync(int file) {
    struct stat found;
    if (fstat(file, &found) == 0 && S_ISDIR(found.st_mode)) {
        errno = EINVAL;
        return -1;
    }
    return syscall(SYS_fsync, file);
}
";

/// Lets `command` find such a file system; what it builds for that lies in `dir`. `false`, and the
/// test is noted as skipped, where there is no C compiler.
///
/// # Panics
/// If `dir` cannot be written to.
pub fn give_to(command: &mut Command, dir: &Path) -> bool {
    match library(dir) {
        Ok(library) => {
            command.env("LD_PRELOAD", library);
            true
        }
        Err(why) => {
            skip(&format!("no file system without locks: {why}"));
            false
        }
    }
}

fn library(dir: &Path) -> Result<PathBuf, String> {
    let (source, library) = (dir.join("bare_files.c"), dir.join("bare_files.so"));
    fs::write(&source, SOURCE).expect("a source file is written");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-D_GNU_SOURCE", "-o"])
        .args([&library, &source])
        .output();
    match built {
        Ok(output) if output.status.success() => Ok(library),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(error.to_string()),
    }
}
