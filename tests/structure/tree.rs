//! The workspace's files.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold no source of ours.
const FOREIGN: [&str; 5] = ["target", ".git", ".venv", "fixtures", "corpus"];

/// The workspace's folder.
pub(crate) fn workspace() -> &'static Path {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("this package lies in the workspace")
}

/// Every file below `dir` whose name ends with `ending`, sorted.
pub(crate) fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(dir, ending, &mut found);
    found.sort();
    found
}

fn collect(dir: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{dir:?}: {error}"));
    for path in entries.map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy();
        if path.is_dir() {
            if !FOREIGN.contains(&&*name) {
                collect(&path, ending, found);
            }
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
}

/// The folders of all packages, the workspace's own members and what lies apart.
pub(crate) fn packages() -> Vec<PathBuf> {
    let manifests = files(workspace(), "Cargo.toml");
    let folders = manifests
        .iter()
        .map(|manifest| manifest.parent().unwrap().to_owned());
    folders.filter(|folder| folder != workspace()).collect()
}

/// A file's text.
pub(crate) fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}
