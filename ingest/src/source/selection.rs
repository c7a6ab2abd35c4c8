//! What a person says of which files are read: patterns that add files and patterns that leave
//! them out.
//!
//! A pattern without a slash is the name of a file or of a folder around it. One with a slash is a
//! path below the input, or one of a folder there; in an archive, a path in the archive. `*` and
//! `?` stay inside a name, `**` is any number of folders.

use glob::{MatchOptions, Pattern};

use crate::error::{Error, Result};

/// Files that a person adds and leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    include: Vec<Glob>,
    exclude: Vec<Glob>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Glob {
    given: String,
    pattern: Pattern,
    is_name: bool,
}

impl Selection {
    /// Patterns of files that are read whatever the rules say of them, and of files that are not
    /// read in any case.
    ///
    /// # Errors
    /// If one is no pattern.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self> {
        let globs = |option: &str, given: &[String]| -> Result<Vec<Glob>> {
            given.iter().map(|text| Glob::new(option, text)).collect()
        };
        Ok(Self {
            include: globs("--include", include)?,
            exclude: globs("--exclude", exclude)?,
        })
    }

    /// The options that stand for this selection.
    pub(crate) fn options(&self) -> Vec<String> {
        let options = |option: &str, globs: &[Glob]| -> Vec<String> {
            globs
                .iter()
                .map(|glob| format!("{option}={}", glob.given))
                .collect()
        };
        [
            options("--include", &self.include),
            options("--exclude", &self.exclude),
        ]
        .concat()
    }

    /// The selection that `options` stand for, among others.
    pub(crate) fn of_options(options: &[String]) -> Self {
        let patterns = |prefix: &str| -> Vec<String> {
            let texts = options
                .iter()
                .filter_map(|option| option.strip_prefix(prefix));
            texts.map(str::to_owned).collect()
        };
        Self::new(&patterns("--include="), &patterns("--exclude=")).unwrap_or_default()
    }

    /// The pattern that leaves out the file or folder at `path`.
    pub(super) fn excludes(&self, path: &str) -> Option<&str> {
        let glob = self.exclude.iter().find(|glob| glob.matches(path, false))?;
        Some(&glob.given)
    }

    /// Whether the file at `path` is added. Hidden files and folders are only by a pattern that
    /// names them.
    pub(super) fn includes(&self, path: &str) -> bool {
        self.include.iter().any(|glob| glob.matches(path, true))
    }

    /// Whether a pattern that adds files names the folder `name`.
    pub(super) fn names_folder(&self, name: &str) -> bool {
        let mut words = self.include.iter().flat_map(|glob| glob.given.split('/'));
        words.any(|word| word == name)
    }

    /// Whether a pattern that adds the file at `path` says what kind of file it is: ends as it
    /// does.
    pub(super) fn includes_kind(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        let ending = name.rfind('.').map_or(name, |dot| &name[dot..]);
        let mut added = self.include.iter().filter(|glob| glob.matches(path, true));
        added.any(|glob| glob.given.ends_with(ending))
    }
}

impl Glob {
    fn new(option: &str, given: &str) -> Result<Self> {
        let text = given.trim_start_matches("./").trim_matches('/');
        let pattern = Pattern::new(text).ok().filter(|_| !text.is_empty());
        let pattern = pattern.ok_or_else(|| {
            let advice = format!(
                "{option} takes names like '*_mask.png' and paths like '**/gtFine/**', with *, ?, [a-z] and **"
            );
            Error::input("this is no pattern of files", given, advice)
        })?;
        Ok(Self {
            given: given.to_owned(),
            is_name: !text.contains('/'),
            pattern,
        })
    }

    fn matches(&self, path: &str, shows_hidden_by_name_only: bool) -> bool {
        let options = MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: shows_hidden_by_name_only,
        };
        let matches = |text: &str| self.pattern.matches_with(text, options);
        if self.is_name {
            return path.split('/').any(matches);
        }
        let slashes = path.match_indices('/').map(|(slash, _)| &path[..slash]);
        slashes.chain([path]).any(matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(include: &[&str], exclude: &[&str]) -> Selection {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        Selection::new(&texts(include), &texts(exclude)).unwrap()
    }

    #[test]
    fn a_pattern_is_a_name_or_a_path_of_a_file_or_folder() {
        for (pattern, path, is_match) in [
            ("*_mask.png", "a/b/x_mask.png", true),
            ("gtFine", "d/gtFine/train/x.png", true),
            ("gtFine/", "gtFine/x.png", true),
            ("**/gtFine/**", "gtFine/train/x.png", true),
            ("**/gtFine/**", "d/gtFine/x.png", true),
            ("a/*.png", "a/x.png", true),
            ("a/*.png", "a/b/x.png", false),
            ("a/*.png", "b/a/x.png", false),
            ("a/b", "a/b/c/x.png", true),
            ("./a/b/", "a/b/c/x.png", true),
            ("x.png", "a/x.png", true),
            ("b", "a/bb/x.png", false),
            ("x[12].png", "x3.png", false),
        ] {
            assert_eq!(
                selection(&[], &[pattern]).excludes(path).is_some(),
                is_match,
                "{pattern} {path}"
            );
            assert_eq!(selection(&[pattern], &[]).includes(path), is_match);
        }
    }

    #[test]
    fn what_is_hidden_is_added_by_name_only() {
        let hidden = "a/.thumbnails/x.jpg";
        for pattern in ["*.jpg/x", "**/*.jpg", "a/*/x.jpg"] {
            assert!(!selection(&[pattern], &[]).includes(hidden), "{pattern}");
        }
        let named = selection(&["a/.thumbnails/*"], &[]);
        assert!(named.includes(hidden) && named.names_folder(".thumbnails"));
        assert!(selection(&[], &["*.jpg"]).excludes(hidden).is_some());
    }

    #[test]
    fn what_is_no_pattern_is_one_clear_error() {
        for bad in ["a/***", "[", "", "/", "a**b"] {
            let given = [bad.to_owned()];
            for (include, exclude, option) in [
                (&given[..], &[][..], "--include"),
                (&[][..], &given[..], "--exclude"),
            ] {
                let message = Selection::new(include, exclude).unwrap_err().to_string();
                assert!(
                    message.contains("no pattern") && message.contains(option),
                    "{message}"
                );
            }
        }
    }

    #[test]
    fn options_are_written_as_they_were_given() {
        let selection = selection(&["a/"], &["b", "c"]);
        let options = ["--include=a/", "--exclude=b", "--exclude=c"];
        assert_eq!(selection.options(), options);
        let mut among = vec!["--tags".to_owned(), "x".to_owned()];
        among.extend(selection.options());
        assert_eq!(Selection::of_options(&among), selection);
    }
}
