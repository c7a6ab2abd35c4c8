//! Which split of the data set a file belongs to, by the names below the input and its own.
//!
//! The bucket of version 1 has `individual_files/{training, validation, testing,
//! testing_3d_camera_only_detection, domain_adaptation/{training, validation, testing}}` and the
//! same below `archived_files`, that of version 2 `{training, validation, testing,
//! testing_location}`, that of the end-to-end release has the split in the names of its files. A
//! browser puts the folders into the name: `individual_files_training_segment-….tfrecord`.
//!
//! `domain_adaptation` is one split: its own `training` is another set of drives than the main one
//! and must never be taken for that. Which of its three parts a file is of can still be seen in the
//! `source` of a frame, which begins with the file's folder.

use std::path::Path;

use super::names::{COMPONENT, is_end_to_end};
use crate::source::naming::short_name;

/// Names of splits, longer ones before those that they begin with.
const SPLITS: [&str; 6] = [
    "testing_3d_camera_only_detection",
    "testing_location",
    "domain_adaptation",
    "validation",
    "training",
    "testing",
];

const DOMAIN_ADAPTATION: &str = "domain_adaptation";

/// How names begin that a browser made of the bucket's folders.
const BUCKET_FOLDERS: [&str; 2] = ["individual_files_", "archived_files_"];

/// How the files of the end-to-end release begin, and which split that is.
const END_TO_END: [(&str, &str); 3] = [
    ("training_", "training"),
    ("val_", "validation"),
    ("test_", "testing"),
];

/// The split of the file at `path`, whose components are separated by `/`: the nearest one that is
/// named, or a more specific one above it.
pub(super) fn split_of(path: &str) -> Option<&'static str> {
    let mut found: Option<&str> = None;
    for name in path.rsplit('/') {
        let Some(split) = split_in(name) else {
            continue;
        };
        let is_better = found.is_none_or(|found| {
            split == DOMAIN_ADAPTATION || (split.len() > found.len() && split.starts_with(found))
        });
        if is_better {
            found = Some(split);
        }
    }
    found
}

/// The split that one name says.
fn split_in(name: &str) -> Option<&'static str> {
    if is_end_to_end(name) {
        let known = END_TO_END.iter().find(|(begin, _)| name.starts_with(begin));
        return known.map(|&(_, split)| split);
    }
    let of_bucket = BUCKET_FOLDERS
        .iter()
        .find_map(|begin| name.strip_prefix(begin));
    let rest = of_bucket.unwrap_or(name);
    SPLITS.into_iter().find(|split| {
        let Some(behind) = rest.strip_prefix(split) else {
            return false;
        };
        match behind.strip_prefix('_') {
            Some(word) => of_bucket.is_some() || may_follow(word),
            None => behind.is_empty() || behind.starts_with('.'),
        }
    })
}

/// What may stand behind a split in a name that is of the data set: `training_0000.tar`,
/// `domain_adaptation_training_…`, `training_segment-…`, `training_camera_image_….parquet`.
fn may_follow(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_digit())
        || word.starts_with("segment-")
        || word.starts_with(COMPONENT)
        || SPLITS.iter().any(|split| word.starts_with(split))
}

/// The names of the folder at `root` that count for what lies in it: its own, that of the split
/// that a folder `camera_image` lies in, and `domain_adaptation` directly above a split. Folders
/// further above say nothing: a project may lie in `~/training`.
pub(super) fn names_of_root(root: &Path) -> String {
    let names = short_name(root, 3);
    let names: Vec<&str> = names.split('/').collect();
    let above = |count: usize| names.len().checked_sub(count).map(|ix| names[ix]);
    let mut count = 1;
    if above(count) == Some(COMPONENT) {
        count += 1;
    }
    let is_split = above(count).is_some_and(|name| SPLITS.contains(&name));
    if is_split && above(count + 1) == Some(DOMAIN_ADAPTATION) {
        count += 1;
    }
    names[names.len().saturating_sub(count)..].join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_names_of_all_releases_say_the_split() {
        for (path, split) in [
            ("training/a.tfrecord", "training"),
            ("validation/camera_image/a.parquet", "validation"),
            (
                "waymo/testing_location/camera_image/a.parquet",
                "testing_location",
            ),
            (
                "individual_files/testing_3d_camera_only_detection/segment-1.tfrecord",
                "testing_3d_camera_only_detection",
            ),
            (
                "w/individual_files_testing_3d_camera_only_detection_segment-1.tfrecord",
                "testing_3d_camera_only_detection",
            ),
            (
                "individual_files_training_segment-1_with_camera_labels.tfrecord",
                "training",
            ),
            (
                "train/individual_files_validation_segment-1.tfrecord",
                "validation",
            ),
            (
                "domain_adaptation/training/segment-1.tfrecord",
                "domain_adaptation",
            ),
            (
                "individual_files_domain_adaptation_training_segment-1.tfrecord",
                "domain_adaptation",
            ),
            (
                "domain_adaptation_training_training_0000/segment-1.tfrecord",
                "domain_adaptation",
            ),
            ("archived_files/training/training_0000.tar", "training"),
            ("d/archived_files_training_training_0000.tar", "training"),
            (
                "archived_files_domain_adaptation_training_training_0000.tar",
                "domain_adaptation",
            ),
            ("validation_0003/segment-1.tfrecord", "validation"),
            ("training_camera_image_1_2.parquet", "training"),
            (
                "e/training_202504031202_202504151040.tfrecord-00000-of-00263",
                "training",
            ),
            (
                "e/val_202504211836-202504220845.tfrecord-00000-of-00093",
                "validation",
            ),
            (
                "e/test_202504211836-202504220845.tfrecord-00000-of-00266",
                "testing",
            ),
            // A more specific name above, and a nearer one below.
            ("testing_location/testing/a.tfrecord", "testing_location"),
            ("training/validation/a.tfrecord", "validation"),
        ] {
            assert_eq!(split_of(path), Some(split), "{path}");
        }
    }

    #[test]
    fn other_names_say_none() {
        for path in [
            "a.tfrecord",
            "trainings/a.tfrecord",
            "training_copy/a.tfrecord",
            "pretraining/a.tfrecord",
            "test_1/a.tfrecord",
            "camera_image/a.parquet",
        ] {
            assert_eq!(split_of(path), None, "{path}");
        }
    }

    #[test]
    fn of_the_folders_above_an_input_only_those_count_that_belong_to_it() {
        for (root, names) in [
            ("/training/project/w", "w"),
            ("/w/training", "training"),
            ("/w/training/camera_image", "training/camera_image"),
            (
                "/w/domain_adaptation/training",
                "domain_adaptation/training",
            ),
            ("/domain_adaptation/w", "w"),
            ("/validation/training", "training"),
            ("/", ""),
        ] {
            assert_eq!(names_of_root(Path::new(root)), names, "{root}");
        }
    }
}
