//! Folders as people keep them: which files are read, which are passed over, and what is said of
//! it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use schemas::geom::Size;
use serde_json::{Value, json};

use crate::support::{frames_of, ingest, ingest_json, ingest_to, jpeg, skipped_in, stderr};

/// Writes images that differ.
fn write(root: &Path, files: &[&str]) {
    for (seed, file) in files.iter().enumerate() {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, jpeg(Size::new(64, 48), seed as u32)).unwrap();
    }
}

fn write_tar(path: &Path, root: &Path, files: &[&str]) {
    let mut builder = tar::Builder::new(Vec::new());
    for file in files {
        let mut contents = fs::File::open(root.join(file)).unwrap();
        builder.append_file(file, &mut contents).unwrap();
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, builder.into_inner().unwrap()).unwrap();
}

fn dry_run(command: &str, input: &Path, options: &[&str]) -> Value {
    let nowhere = input.join("../nothing is written here");
    let options = [&["--dry-run"], options].concat();
    let seen = ingest_json(command, input, &nowhere, &options);
    assert!(!nowhere.exists());
    seen
}

/// Reason and kind of what is passed over, and how often.
fn passed_over(seen: &Value) -> BTreeMap<String, u64> {
    let files = seen["passed_over"].as_array().unwrap().iter();
    let entry = |files: &Value| {
        let text = |key: &str| files[key].as_str().unwrap().to_owned();
        let count = files["count"].as_u64().unwrap();
        (format!("{} {}", text("reason"), text("kind")), count)
    };
    files.map(entry).collect()
}

fn names(set: &Path) -> Vec<String> {
    frames_of(set).into_keys().collect()
}

const CITYSCAPES: [&str; 7] = [
    "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png",
    "leftImg8bit/train_extra/konigswinter/konigswinter_000000_000000_leftImg8bit.png",
    "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png",
    "gtFine/train/aachen/aachen_000000_000019_gtFine_color.png",
    "gtFine/train/aachen/aachen_000000_000019_gtFine_polygons.json",
    "disparity/train/aachen/aachen_000000_000019_disparity.png",
    "leftImg8bit/@eaDir/aachen_000000_000019_leftImg8bit.png/SYNOFILE_THUMB_M.jpg",
];

#[test]
fn label_pictures_and_thumbnails_are_no_frames_unless_a_pattern_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("cityscapes");
    write(&input, &CITYSCAPES);
    let seen = dry_run("images", &input, &[]);
    assert_eq!(seen["files"], 2);
    let expected = [
        ("label-picture *_labelIds", 1),
        ("label-picture *_gtFine_color", 1),
        ("label-picture *_disparity", 1),
        ("other-file .json", 1),
        ("thumbnail @eaDir/", 1),
    ];
    let expected: BTreeMap<_, _> = expected
        .map(|(kind, count)| (kind.to_owned(), count))
        .into();
    assert_eq!(passed_over(&seen), expected);

    let set = dir.path().join("set");
    ingest_json("images", &input, &set, &[]);
    let frames = frames_of(&set);
    assert_eq!(frames.len(), 2);
    let extra = frames
        .values()
        .find(|(meta, _)| meta.split.as_deref() == Some("train_extra"));
    let (extra, _) = extra.unwrap();
    assert_eq!(extra.city.as_deref(), Some("konigswinter"));

    for (options, files) in [
        (&["--include", "gtFine"][..], 4),
        (&["--include", "gtFine", "--include", "**/disparity/**"], 5),
        (&["--include", "*.png", "--exclude", "gtFine/"], 3),
        (&["--exclude", "train_extra"], 1),
        (&["--exclude", "leftImg8bit/*/aachen/**"], 1),
    ] {
        assert_eq!(
            dry_run("images", &input, options)["files"],
            files,
            "{options:?}"
        );
    }
    let none = ingest_to("images", &input, &set, &["--exclude", "leftImg8bit"]);
    assert!(
        stderr(&none).contains("holds no images") && stderr(&none).contains("--include"),
        "{}",
        stderr(&none)
    );
    let bad = ingest_to("images", &input, &set, &["--include", "a[", "--json"]);
    assert_eq!(bad.status.code(), Some(2), "{}", stderr(&bad));
}

#[test]
fn rules_and_patterns_hold_in_archives() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("cityscapes");
    write(&input, &CITYSCAPES);
    let archive = dir.path().join("in/cityscapes.tar");
    write_tar(&archive, &input, &CITYSCAPES);
    assert_eq!(dry_run("images", &archive, &[])["files"], 2);
    assert_eq!(
        dry_run("images", &archive, &["--include", "gtFine"])["files"],
        4
    );
    assert_eq!(
        dry_run(
            "images",
            dir.path().join("in").as_path(),
            &["--exclude", "aachen"]
        )["files"],
        1
    );
}

#[test]
fn a_dry_run_tells_people_what_would_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("nuscenes");
    let image = |camera: &str, micros: u64| {
        format!("samples/{camera}/n015-2018-07-24-11-22-45+0800__{camera}__{micros}.jpg")
    };
    let files = [
        image("CAM_FRONT", 1_532_402_927_612_460),
        image("CAM_BACK", 1_532_402_927_637_525),
        "maps/36092f0b03a857c6a3403e25b4b7aab3.png".to_owned(),
    ];
    write(&input, &files.each_ref().map(String::as_str));
    let output = ingest([
        OsStr::new("images"),
        input.as_os_str(),
        OsStr::new("--dry-run"),
    ]);
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "would read   2 files of 1 input",
        "samples/CAM_BACK/   1 .jpg: segment n015-2018-07-24-11-22-45+0800; camera CAM_BACK",
        "1  label-picture    maps/",
        "nothing was written",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn what_lies_in_an_archive_and_beside_it_is_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let (input, set) = (dir.path().join("in"), dir.path().join("set"));
    write(&input, &["x/a.jpg", "x/b.jpg", "y.jpg"]);
    write_tar(&input.join("x.tar"), &input.join("x"), &["a.jpg", "b.jpg"]);
    write_tar(&input.join("all.tar"), &input, &["x/a.jpg", "y.jpg"]);
    let seen = dry_run("images", &input, &[]);
    assert_eq!(seen["files"], 3);
    assert_eq!(
        passed_over(&seen),
        BTreeMap::from([("unpacked-archive archive".to_owned(), 2)])
    );
    assert_eq!(seen["notices"].as_array().unwrap().len(), 2);

    fs::remove_file(input.join("x/b.jpg")).unwrap();
    let seen = dry_run("images", &input, &[]);
    assert_eq!(
        passed_over(&seen),
        BTreeMap::from([
            ("unpacked-archive archive".to_owned(), 1),
            ("in-archive file".to_owned(), 1)
        ])
    );
    ingest_json("images", &input, &set, &[]);
    assert_eq!(
        names(&set),
        ["in/x.tar/a.jpg", "in/x.tar/b.jpg", "in/y.jpg"]
    );
}

#[test]
fn soda10m_grows_split_by_split_in_any_layout() {
    let dir = tempfile::tempdir().unwrap();
    let (root, set) = (dir.path().join("soda"), dir.path().join("set"));
    write(
        &root,
        &["labeled/labeled_trainval/SSLAD-2D/labeled/train/HT_TRAIN_000001_SH_000.jpg"],
    );
    ingest_json("soda10m", &root, &set, &[]);
    write(
        &root,
        &[
            "unlabeled/SSLAD-2D/unlabel/image_0/UNLABEL_01_BJ_000_1.jpg",
            "Unlabeled/image_1/UNLABEL_01_BJ_000_2.jpg",
            "image_2/UNLABEL_01_BJ_000_3.jpg",
        ],
    );
    let grown = ingest_json("soda10m", &root, &set, &[]);
    assert_eq!(
        (&grown["frames_kept"], &grown["frames_written"]),
        (&json!(1), &json!(3))
    );
    assert_eq!(
        names(&set),
        [
            "labeled/train/HT_TRAIN_000001_SH_000.jpg",
            "unlabel/image_0/UNLABEL_01_BJ_000_1.jpg",
            "unlabel/image_1/UNLABEL_01_BJ_000_2.jpg",
            "unlabel/image_2/UNLABEL_01_BJ_000_3.jpg",
        ]
    );
    let frames = frames_of(&set);
    let split = |name: &str| frames[name].0.split.clone().unwrap();
    assert_eq!(split("unlabel/image_2/UNLABEL_01_BJ_000_3.jpg"), "2");
    assert_eq!(split("unlabel/image_1/UNLABEL_01_BJ_000_2.jpg"), "1");
}

#[test]
fn one_bad_entry_never_ends_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let (input, set) = (dir.path().join("in"), dir.path().join("set"));
    write(
        &input,
        &["a.jpg", "b/x.jpg", "c/closed/y.jpg", "lost+found/z.jpg"],
    );
    fs::write(input.join(OsStr::from_bytes(b"notes \xFF.txt")), "foreign").unwrap();
    let name = OsStr::from_bytes(b"stra\xDFe.jpg");
    fs::write(input.join(name), jpeg(Size::new(64, 48), 9)).unwrap();
    std::os::unix::fs::symlink("..", input.join("b/up")).unwrap();
    std::os::unix::fs::symlink("nowhere", input.join("b/dead.jpg")).unwrap();
    fs::write(input.join("foreign.json"), "{\"a\": [1, }").unwrap();
    let closed = input.join("c/closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let is_closed = fs::read_dir(&closed).is_err();
    let seen = dry_run("soda10m", &input, &[]);
    ingest_json("soda10m", &input, &set, &["--max-bad", "2"]);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();

    let seen = passed_over(&seen);
    for kind in [
        "other-file .txt",
        "link-loop link",
        "hidden lost+found/",
        "foreign-json .json",
    ] {
        assert_eq!(seen.get(kind), Some(&1), "{kind}: {seen:?}");
    }
    let mut expected = vec![("in/b/dead.jpg".to_owned(), "unreadable-file".to_owned())];
    if is_closed {
        expected.push(("in/c/closed".to_owned(), "unreadable-folder".to_owned()));
        assert_eq!(names(&set), ["in/a.jpg", "in/b/x.jpg", "in/stra\\xDFe.jpg"]);
    } else {
        assert_eq!(names(&set).len(), 4);
    }
    assert_eq!(skipped_in(&set), expected);
}

#[test]
fn tag_files_of_all_kinds_are_read_and_one_that_is_named_must_be() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    write(&path("in"), &["a.jpg", "b.jpg"]);
    let line =
        |name: &str| format!(r#"{{"file_name": "{name}", "weather": "Rainy", "area": NaN}}"#);
    let lines = format!("\u{FEFF}{}\n{}\n", line("a.jpg"), line("b.jpg"));
    fs::write(path("in/tags.json"), lines).unwrap();
    ingest_json("soda10m", &path("in"), &path("set"), &[]);
    for (meta, _) in frames_of(&path("set")).into_values() {
        assert_eq!(meta.weather.as_deref(), Some("Rainy"));
    }
    fs::write(path("torn.json"), "[{").unwrap();
    let torn = path("torn.json").to_string_lossy().into_owned();
    let output = ingest_to("soda10m", &path("in"), &path("other"), &["--tags", &torn]);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        message.contains("torn.json") && message.contains("damaged"),
        "{message}"
    );
}
