//! SODA10M: flat folders of JPEGs whose names carry split and city.
//!
//! Unlabelled: `unlabel/image_3/UNLABEL_01_BJ_000_00000000072719.jpg`, split `3`, city `BJ`. Labelled:
//! `labeled/train/HT_TRAIN_000001_SH_000.jpg`, split `train`, city `SH`. Both spellings of the folders occur. Other
//! names (any folder of street scenes can stand in) have neither.

use std::path::{Path, PathBuf};

use super::folder::{self, NameFacts};
use super::{Dataset, Job, short_name};
use crate::error::Result;

/// Folders of the set, in the order in which they are read.
const PARTS: [&str; 4] = ["Labeled", "labeled", "Unlabel", "unlabel"];

/// Jobs of the folder `path`: that of the whole set (`SSLAD-2D`, or one that holds it), one of its parts, or any
/// folder of images. The parts of a whole set are inputs of their own, so they are named alike however they are given.
///
/// # Errors
/// If `path` is not a folder, cannot be read, or holds no image.
pub fn jobs(path: &Path) -> Result<Vec<Job>> {
    let parts: Vec<PathBuf> = [path.to_owned(), path.join("SSLAD-2D")]
        .iter()
        .flat_map(|set| PARTS.map(|part| set.join(part)))
        .filter(|part| part.is_dir())
        .collect();
    if parts.is_empty() {
        return folder::named_jobs(Dataset::Soda10m, path, &input_name(path));
    }
    let jobs = parts.iter().map(|part| folder::jobs(Dataset::Soda10m, part)).collect::<Result<Vec<_>>>()?;
    Ok(jobs.into_iter().flatten().collect())
}

/// A folder inside a part is named from the part on (`unlabel/image_3`), so that its frames have the names that they
/// have in the whole set.
fn input_name(path: &Path) -> String {
    let whole = short_name(path, usize::MAX);
    let folders: Vec<&str> = whole.split('/').collect();
    let start = folders.iter().rposition(|folder| PARTS.contains(folder)).unwrap_or(folders.len() - 1);
    folders[start..].join("/")
}

/// What the name of an image below the folder `input` says.
pub(super) fn facts(input: &str, relative: &str) -> NameFacts {
    let (folders, name) = relative.rsplit_once('/').unwrap_or(("", relative));
    let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
    let tokens: Vec<&str> = stem.split('_').collect();
    match tokens[..] {
        ["UNLABEL", _, city, ..] => NameFacts {
            split: folders.split('/').chain(input.split('/')).find_map(unlabelled_split),
            location: city_code(city),
            segment: None,
        },
        ["HT", split, _, city, ..] => {
            NameFacts { split: Some(split.to_ascii_lowercase()), location: city_code(city), segment: None }
        }
        _ => NameFacts::default(),
    }
}

/// `image_3` is split `3`.
fn unlabelled_split(folder: &str) -> Option<String> {
    let number = folder.strip_prefix("image_")?;
    number.parse::<u8>().ok().map(|number| number.to_string())
}

fn city_code(token: &str) -> Option<String> {
    let is_code = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_uppercase());
    is_code.then(|| token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(input: &str, relative: &str) -> (String, String) {
        let NameFacts { split, location, .. } = facts(input, relative);
        (split.unwrap_or_default(), location.unwrap_or_default())
    }

    #[test]
    fn names_carry_split_and_city() {
        assert_eq!(of("unlabel", "image_3/UNLABEL_01_BJ_000_00000000072719.jpg"), ("3".into(), "BJ".into()));
        assert_eq!(of("unlabel/image_8", "UNLABEL_01_GZ_000_00000000000001.jpg"), ("8".into(), "GZ".into()));
        assert_eq!(of("labeled", "train/HT_TRAIN_000001_SH_000.jpg"), ("train".into(), "SH".into()));
        assert_eq!(of("Labeled", "HT_VAL_000001_SZ_000.jpg"), ("val".into(), "SZ".into()));
    }

    #[test]
    fn other_names_carry_nothing() {
        assert_eq!(of("street_1080p", "back_camera_00.jpg"), (String::new(), String::new()));
        assert_eq!(of("x", "UNLABEL_7.jpg"), (String::new(), String::new()));
    }

    #[test]
    fn both_spellings_and_the_outer_folder_are_found() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["SSLAD-2D/Unlabel/image_0/UNLABEL_01_BJ_000_1.jpg", "SSLAD-2D/labeled/HT_VAL_1_SZ_0.jpg"] {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let inputs = |path: &Path| jobs(path).unwrap().into_iter().map(|job| job.id.input).collect::<Vec<_>>();
        assert_eq!(inputs(dir.path()), ["labeled", "Unlabel"]);
        assert_eq!(inputs(&dir.path().join("SSLAD-2D")), ["labeled", "Unlabel"]);
        assert_eq!(inputs(&dir.path().join("SSLAD-2D/Unlabel")), ["Unlabel"]);
        assert_eq!(inputs(&dir.path().join("SSLAD-2D/Unlabel/image_0")), ["Unlabel/image_0"]);
    }
}
