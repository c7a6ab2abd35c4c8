//! The Python that the tests compare with, where there is one.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A Python that can import `modules` (comma-separated): the checkout's own environment, else the
/// system's.
pub(crate) fn with(modules: &str) -> Option<PathBuf> {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let venvs = folders.map(|folder| folder.join(".venv/bin/python"));
    let mut candidates = venvs
        .filter(|python| python.is_file())
        .chain([PathBuf::from("python3")]);
    candidates.find(|python| {
        let probe = Command::new(python)
            .args(["-c", &format!("import {modules}")])
            .output();
        probe.is_ok_and(|output| output.status.success())
    })
}
