//! The inputs that a command line names.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::archive::parts;
use crate::error::{Error, Result};

/// A file or folder, or a pattern, and the name under which it is to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The name, if it is not to follow from the path.
    pub name: Option<String>,
    /// The path or pattern.
    pub path: PathBuf,
}

impl<P: Into<PathBuf>> From<P> for Input {
    fn from(path: P) -> Self {
        Self {
            name: None,
            path: path.into(),
        }
    }
}

impl Input {
    /// What an argument stands for: a path or pattern, or `NAME=PATH`. One that is there is a path,
    /// whatever it is called.
    pub fn of_argument(argument: PathBuf) -> Self {
        let named = argument
            .to_str()
            .filter(|_| !argument.exists())
            .and_then(|text| text.split_once('='))
            .filter(|(name, path)| !name.is_empty() && !path.is_empty());
        match named {
            Some((name, path)) => Self {
                name: Some(name.to_owned()),
                path: path.into(),
            },
            None => argument.into(),
        }
    }
}

/// The files and folders that `inputs` name; patterns (`*`, `?`, `[…]`) are expanded. Of the parts
/// of an archive one is enough, and is all that is returned.
///
/// # Errors
/// If one does not exist, or is neither a file nor a folder, or a pattern matches nothing, or
/// several under one name.
pub fn expand(inputs: &[Input]) -> Result<Vec<Input>> {
    let mut found = Vec::new();
    for input in inputs {
        let paths = match input.path.metadata() {
            Ok(metadata) if metadata.is_dir() || metadata.is_file() => vec![input.path.clone()],
            Ok(_) => {
                let advice = "pipes and devices cannot be read again after an interruption: store the data as a file";
                return Err(Error::input(
                    "this is neither a file nor a folder",
                    &input.path,
                    advice,
                ));
            }
            Err(_) => one_of_an_archive(matches(&input.path)?),
        };
        if input.name.is_some() && paths.len() > 1 {
            return Err(Error::input(
                "several files would have one name",
                &input.path,
                "give each of them a NAME=PATH of its own",
            ));
        }
        found.extend(paths.into_iter().map(|path| Input {
            name: input.name.clone(),
            path,
        }));
    }
    let mut archives = HashSet::new();
    found.retain(|input| is_first_part(&input.path, &mut archives));
    Ok(found)
}

/// What the pattern matches.
fn matches(pattern: &Path) -> Result<Vec<PathBuf>> {
    let text = pattern.to_string_lossy();
    let is_pattern = text.contains(['*', '?', '[']);
    let matches = glob::glob(&text).ok().filter(|_| is_pattern);
    let found: Vec<PathBuf> = matches
        .into_iter()
        .flatten()
        .filter_map(std::result::Result::ok)
        .collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let detail = match is_pattern {
        true => "no file matches",
        false => "there is no such file or folder",
    };
    Err(Error::input(
        detail,
        pattern,
        "check the path; `ingest demo --out data/` renders data to try with",
    ))
}

fn one_of_an_archive(mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut archives = HashSet::new();
    paths.retain(|path| is_first_part(path, &mut archives));
    paths
}

/// Whether no part of the same archive has been seen.
fn is_first_part(path: &Path, archives: &mut HashSet<PathBuf>) -> bool {
    parts::path_of_whole(path).is_none_or(|whole| archives.insert(whole))
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
        let expand = |pattern: &str, name: Option<&str>| {
            expand(&[Input {
                name: name.map(str::to_owned),
                path: dir.path().join(pattern),
            }])
        };
        assert_eq!(expand("*.tfrecord", None).unwrap().len(), 2);
        assert_eq!(
            expand("[a].tfrecord", Some("x")).unwrap()[0]
                .name
                .as_deref(),
            Some("x")
        );
        for (pattern, name, expected) in [
            ("nothing", None, "no such file or folder"),
            ("*.jpg", None, "no file matches"),
            ("*.tfrecord", Some("x"), "several files would have one name"),
        ] {
            let message = expand(pattern, name).unwrap_err().to_string();
            assert!(
                message.contains(expected) && message.contains(pattern),
                "{message}"
            );
        }
    }

    #[test]
    fn an_argument_that_is_there_is_a_path() {
        let dir = tempfile::tempdir().unwrap();
        let with_sign = dir.path().join("split=train");
        assert_eq!(
            Input::of_argument(with_sign.clone()).path,
            PathBuf::from("train")
        );
        std::fs::create_dir(&with_sign).unwrap();
        assert_eq!(Input::of_argument(with_sign.clone()), with_sign.into());
        assert_eq!(Input::of_argument("=x".into()), "=x".into());
    }
}
