//! Any tree of images: folder and file names say split, segment and camera.

use std::path::Path;
use std::sync::Arc;

use super::archive::parts;
use super::dataset::Dataset;
use super::driving_paths;
use super::facts::Facts;
use super::file_jobs::{cut, no_images, of_archive};
use super::files::Files;
use super::found::find;
use super::job::Job;
use super::search::Search;
use super::tags::Tags;
use super::unpacked::{key, places, settle};
use crate::error::Result;

/// Folder names that are a split.
const SPLITS: [&str; 10] = [
    "train",
    "training",
    "val",
    "valid",
    "validation",
    "test",
    "testing",
    "trainval",
    "train_extra",
    "minival",
];

/// Cuts the image files at `path` into jobs. What lies in an archive and unpacked beside it is read
/// once.
///
/// # Errors
/// If `path` is no folder and no archive, cannot be read, or holds no image.
pub(super) fn jobs(path: &Path, search: &mut Search) -> Result<Vec<Job>> {
    let mut found = find(Dataset::Images, path, search)?;
    let root = found.listing.root().to_owned();
    let places =
        |archive: &Path, member: &str| places(&root, archive, member).map(|path| key(&path));
    settle(
        &mut found,
        &key,
        &|found, member| places(found.archive.path(), member).to_vec(),
        search,
    );
    let (tags, name) = (Arc::<Tags>::default(), search.name_of_folder(path));
    let files = Files::of_folder(
        found.listing,
        found.in_folder,
        path.to_owned(),
        name.clone(),
    );
    let mut jobs = cut(Dataset::Images, files, &name, &tags);
    for archive in found.archives {
        jobs.extend(of_archive(Dataset::Images, archive, &tags));
    }
    match jobs.is_empty() {
        true => Err(no_images(Dataset::Images, path, &search.passed_over)),
        false => Ok(jobs),
    }
}

/// The first folder named like a split is the split, the others together are the segment:
/// `train/n01440764/x.JPEG` is split `train`, segment `n01440764`. Where no folder inside the input
/// is a split, the input may be: the folder `bdd100k/train`, the archive `ILSVRC2012_img_val.tar`
/// or one in a folder `val`. An archive whose images are in no folder is a folder itself. Paths of
/// known driving sets say drive, camera, time and city.
pub(super) fn facts(input: &str, relative: &str) -> Facts {
    let known = known_facts(input, relative);
    let (folders, _) = relative.rsplit_once('/').unwrap_or(("", relative));
    let mut folders: Vec<&str> = folders
        .split('/')
        .filter(|folder| !folder.is_empty())
        .map(without_ending)
        .collect();
    let split = folders
        .iter()
        .position(|folder| is_split(folder))
        .map(|ix| folders.remove(ix).to_owned());
    let split = split.or_else(|| input.rsplit('/').find_map(split_of_input));
    let last = input
        .rsplit('/')
        .next()
        .filter(|name| split_of_input(name).is_none());
    let archive = last.and_then(parts::stem);
    let mut folders = if folders.is_empty() {
        Vec::from_iter(archive)
    } else {
        folders
    };
    // A camera is no part of the drive.
    folders.retain(|folder| known.camera.as_deref() != Some(folder));
    let segment = (!folders.is_empty()).then(|| folders.join("/"));
    Facts {
        split: known.split.or(split),
        segment: known.segment.or(segment),
        ..known
    }
}

/// What the layouts of driving sets say, from the folders of the input on.
fn known_facts(input: &str, relative: &str) -> Facts {
    let (folders, name) = relative.rsplit_once('/').unwrap_or(("", relative));
    let folders: Vec<&str> = input
        .split('/')
        .chain(folders.split('/'))
        .filter(|folder| !folder.is_empty())
        .map(without_ending)
        .collect();
    driving_paths::facts(&folders, name).unwrap_or_default()
}

/// A tar inside an archive stands for a folder.
fn without_ending(folder: &str) -> &str {
    parts::stem(folder).unwrap_or(folder)
}

fn is_split(folder: &str) -> bool {
    SPLITS
        .iter()
        .any(|split| folder.eq_ignore_ascii_case(split))
}

/// A folder is called like the split, an archive has it as a word of its name.
fn split_of_input(name: &str) -> Option<String> {
    let is_archive = parts::stem(name).is_some();
    let mut words = without_ending(name).split(|c: char| is_archive && !c.is_ascii_alphanumeric());
    words.find(|word| is_split(word)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_become_split_and_segment() {
        let of = |input, relative| {
            let Facts { split, segment, .. } = facts(input, relative);
            (split.unwrap_or_default(), segment.unwrap_or_default())
        };
        for (input, relative, split, segment) in [
            ("street", "x.jpg", "", ""),
            ("imagenet", "train/n01440764/x.jpg", "train", "n01440764"),
            ("bdd100k", "images/100k/val/x.jpg", "val", "images/100k"),
            ("leftImg8bit", "train/aachen/x.png", "train", "aachen"),
            (
                "cityscapes",
                "leftImg8bit/aachen/x.png",
                "",
                "leftImg8bit/aachen",
            ),
            ("train", "n01440764/x.jpg", "train", "n01440764"),
            ("data/ILSVRC2012_img_val.tar", "x.JPEG", "val", ""),
            (
                "data/ILSVRC2012_img_train.tar",
                "n01440764.tar/x.JPEG",
                "train",
                "n01440764",
            ),
            ("train/n01440764.tar", "x.JPEG", "train", "n01440764"),
            (
                "data/leftImg8bit_trainvaltest.zip",
                "leftImg8bit/test/bonn/x.png",
                "test",
                "leftImg8bit/bonn",
            ),
            ("data/street.zip", "x.jpg", "", "street"),
        ] {
            assert_eq!(
                of(input, relative),
                (split.into(), segment.into()),
                "{input}/{relative}"
            );
        }
    }

    #[test]
    fn names_of_nuscenes_say_drive_camera_and_time() {
        let name = "n015-2018-07-24-11-22-45+0800__CAM_BACK_LEFT__1532402927647423.jpg";
        let facts = facts("nuscenes", &format!("samples/CAM_BACK_LEFT/{name}"));
        assert_eq!(
            facts.segment.as_deref(),
            Some("n015-2018-07-24-11-22-45+0800")
        );
        assert_eq!(facts.camera.as_deref(), Some("CAM_BACK_LEFT"));
        assert_eq!(facts.timestamp_micros, Some(1_532_402_927_647_423));
    }

    #[test]
    fn layouts_of_driving_sets_go_before_folders() {
        let of = |input: &str, relative: &str| {
            let facts = facts(input, relative);
            [facts.split, facts.segment, facts.camera, facts.city].map(Option::unwrap_or_default)
        };
        for (input, relative, expected) in [
            (
                "sensor",
                "val/0a13/sensors/cameras/ring_front_left/315966265649927216.jpg",
                ["val", "0a13", "ring_front_left", ""],
            ),
            (
                "ring_front_left",
                "315966265649927216.jpg",
                ["", "", "", ""],
            ),
            (
                "kitti",
                "training/image_2/000000.png",
                ["training", "", "image_2", ""],
            ),
            (
                "kitti",
                "data_object/testing/image_2/000000.png",
                ["testing", "data_object", "image_2", ""],
            ),
            (
                "leftImg8bit",
                "train_extra/bayreuth/bayreuth_000000_000019_leftImg8bit.png",
                ["train_extra", "bayreuth", "", "bayreuth"],
            ),
            (
                "bdd100k",
                "images/100k/val/b1c66a42-6f7d68ca.jpg",
                ["val", "b1c66a42-6f7d68ca", "", ""],
            ),
            (
                "data/train-000.tar",
                "10b8/sensors/cameras/stereo_front_left/315966265649927216.jpg",
                ["train", "10b8", "stereo_front_left", ""],
            ),
        ] {
            assert_eq!(of(input, relative), expected, "{input}/{relative}");
        }
    }

    fn write_tar(path: &Path, member: &str, content: &str) {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        builder
            .append_data(&mut header, member, content.as_bytes())
            .unwrap();
        std::fs::write(path, builder.into_inner().unwrap()).unwrap();
    }

    /// Inputs of the jobs, and why files are passed over.
    fn inputs(path: &Path, search: &mut Search) -> (Vec<String>, Vec<String>) {
        let jobs = jobs(path, search).unwrap().into_iter();
        let passed_over = search.passed_over.files().into_iter();
        (
            jobs.map(|job| job.id.input).collect(),
            passed_over.map(|files| files.reason).collect(),
        )
    }

    #[test]
    fn a_file_of_the_name_of_a_member_and_of_another_size_is_another_image() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("d");
        let image = "image_2/000000.jpg";
        std::fs::create_dir_all(root.join("image_2")).unwrap();
        std::fs::write(root.join(image), "of training").unwrap();
        for (content, expected, passed_over) in [
            ("of training", &["d"][..], &["unpacked-archive"][..]),
            ("testing", &["d", "d/testing.tar"], &[]),
        ] {
            write_tar(&root.join("testing.tar"), image, content);
            let mut search = Search::default();
            let found = inputs(&root, &mut search);
            assert_eq!(found.0, expected);
            assert_eq!(found.1, passed_over);
            assert_eq!(search.notices.len(), passed_over.len());
        }
    }

    #[test]
    fn an_archive_that_the_set_was_made_of_stays_when_it_is_unpacked() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("d");
        std::fs::create_dir(&root).unwrap();
        write_tar(&root.join("x.tar"), "a.jpg", "a");
        let first = jobs(&root, &mut Search::default()).unwrap();
        let mut search = Search {
            finished: Arc::new(first.iter().map(|job| job.id.file_name()).collect()),
            ..Search::default()
        };
        std::fs::create_dir(root.join("x")).unwrap();
        std::fs::write(root.join("x/a.jpg"), "a").unwrap();
        let found = inputs(&root, &mut search);
        assert_eq!(found.0, ["d/x.tar"]);
        assert_eq!(found.1, ["in-archive"]);
        let [notice] = &search.notices[..] else {
            panic!("{:?}", search.notices)
        };
        assert!(notice.contains("the set was made of it"), "{notice}");
        assert_eq!(inputs(&root, &mut Search::default()).0, ["d"]);
    }

    #[test]
    fn a_file_that_is_no_archive_and_a_folder_without_images_are_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.txt"), "").unwrap();
        for (path, detail) in [
            ("", "holds no images"),
            ("a.txt", "neither a folder nor an archive"),
        ] {
            let message = jobs(&dir.path().join(path), &mut Search::default())
                .unwrap_err()
                .to_string();
            assert!(
                message.contains(detail) && message.contains("ingest images"),
                "{message}"
            );
        }
    }
}
