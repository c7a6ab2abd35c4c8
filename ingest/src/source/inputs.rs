//! The inputs that a command line names.

use std::collections::HashSet;
use std::path::PathBuf;

use super::archive::parts;
use crate::error::{Error, Result};

/// The files and folders that the arguments `inputs` name; patterns (`*`, `?`, `[…]`) are expanded.
/// Of the parts of an archive one is enough, and is all that is returned.
///
/// # Errors
/// If one does not exist, or is neither a file nor a folder, or a pattern matches nothing.
pub fn expand(inputs: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for input in inputs {
        if let Ok(metadata) = input.metadata() {
            if !metadata.is_dir() && !metadata.is_file() {
                let advice = "pipes and devices cannot be read again after an interruption: store the data as a file";
                return Err(Error::input(
                    "this is neither a file nor a folder",
                    input,
                    advice,
                ));
            }
            found.push(input.clone());
            continue;
        }
        let pattern = input.to_string_lossy();
        let is_pattern = pattern.contains(['*', '?', '[']);
        let matches = glob::glob(&pattern).ok().filter(|_| is_pattern);
        let before = found.len();
        found.extend(
            matches
                .into_iter()
                .flatten()
                .filter_map(std::result::Result::ok),
        );
        if found.len() == before {
            let detail = if is_pattern {
                "no file matches"
            } else {
                "there is no such file or folder"
            };
            return Err(Error::input(
                detail,
                input,
                "check the path; `ingest demo --out data/` renders data to try with",
            ));
        }
    }
    let mut archives = HashSet::new();
    found.retain(|path| parts::path_of_whole(path).is_none_or(|whole| archives.insert(whole)));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_expand_and_missing_inputs_are_named() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.tfrecord", "b.tfrecord", "c.txt"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let found = expand(&[dir.path().join("*.tfrecord")]).unwrap();
        assert_eq!(found.len(), 2);
        let message = expand(&[dir.path().join("nothing")])
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("no such file or folder") && message.contains("nothing"),
            "{message}"
        );
        assert!(
            expand(&[dir.path().join("*.jpg")])
                .unwrap_err()
                .to_string()
                .contains("no file matches")
        );
    }
}
