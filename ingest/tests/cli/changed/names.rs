//! Inputs and frames of one name.

use super::*;

#[test]
fn folders_of_one_name_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (set, both) = (path("set"), path("both"));
    for (folder, seeds) in [
        ("b1/samples", 0..2),
        ("b2/samples", 0..3),
        ("c/samples", 5..6),
    ] {
        write_images(&path(folder), seeds);
    }
    for (folder, written, kept) in [
        ("b1/samples", 2, 0),
        ("b2/samples", 3, 0),
        ("b1/samples", 0, 2),
        ("b2/samples", 0, 3),
        ("c/samples", 1, 0),
    ] {
        let summary = ingest_json("images", &path(folder), &set, &[]);
        assert_eq!(
            (&summary["frames_written"], &summary["frames_kept"]),
            (&json!(written), &json!(kept)),
            "{folder}"
        );
    }
    assert_good(&set, 6);
    let ids: Vec<String> = frames_of(&set).into_keys().collect();
    assert_eq!(ids[0], "b2/samples/0.jpg");
    assert_eq!(
        ids[3..],
        ["c/samples/5.jpg", "samples/0.jpg", "samples/1.jpg"]
    );

    let run = |first: &str| {
        let args = ["images", "b1/samples", first, "--out", "both", "--json"];
        let output = crate::support::command(args)
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    assert_eq!(run("b2/samples")["frames_written"], 5);
    assert_eq!(run("night=c/samples")["frames_written"], 1);
    let ids: Vec<String> = frames_of(&both).into_keys().collect();
    assert_eq!(ids[0], "b1/samples/0.jpg");
    assert_eq!(ids[5], "night/5.jpg");

    // Moved, it is the same as long as it holds the same.
    fs::rename(path("b1"), path("elsewhere")).unwrap();
    let moved = ingest_json("images", &path("elsewhere/samples"), &set, &[]);
    assert_eq!(
        (&moved["frames_written"], &moved["frames_kept"]),
        (&json!(0), &json!(2))
    );
}

#[test]
fn a_frame_that_two_inputs_have_is_a_named_skip() {
    let dir = tempfile::tempdir().unwrap();
    let set = dir.path().join("set");
    for (folder, name) in [("x", "one"), ("y", "two")] {
        let folder = dir.path().join(folder);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(format!("{name}.tfrecord")), drive("a", 2)).unwrap();
    }
    ingest_json("waymo", &dir.path().join("y"), &set, &[]);
    let output = ingest_to("waymo", &dir.path().join("x"), &set, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["skipped"], json!({ "duplicate-frame": 4 }));
    assert_good(&set, 4);
    let skipped = skipped_in(&set);
    assert!(
        skipped
            .iter()
            .all(|(source, _)| source.starts_with("x/one.tfrecord@")),
        "{skipped:?}"
    );
    assert_eq!(
        ingest_json("waymo", &dir.path().join("y"), &set, &["--recheck"])["frames_kept"],
        4
    );
}

#[test]
fn cameras_are_a_matter_of_one_data_set() {
    let (dir, input, set) = places();
    write_waymo(&input, 1, 2);
    write_images(&dir.path().join("street"), 0..2);
    ingest_json("waymo", &input, &set, &["--cameras", "FRONT"]);
    ingest_json("images", &dir.path().join("street"), &set, &[]);
    ingest_json(
        "soda10m",
        &dir.path().join("street"),
        &set,
        &["--max-bad", "100%"],
    );
    assert_good(&set, 4);
    for options in [&[][..], &["--dry-run"]] {
        let output = ingest_to("waymo", &input, &set, options);
        let message = stderr(&output);
        assert!(message.contains("other settings"), "{message}");
    }
}

#[test]
fn splits_of_one_name_are_told_apart_by_the_folders_around_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    for (ix, place) in ["p1", "p2", "p3"].iter().enumerate() {
        let seed = 10 * ix as u32;
        write_images(&path(place).join("unlabel/image_0"), seed..seed + 2);
    }
    let set = path("set");
    ingest_json("soda10m", &path("p1"), &set, &[]);
    assert_eq!(
        ingest_json("soda10m", &path("p2"), &set, &[])["frames_written"],
        2
    );
    let named = format!("third={}", path("p3").display());
    assert_eq!(
        ingest_json("soda10m", Path::new(&named), &set, &[])["frames_written"],
        2
    );
    assert_good(&set, 6);
    let ids: Vec<String> = frames_of(&set).into_keys().collect();
    assert!(
        ids.iter().all(|id| id.starts_with("unlabel/image_0/")),
        "{ids:?}"
    );
    for place in ["p1", "p2", "p3"] {
        assert_eq!(
            ingest_json("soda10m", &path(place), &set, &[])["frames_kept"],
            2,
            "{place}"
        );
    }
}

/// Writes a tar of `count` images.
fn write_tar(path: &Path, count: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut tar = tar::Builder::new(fs::File::create(path).unwrap());
    for seed in 0..count {
        let image = jpeg(Size::new(300, 240), 10 * count + seed);
        let mut header = tar::Header::new_gnu();
        header.set_size(image.len() as u64);
        let name = format!("{seed}.jpg");
        tar.append_data(&mut header, name, &image[..]).unwrap();
    }
    tar.finish().unwrap();
}

#[test]
fn archives_of_one_name_below_one_folder_are_told_apart() {
    for (first, second) in [("d1", "d2"), ("d2", "d1")] {
        let (dir, input, set) = places();
        let run = |options: &[&str]| {
            let summary = ingest_json("images", &input, &set, options);
            let count = |name: &str| summary[name].as_u64().unwrap();
            (count("frames_written"), count("frames_kept"))
        };
        let archive = |folder: &str| input.join(folder).join("cam/x.tar");
        write_tar(&archive(first), 20);
        assert_eq!(run(&[]), (20, 0));
        // The second one takes nothing from the first, and has a name of its own.
        write_tar(&archive(second), 1);
        assert_eq!(run(&[]), (1, 20));
        assert_eq!(run(&[]), (0, 21));
        fs::remove_file(set.join(".ingest.inputs")).unwrap();
        assert_eq!(run(&[]), (0, 21));
        fs::rename(archive(first), dir.path().join("away.tar")).unwrap();
        assert_eq!(run(&[]), (0, 1));
        fs::rename(dir.path().join("away.tar"), archive(first)).unwrap();
        // One that has changed while the other is there is the same still.
        write_tar(&archive(first), 3);
        assert_eq!(run(&[]), (3, 1));
        // Nor is one read once more where it was unpacked.
        let image = jpeg(Size::new(300, 240), 10);
        fs::write(archive(second).with_file_name("0.jpg"), image).unwrap();
        assert_eq!(run(&[]), (0, 4));
        assert_good(&set, 4);
    }
}

#[test]
fn another_file_of_that_name_does_not_take_the_place_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let (set, path) = (dir.path().join("set"), |name: &str| dir.path().join(name));
    let write = |folder: &str, name: &str, steps: i64| {
        fs::create_dir_all(path(folder)).unwrap();
        fs::write(path(folder).join("x.tfrecord"), drive(name, steps)).unwrap();
    };
    write("a/training", "drive_2", 2);
    write("b/training", "drive_3", 3);
    ingest_json("waymo", &path("a/training"), &set, &[]);
    let refused = || {
        let output = ingest_to("waymo", &path("b/training"), &set, &[]);
        let message = stderr(&output);
        assert!(message.contains("both named"), "{message}");
        assert_good(&set, 4);
    };
    refused();
    // Nor where the first one's disk is away, or its path is not known.
    fs::rename(path("a"), path("away")).unwrap();
    refused();
    fs::remove_file(set.join(".ingest.inputs")).unwrap();
    refused();
    // Moved and more of it, it is the same.
    write("c/training", "drive_2", 5);
    assert_eq!(
        ingest_json("waymo", &path("c/training"), &set, &[])["frames_written"],
        10
    );
    assert_good(&set, 10);
}

#[test]
fn inputs_are_known_again_in_any_combination() {
    let dir = tempfile::tempdir().unwrap();
    let (set, path) = (dir.path().join("set"), |name: &str| dir.path().join(name));
    write_images(&path("b1/samples"), 0..2);
    write_images(&path("b2/samples"), 0..3);
    let run = |folders: &[&str]| {
        let folders = folders.iter().map(|folder| path(folder).into_os_string());
        let options = ["--out".into(), set.clone().into(), "--json".into()];
        let args = ["images".into()].into_iter().chain(folders).chain(options);
        let output = ingest(args);
        assert!(output.status.success(), "{}", stderr(&output));
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        let count = |name: &str| summary[name].as_u64().unwrap();
        (count("frames_written"), count("frames_kept"))
    };
    assert_eq!(
        run(&["b1/samples", "b1/../b1/samples", "b2/samples"]),
        (5, 0)
    );
    fs::remove_file(set.join(".ingest.inputs")).unwrap();
    assert_eq!(run(&["b2/samples"]), (0, 3));
    fs::create_dir(path("new")).unwrap();
    fs::rename(path("b1"), path("new/b1")).unwrap();
    assert_eq!(run(&["new/b1/samples"]), (0, 2));

    // What was stored alone is not stored again beside another one of its name.
    let set = path("other");
    let run = |folder: &str| ingest_json("images", &path(folder), &set, &[]);
    run("b2/samples");
    fs::remove_file(set.join(".ingest.inputs")).unwrap();
    let both = [path("new/b1/samples"), path("b2/samples")];
    let both = both.iter().map(|path| path.as_os_str());
    let options = ["--out".as_ref(), set.as_os_str()];
    let output = ingest(["images".as_ref()].into_iter().chain(both).chain(options));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_good(&set, 5);
}

#[test]
fn an_input_for_which_no_name_is_left_replaces_no_other() {
    let (dir, input, set) = places();
    write_images(&input, 0..1);
    let path = input.canonicalize().unwrap();
    let names: Vec<&std::ffi::OsStr> = path.iter().skip(1).collect();
    // Every end of its path is the name of another input.
    for count in 1..=names.len() {
        let end: PathBuf = names[names.len() - count..].iter().collect();
        let other = dir.path().join(format!("other_{count}"));
        write_images(&other, 0..count as u32 + 1);
        let named = format!("{}={}", end.display(), other.display());
        ingest_to("images", Path::new(&named), &set, &["--max-bad", "100%"]);
    }
    let before = crate::support::tree(&set);
    let output = ingest_to("images", &input, &set, &[]);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(
        message.contains("both named") && message.contains("NAME=PATH"),
        "{message}"
    );
    assert_eq!(crate::support::tree(&set), before);
}
