//! The Python that the tests compare with, where there is one.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A Python that can import `modules` (comma-separated): the checkout's own environment, else the
/// system's.
pub fn with(modules: &str) -> Option<PathBuf> {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python");
    let candidates = [venv, PathBuf::from("python3")];
    candidates.into_iter().find(|python| {
        let probe = Command::new(python)
            .args(["-c", &format!("import {modules}")])
            .output();
        probe.is_ok_and(|output| output.status.success())
    })
}
