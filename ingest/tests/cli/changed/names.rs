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
    let output = ingest_to("waymo", &input, &set, &[]);
    assert!(
        stderr(&output).contains("other settings"),
        "{}",
        stderr(&output)
    );
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

#[test]
fn archives_of_one_name_below_one_folder_are_told_apart() {
    let (_dir, input, set) = places();
    for (ix, folder) in ["d1/cam", "d2/cam"].iter().enumerate() {
        fs::create_dir_all(input.join(folder)).unwrap();
        let mut tar =
            tar::Builder::new(fs::File::create(input.join(folder).join("x.tar")).unwrap());
        let image = jpeg(Size::new(300, 240), ix as u32);
        let mut header = tar::Header::new_gnu();
        header.set_size(image.len() as u64);
        tar.append_data(&mut header, "0.jpg", &image[..]).unwrap();
        tar.finish().unwrap();
    }
    assert_eq!(
        ingest_json("images", &input, &set, &[])["frames_written"],
        2
    );
    assert_eq!(ingest_json("images", &input, &set, &[])["frames_kept"], 2);
    assert_good(&set, 2);
}

#[test]
fn another_file_of_that_name_does_not_take_the_place_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let set = dir.path().join("set");
    for (folder, steps) in [("a", 2), ("b", 3)] {
        let folder = dir.path().join(folder).join("training");
        fs::create_dir_all(&folder).unwrap();
        fs::write(
            folder.join("x.tfrecord"),
            drive(&format!("drive_{steps}"), steps),
        )
        .unwrap();
    }
    ingest_json("waymo", &dir.path().join("a/training"), &set, &[]);
    let output = ingest_to("waymo", &dir.path().join("b/training"), &set, &[]);
    assert!(
        stderr(&output).contains("both named"),
        "{}",
        stderr(&output)
    );
    assert_good(&set, 4);
}
