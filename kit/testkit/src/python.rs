//! The Python that tests compare with, where there is one.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::skip;

/// A Python that can import `modules` (comma-separated): the checkout's own environment, else the
/// system's. If there is none, the running test is noted as skipped.
pub fn python(modules: &str) -> Option<PathBuf> {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let venvs = folders.map(|folder| folder.join(".venv/bin/python"));
    let mut candidates = venvs
        .filter(|python| python.is_file())
        .chain([PathBuf::from("python3")]);
    let found = candidates.find(|python| {
        let probe = Command::new(python)
            .args(["-c", &format!("import {modules}")])
            .output();
        probe.is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        skip(&format!(
            "no Python has {modules}; `scripts/setup --tests` installs it"
        ));
    }
    found
}
