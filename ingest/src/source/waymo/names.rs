//! What the files of the data set are called, and what lies beside them.
//!
//! A path is that of a file below an input, with `/` between its components, the name of the
//! input's folder in front. Downloads by the browser have the folders of the bucket in their names:
//! `individual_files_training_segment-….tfrecord`, `training_camera_image_….parquet`.

use std::path::Path;

use crate::source::archive::parts::has_archive_name;
use crate::source::system_files;

/// Folder of the one component of version 2 that is read.
pub(super) const COMPONENT: &str = "camera_image";

/// Other components of version 2, and the folders that they lie in.
const OTHER_COMPONENTS: [&str; 17] = [
    "camera_box",
    "camera_calibration",
    "camera_hkp",
    "camera_segmentation",
    "camera_to_lidar_box_association",
    "lidar",
    "lidar_box",
    "lidar_calibration",
    "lidar_camera_projection",
    "lidar_camera_synced_box",
    "lidar_hkp",
    "lidar_pose",
    "lidar_segmentation",
    "projected_lidar_box",
    "stats",
    "vehicle_pose",
    "lidar_return",
];

/// How names of files end that are not yet there as a whole: gsutil's, a browser's, aria2's,
/// rclone's.
const PARTIAL: [&str; 7] = [
    "_.gstmp",
    ".gstmp",
    ".part",
    ".partial",
    ".aria2",
    ".crdownload",
    ".download",
];

/// What a file is, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A TFRecord file, compressed or not.
    TfRecord,
    /// A Parquet file of camera images.
    CameraImages,
    /// An archive or a part of one.
    Archive,
    /// Not to be read, for this reason; the text says what kind of file it is.
    Other(&'static str, String),
}

/// What the file at `path` is.
pub(super) fn kind_of(path: &str) -> Kind {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let folder = folders.rsplit('/').next().unwrap_or_default();
    if let Some((reason, kind)) = system_files::reason(name) {
        return Kind::Other(reason, kind.to_owned());
    }
    match () {
        () if is_tfrecord(name) => Kind::TfRecord,
        () if name.ends_with(".parquet") => kind_of_parquet(folder, name),
        () if is_partial(name) => Kind::Other("partial-download", ending(name)),
        () if has_archive_name(name) => Kind::Archive,
        () => Kind::Other("other-file", ending(name)),
    }
}

/// `a.tfrecord`, `a.tfrecord-00000-of-00263`, and the same with `.gz` or `.zst`.
fn is_tfrecord(name: &str) -> bool {
    let name = without_compression(name);
    let Some((stem, rest)) = name.rsplit_once(".tfrecord") else {
        return false;
    };
    let is_number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let part = rest
        .strip_prefix('-')
        .and_then(|rest| rest.split_once("-of-"));
    !stem.is_empty()
        && (rest.is_empty() || part.is_some_and(|(ix, count)| is_number(ix) && is_number(count)))
}

/// A name without the ending of a compressed file.
pub(super) fn without_compression(name: &str) -> &str {
    [".gz", ".zst"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .unwrap_or(name)
}

fn kind_of_parquet(folder: &str, name: &str) -> Kind {
    if folder == COMPONENT || drive_in_browser_name(name).is_some() {
        return Kind::CameraImages;
    }
    match OTHER_COMPONENTS.contains(&folder) {
        true => Kind::Other("other-component", format!("{folder}/*.parquet")),
        false => Kind::Other("other-file", ending(name)),
    }
}

/// `training_camera_image_DRIVE.parquet`.
fn drive_in_browser_name(name: &str) -> Option<&str> {
    let (split, drive) = name.split_once("_camera_image_")?;
    ["training", "validation", "testing", "testing_location"]
        .contains(&split)
        .then_some(drive)
}

fn is_partial(name: &str) -> bool {
    PARTIAL.iter().any(|ending| name.ends_with(ending)) || name.contains("_.gstmp")
}

/// How `name` ends, for people: `.idx`.
fn ending(name: &str) -> String {
    match Path::new(name).extension() {
        Some(ending) => format!(".{}", ending.to_string_lossy()),
        None => "no usual ending".to_owned(),
    }
}

/// Whether something of the data set was named, if only as the beginning of its name.
pub(super) fn is_beside_data(name: &str) -> bool {
    name.contains(".tfrecord") || name.contains(".parquet")
}

/// The drive that the name of the file at `path` says it holds: the same one in a TFRecord file and
/// in a Parquet file. Files of the end-to-end release hold frames of many drives, and each is one
/// of its own.
pub(super) fn drive_of(path: &str) -> Option<&str> {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let name = without_compression(name);
    if let Some(stem) = name.strip_suffix(".parquet") {
        let is_camera_image = folders.rsplit('/').next() == Some(COMPONENT);
        let drive = drive_in_browser_name(stem).or_else(|| is_camera_image.then_some(stem))?;
        return Some(without_decoration(drive));
    }
    let (stem, _) = name.rsplit_once(".tfrecord")?;
    if is_end_to_end(name) {
        return Some(name);
    }
    let (before, drive) = stem.split_once("segment-")?;
    (before.is_empty() || before.ends_with('_')).then(|| without_decoration(drive))
}

/// `drive` of `segment-drive_with_camera_labels (1)`.
fn without_decoration(drive: &str) -> &str {
    let drive = drive.strip_prefix("segment-").unwrap_or(drive);
    drive
        .split_once("_with_camera_labels")
        .map_or(drive, |(drive, _)| drive)
}

/// `training_202504031202_202504151040.tfrecord-00000-of-00263`.
pub(super) fn is_end_to_end(name: &str) -> bool {
    let dates = ["training_", "val_", "test_"]
        .iter()
        .find_map(|split| name.strip_prefix(split));
    name.contains(".tfrecord-")
        && dates.is_some_and(|dates| {
            dates.len() > 8 && dates.bytes().take(8).all(|byte| byte.is_ascii_digit())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_data_set_are_data() {
        for name in [
            "a.tfrecord",
            "training/segment-1_2_with_camera_labels.tfrecord",
            "training_202504031202_202504151040.tfrecord-00000-of-00263",
            "a.tfrecord.gz",
            "a.tfrecord-00001-of-00002.gz",
            "a.tfrecord.zst",
        ] {
            assert_eq!(kind_of(name), Kind::TfRecord, "{name}");
        }
        for name in [
            "camera_image/a.parquet",
            "training/camera_image/a.parquet",
            "training_camera_image_1_2.parquet",
        ] {
            assert_eq!(kind_of(name), Kind::CameraImages, "{name}");
        }
        assert_eq!(kind_of("training/training_0000.tar"), Kind::Archive);
    }

    #[test]
    fn what_lies_beside_data_is_none_and_says_why() {
        for (name, reason, kind) in [
            ("a.tfrecord_.gstmp", "partial-download", ".gstmp"),
            ("a.tfrecord_.gstmp_1", "partial-download", ".gstmp_1"),
            ("a.tfrecord.part", "partial-download", ".part"),
            ("a.tfrecord.aria2", "partial-download", ".aria2"),
            ("a.tfrecord.crdownload", "partial-download", ".crdownload"),
            ("a.tfrecord.idx", "other-file", ".idx"),
            ("a.tfrecord.md5", "other-file", ".md5"),
            ("a.tfrecord_tmp", "other-file", ".tfrecord_tmp"),
            ("a.tfrecord.tmp", "other-file", ".tmp"),
            ("a.tfrecord-1-of-2", "other-file", ".tfrecord-1-of-2"),
            (".tfrecord", "hidden", ".*"),
            ("LICENSE", "other-file", "no usual ending"),
            ("lidar/a.parquet", "other-component", "lidar/*.parquet"),
            (
                "x/stats/camera_image.parquet",
                "other-component",
                "stats/*.parquet",
            ),
            ("c.parquet", "other-file", ".parquet"),
        ] {
            assert_eq!(kind_of(name), Kind::Other(reason, kind.into()), "{name}");
        }
    }

    #[test]
    fn a_drive_has_one_name_in_all_releases() {
        for path in [
            "segment-1_2_3_with_camera_labels.tfrecord",
            "training/segment-1_2_3.tfrecord",
            "individual_files_training_segment-1_2_3_with_camera_labels.tfrecord",
            "x/segment-1_2_3_with_camera_labels (1).tfrecord",
            "segment-1_2_3_with_camera_labels.tfrecord.gz",
            "training/camera_image/1_2_3.parquet",
            "training_camera_image_1_2_3.parquet",
        ] {
            assert_eq!(drive_of(path), Some("1_2_3"), "{path}");
        }
        for path in [
            "a.tfrecord",
            "frame.tfrecord",
            "lidar/1_2_3.parquet",
            "training.tfrecord-00000-of-01000",
            "nosegment-1.tfrecord",
        ] {
            assert_eq!(drive_of(path), None, "{path}");
        }
        let shard = "val_202504211836-202504220845.tfrecord-00000-of-00093";
        assert_eq!(drive_of(&format!("e2e/{shard}.gz")), Some(shard));
    }
}
