//! What the demo data promises to whoever reads it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;
use scenes::Class;

use super::claim::Claim;
use super::{DemoConfig, MIN_FRAMES, paths, render};
use crate::source::waymo::messages::Frame;

fn config(out: &Path, threads: usize) -> DemoConfig {
    DemoConfig {
        out: out.to_owned(),
        num_frames: MIN_FRAMES,
        seed: 5,
        threads,
    }
}

/// All files below a folder with their contents.
fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(
                    path.strip_prefix(dir).unwrap().to_owned(),
                    fs::read(&path).unwrap(),
                );
            }
        }
    }
    files
}

#[test]
fn one_and_three_threads_write_the_same_bytes_and_a_second_run_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (one, three) = (dir.path().join("one"), dir.path().join("three"));
    let report = render(&config(&one, 1), &mut |_, _| {}).unwrap();
    render(&config(&three, 3), &mut |_, _| {}).unwrap();
    let files = tree(&one);
    assert_eq!(files, tree(&three));
    assert_eq!((report.frames, report.unchanged), (8, false));
    let listed: u64 = files
        .iter()
        .filter(|(path, _)| !path.starts_with(".ingest-demo.json"))
        .map(|(_, b)| b.len() as u64)
        .sum();
    assert_eq!(report.bytes, listed);
    assert!(render(&config(&one, 1), &mut |_, _| {}).unwrap().unchanged);
    // Another seed replaces all pictures, and leaves none of the old ones.
    let other = DemoConfig {
        seed: 6,
        ..config(&one, 2)
    };
    assert!(!render(&other, &mut |_, _| {}).unwrap().unchanged);
    assert_eq!(tree(&one).len(), files.len());
    check_waymo(&three);
    check_folders(&three);
}

fn check_waymo(out: &Path) {
    let files: Vec<PathBuf> = fs::read_dir(out.join("waymo"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    assert_eq!(files.len(), 1);
    let reader = tfrecord::BytesIter::open(&files[0], Default::default()).unwrap();
    let frames: Vec<Frame> = reader
        .map(|record| Frame::decode(record.unwrap().as_slice()).unwrap())
        .collect();
    assert_eq!(frames.len(), 1);
    let context = frames[0].context.as_ref().unwrap();
    assert!(
        files[0]
            .to_string_lossy()
            .contains(context.name.as_ref().unwrap())
    );
    let stats = context.stats.as_ref().unwrap();
    assert_eq!(stats.time_of_day.as_deref(), Some("Day"));
    assert_eq!(stats.weather.as_deref(), Some("sunny"));
    assert_eq!(stats.location.as_deref(), Some("location_sf"));
    let cameras: Vec<_> = frames[0]
        .images
        .iter()
        .map(|image| image.name.unwrap())
        .collect();
    assert_eq!(cameras, [1, 2, 4, 3, 5]);
    for image in &frames[0].images {
        let jpeg = image.image.as_ref().unwrap();
        let header = turbojpeg::read_header(jpeg).unwrap();
        let height = if image.name.unwrap() >= 4 { 886 } else { 1280 };
        assert_eq!((header.width, header.height), (1920, height));
        assert_eq!(header.subsamp, turbojpeg::Subsamp::Sub2x2);
        // Textured like a photograph: Waymo's own take about 0.18 bytes a pixel.
        assert!(jpeg.len() > 1920 * height / 12, "{} bytes", jpeg.len());
    }
}

fn check_folders(out: &Path) {
    let soda = tree(&out.join("soda10m/SSLAD-2D/unlabel/image_0"));
    assert_eq!(soda.len(), 1);
    let (name, jpeg) = soda.first_key_value().unwrap();
    assert_eq!(
        name.to_string_lossy(),
        "UNLABEL_01_BJ_005_00000000000001.jpg"
    );
    let header = turbojpeg::read_header(jpeg).unwrap();
    assert_eq!((header.width, header.height), (1920, 1080));
    for split in ["train", "val"] {
        let images = tree(&out.join("cityscapes/leftImg8bit").join(split).join("demo"));
        for (name, png) in &images {
            let labels = name
                .to_string_lossy()
                .replace("leftImg8bit", "gtFine_labelIds");
            let labels = fs::read(
                out.join("cityscapes/gtFine")
                    .join(split)
                    .join("demo")
                    .join(labels),
            )
            .unwrap();
            let (image, labels) = (
                image::load_from_memory(png).unwrap(),
                image::load_from_memory(&labels).unwrap(),
            );
            assert_eq!((image.width(), image.height()), (1024, 512));
            assert_eq!((labels.width(), labels.height()), (1024, 512));
            let labels = labels.into_luma8();
            let all = [7, 8, 11, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 33];
            assert!(labels.pixels().all(|px| all.contains(&px.0[0])));
            let road = labels
                .pixels()
                .filter(|px| px.0[0] == Class::Road.id())
                .count();
            assert!(road > 1024 * 512 / 20, "a street has a road: {road} pixels");
        }
        assert_eq!(images.len(), 1);
    }
}

#[test]
fn folders_of_somebody_else_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("precious.txt"), "mine").unwrap();
    let error = render(&config(dir.path(), 1), &mut |_, _| {})
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("not made by `ingest demo`") && error.contains("--out"),
        "{error}"
    );
    assert_eq!(tree(dir.path()).len(), 1);
    let few = DemoConfig {
        num_frames: 3,
        out: dir.path().join("new"),
        ..DemoConfig::default()
    };
    assert!(
        render(&few, &mut |_, _| {})
            .unwrap_err()
            .to_string()
            .contains("--frames")
    );
    assert!(!few.out.exists());
}

#[test]
fn a_file_that_lies_where_ours_belongs_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let first = config(dir.path(), 2);
    let claim = Claim::new(&first, vec![]);
    claim.stake().unwrap();
    let real = dir.path().join(paths::soda10m_path(first.seed, 0));
    fs::create_dir_all(real.parent().unwrap()).unwrap();
    fs::write(&real, "a real photograph").unwrap();
    let error = render(&first, &mut |_, _| {}).unwrap_err().to_string();
    assert!(error.contains("UNLABEL_01_BJ"), "{error}");
    assert_eq!(fs::read(&real).unwrap(), b"a real photograph");
}
