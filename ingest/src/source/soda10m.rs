//! SODA10M: flat folders of JPEGs whose names carry split and city, the same as archives, and JSON
//! files of tags.
//!
//! Unlabelled: `unlabel/image_3/UNLABEL_01_BJ_000_00000000072719.jpg`, split `3`, city `BJ`.
//! Labelled: `labeled/train/HT_TRAIN_000001_SH_000.jpg`, split `train`, city `SH`. Both spellings
//! of the folders occur. Other names (any folder of street scenes can stand in) have neither. Tags
//! say the city by its name, and period (time of day), weather and location.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::archive::{Archive, parts};
use super::dataset::Dataset;
use super::facts::Facts;
use super::files::{Found, find};
use super::image_files::{choose, is_tag_file};
use super::job::Job;
use super::naming::short_name;
use super::search::Search;
use super::tags::Tags;
use crate::error::{Error, Result};

/// Folders of the set, in the order in which they are read.
const PARTS: [&str; 4] = ["Labeled", "labeled", "Unlabel", "unlabel"];

/// The folder of the set as it is shipped.
const SET: &str = "SSLAD-2D";

/// Jobs of `path`: the folder of the whole set (`SSLAD-2D`, or one that holds it), one of its
/// parts, any folder of images, or an archive. The parts of a whole set are inputs of their own,
/// and so are archives beside them, so they are named alike however they are given. Tags are taken
/// from `search.tag_files`, from JSON files in the input, and from those that lie beside an archive or a
/// part.
///
/// # Errors
/// If `path` is no folder and no archive, cannot be read, or holds no image, or a tag file outside
/// archives is damaged.
pub(super) fn jobs(path: &Path, search: &mut Search) -> Result<Vec<Job>> {
    let tag_files = &search.tag_files.clone();
    let sets = [path.to_owned(), path.join(SET)];
    let parts: Vec<PathBuf> = sets
        .iter()
        .flat_map(|set| PARTS.map(|part| set.join(part)))
        .filter(|part| part.is_dir())
        .collect();
    if parts.is_empty() {
        return jobs_of(find(Dataset::Soda10m, path, search)?, path, tag_files);
    }
    let mut jobs = Vec::new();
    for part in parts {
        jobs.extend(jobs_of(
            find(Dataset::Soda10m, &part, search)?,
            &part,
            tag_files,
        )?);
    }
    for set in sets {
        let archives = files_in(&set, parts::has_archive_name)?;
        let archives = Archive::open_all(archives.into_iter(), &choose, search)?;
        if archives.iter().any(|archive| !archive.is_empty()) {
            let found = Found {
                archives,
                tag_files: files_in(&set, is_tag_file)?,
                ..Found::default()
            };
            jobs.extend(jobs_of(found, &set, tag_files)?);
        }
    }
    Ok(jobs)
}

fn jobs_of(mut found: Found, path: &Path, tag_files: &[PathBuf]) -> Result<Vec<Job>> {
    let mut tags = Tags::default();
    let nearby = found.tag_files.iter().cloned().chain(beside(path)?);
    for archive in &mut found.archives {
        archive.read_tag_files(|file| tags.read(file))?;
    }
    for file in nearby.chain(tag_files.iter().cloned()) {
        let reader = BufReader::new(File::open(&file).map_err(Error::io("open", &file))?);
        tags.read(reader)
            .map_err(|error| match error.raw_os_error() {
                Some(_) => Error::io("read", &file)(error),
                None => Error::input(
                    "the tag file is damaged",
                    &file,
                    format!("{error}: replace it or move it away"),
                ),
            })?;
    }
    tags.finish();
    found.into_jobs(Dataset::Soda10m, path, &input_name(path), &Arc::new(tags))
}

/// Tag files beside an archive, and between a part of the set or what is inside it and the folder
/// of the set.
fn beside(path: &Path) -> Result<Vec<PathBuf>> {
    let path = std::path::absolute(path).map_err(Error::io("look at", path))?;
    let is_part = |folder: &&Path| {
        folder
            .file_name()
            .is_some_and(|name| PARTS.iter().any(|part| name == *part))
    };
    let top = match path.is_dir() {
        true => path.ancestors().find(is_part).and_then(Path::parent),
        false => path.parent(),
    };
    let Some(top) = top else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for folder in path
        .ancestors()
        .skip(1)
        .take_while(|folder| folder.starts_with(top))
    {
        found.extend(files_in(folder, is_tag_file)?);
    }
    Ok(found)
}

/// The files of the folder `folder`, if there is one, whose name `accepts`; subfolders are not
/// entered.
fn files_in(folder: &Path, accepts: fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(Vec::new());
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::io("list", folder))?.path();
        if path.is_file()
            && path
                .file_name()
                .and_then(|name| name.to_str())
                .is_some_and(accepts)
        {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// A folder inside a part is named from the part on (`unlabel/image_3`), so that its frames have
/// the names that they have in the whole set.
fn input_name(path: &Path) -> String {
    let whole = short_name(path, usize::MAX);
    let in_part = frame_id(&whole);
    if in_part == whole {
        short_name(path, 1)
    } else {
        in_part.to_owned()
    }
}

/// A frame is named from the part of the set on, however it came here: from a folder or from an
/// archive.
pub(super) fn frame_id(source: &str) -> &str {
    let mut starts =
        std::iter::once(0).chain(source.match_indices('/').map(|(slash, _)| slash + 1));
    let is_part =
        |start: &usize| PARTS.contains(&source[*start..].split('/').next().unwrap_or_default());
    starts
        .rfind(is_part)
        .map_or(source, |start| &source[start..])
}

/// What the name of an image in the folder or archive `input`, and its tags, say.
pub(super) fn facts(input: &str, relative: &str, tags: &Tags) -> Facts {
    let (folders, name) = relative.rsplit_once('/').unwrap_or(("", relative));
    let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
    let tokens: Vec<&str> = stem.split('_').collect();
    let (split, city) = match tokens[..] {
        ["UNLABEL", _, city, ..] => {
            let split = folders
                .rsplit('/')
                .chain(input.rsplit('/'))
                .find_map(unlabelled_split);
            (split, city_code(city))
        }
        ["HT", split, _, city, ..] => (Some(split.to_ascii_lowercase()), city_code(city)),
        _ => (None, None),
    };
    let tags = tags.of(name).cloned().unwrap_or_default();
    Facts {
        split,
        time_of_day: tags.period,
        weather: tags.weather,
        location: tags.location,
        city: tags.city.or(city),
        ..Facts::default()
    }
}

/// `image_3`, `image_3.tar` and `unlabel_image_3.zip` are split `3`.
fn unlabelled_split(name: &str) -> Option<String> {
    let name = parts::stem(name).unwrap_or(name);
    let (_, number) = name.rsplit_once("image_")?;
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
        let Facts { split, city, .. } = facts(input, relative, &Tags::default());
        (split.unwrap_or_default(), city.unwrap_or_default())
    }

    #[test]
    fn names_carry_split_and_city() {
        assert_eq!(
            of("unlabel", "image_3/UNLABEL_01_BJ_000_00000000072719.jpg"),
            ("3".into(), "BJ".into())
        );
        assert_eq!(
            of("unlabel/image_8", "UNLABEL_01_GZ_000_00000000000001.jpg"),
            ("8".into(), "GZ".into())
        );
        assert_eq!(
            of("labeled", "train/HT_TRAIN_000001_SH_000.jpg"),
            ("train".into(), "SH".into())
        );
        assert_eq!(
            of("Labeled", "HT_VAL_000001_SZ_000.jpg"),
            ("val".into(), "SZ".into())
        );
    }

    #[test]
    fn the_split_may_be_the_archive() {
        let name = "UNLABEL_01_BJ_000_00000000072719.jpg";
        for (input, folder) in [
            ("soda/image_7.tar", ""),
            ("soda/x.tar", "SSLAD-2D/unlabel/image_7/"),
            ("soda/soda_image_7.zip", ""),
        ] {
            assert_eq!(
                of(input, &format!("{folder}{name}")).0,
                "7",
                "{input} {folder}"
            );
        }
    }

    #[test]
    fn other_names_carry_nothing() {
        assert_eq!(
            of("street_1080p", "back_camera_00.jpg"),
            (String::new(), String::new())
        );
        assert_eq!(of("x", "UNLABEL_7.jpg"), (String::new(), String::new()));
    }

    #[test]
    fn tags_come_before_names() {
        let mut tags = Tags::default();
        let json = r#"[{"file_name": "HT_VAL_1_SZ_0.jpg", "city": "Shenzhen", "period": "Night", "weather": "Clear"}]"#;
        tags.read(json.as_bytes()).unwrap();
        tags.finish();
        let facts = facts("labeled", "val/HT_VAL_1_SZ_0.jpg", &tags);
        let expected = Facts {
            split: Some("val".into()),
            time_of_day: Some("Night".into()),
            weather: Some("Clear".into()),
            city: Some("Shenzhen".into()),
            ..Facts::default()
        };
        assert_eq!(facts, expected);
    }

    #[test]
    fn frames_of_folders_and_archives_are_named_alike() {
        for source in [
            "unlabel/image_3/x.jpg",
            "soda/image_3.tar/SSLAD-2D/unlabel/image_3/x.jpg",
        ] {
            assert_eq!(frame_id(source), "unlabel/image_3/x.jpg");
        }
        assert_eq!(
            frame_id("labeled/SSLAD-2D/labeled/val/x.jpg"),
            "labeled/val/x.jpg"
        );
        assert_eq!(frame_id("street/x.jpg"), "street/x.jpg");
    }

    #[test]
    fn both_spellings_and_the_outer_folder_are_found() {
        let dir = tempfile::tempdir().unwrap();
        for file in [
            "SSLAD-2D/Unlabel/image_0/UNLABEL_01_BJ_000_1.jpg",
            "SSLAD-2D/labeled/HT_VAL_1_SZ_0.jpg",
        ] {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let inputs = |path: &Path| {
            jobs(path, &mut Search::default())
                .unwrap()
                .into_iter()
                .map(|job| job.id.input)
                .collect::<Vec<_>>()
        };
        assert_eq!(inputs(dir.path()), ["labeled", "Unlabel"]);
        assert_eq!(inputs(&dir.path().join("SSLAD-2D")), ["labeled", "Unlabel"]);
        assert_eq!(inputs(&dir.path().join("SSLAD-2D/Unlabel")), ["Unlabel"]);
        assert_eq!(
            inputs(&dir.path().join("SSLAD-2D/Unlabel/image_0")),
            ["Unlabel/image_0"]
        );
    }

    #[test]
    fn tags_lie_in_the_part_or_above_it_up_to_the_set() {
        let dir = tempfile::tempdir().unwrap();
        let image = "SSLAD-2D/unlabel/image_0/UNLABEL_01_BJ_000_1.jpg";
        fs::create_dir_all(dir.path().join(image).parent().unwrap()).unwrap();
        fs::write(dir.path().join(image), "").unwrap();
        fs::write(dir.path().join("outside.json"), "damaged").unwrap();
        let folder = dir.path().join("SSLAD-2D/unlabel/image_0");
        assert!(jobs(&folder, &mut Search::default()).is_ok());
        for near in [
            "SSLAD-2D/tags.json",
            "SSLAD-2D/unlabel/tags.json",
            "SSLAD-2D/unlabel/image_0/tags.json",
        ] {
            let near = dir.path().join(near);
            fs::write(&near, "[").unwrap();
            let message = jobs(&folder, &mut Search::default())
                .unwrap_err()
                .to_string();
            assert!(
                message.contains("damaged")
                    && message.contains("tags.json")
                    && message.contains("line 1"),
                "{message}"
            );
            fs::remove_file(near).unwrap();
        }
    }
}
