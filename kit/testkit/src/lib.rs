//! For tests only: what several crates' tests need.
//!
//! Real driving data is not part of the repository. [`real_data`] finds it through the variable
//! `MULTISIAM_DATA`; a test that has none says so with [`skip`], and `scripts/test` counts and names
//! what was skipped.
//!
//! Where pixels of our own do, [`photos`] and [`scenes`] write made-up sets. [`traced`] ends a program
//! at a chosen system call. [`log_rows`] reads what a run has logged.

pub mod bare_files;
mod coefficients;
mod jpeg;
pub mod photos;
mod python;
pub mod scenes;
pub mod set;
pub mod traced;

use std::env;
use std::fs;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;

use serde_json::Value;

pub use coefficients::coefficients;
pub use python::python;

/// Folder of real data, laid out as CONTRIBUTING.md says.
const DATA: &str = "MULTISIAM_DATA";
/// File to which skipped tests are appended, one line each.
const SKIPPED: &str = "MULTISIAM_SKIPPED";

/// A file or folder of the real data, or none, which is noted as a skipped test.
///
/// # Panics
/// If `MULTISIAM_DATA` is set and what it should hold is not there: data was asked for.
pub fn real_data(relative: &str) -> Option<PathBuf> {
    let Some(folder) = env::var_os(DATA) else {
        skip(&format!("{DATA} is not set ({relative})"));
        return None;
    };
    let path = Path::new(&folder).join(relative);
    assert!(path.exists(), "{DATA} has no {relative}: {path:?}");
    Some(path)
}

/// The rows that a run has logged into its folder.
///
/// # Panics
/// If there is no log, or a line of it is not JSON.
pub fn log_rows(run: &Path) -> Vec<Value> {
    let path = run.join("metrics.jsonl");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let row = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    text.lines().map(row).collect()
}

/// Notes that the running test is skipped, and why.
///
/// # Panics
/// If the note cannot be written.
pub fn skip(why: &str) {
    let test = thread::current().name().unwrap_or("?").to_owned();
    let program = env::current_exe().unwrap_or_default();
    let program = program.file_stem().unwrap_or_default().to_string_lossy();
    // Cargo ends the names of test programs with a hash.
    let program = program.rsplit_once('-').map_or(&*program, |(name, _)| name);
    let line = format!("{program}: {test}: {why}\n");
    #[expect(clippy::print_stdout, reason = "cargo shows it beside the test")]
    {
        print!("skipped: {line}");
    }
    if let Some(list) = env::var_os(SKIPPED) {
        let mut list = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&list)
            .unwrap_or_else(|error| panic!("{SKIPPED}: {list:?}: {error}"));
        // One write a line, so that lines of tests that run at once do not mix.
        list.write_all(line.as_bytes()).expect("the list is open");
    }
}
