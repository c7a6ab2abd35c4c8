//! Inputs that change, move, arrive late or collide: nothing is lost, nothing is kept that is no more.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    assert_same_tree, follow, framed, frames_of, ingest, ingest_json, ingest_to, jpeg, record,
    skipped_in, stderr, write_waymo,
};
use schemas::catalog::{Catalog, shard_paths};
use schemas::geom::Size;

/// Bytes of a drive of `steps` time steps with two frames each.
fn drive(name: &str, steps: i64) -> Vec<u8> {
    (0..steps)
        .flat_map(|step| framed(&record(name, step)))
        .collect()
}

fn write_images(dir: &Path, seeds: std::ops::Range<u32>) {
    fs::create_dir_all(dir).unwrap();
    for seed in seeds {
        let name = dir.join(format!("{seed}.jpg"));
        fs::write(name, jpeg(Size::new(300, 224 + seed), seed)).unwrap();
    }
}

/// A folder for the test, its input folder and its set.
fn places() -> (TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (input, set) = (dir.path().join("in"), dir.path().join("set"));
    fs::create_dir(&input).unwrap();
    (dir, input, set)
}

#[track_caller]
fn assert_good(set: &Path, frames: u64) {
    let output = ingest(["verify".as_ref(), set.as_os_str(), "--json".as_ref()]);
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&verdict["bad"], output.status.code()),
        (&json!([]), Some(0))
    );
    assert_eq!(Catalog::open(set).unwrap().num_frames(), frames);
}

#[track_caller]
fn assert_as_made_anew(command: &str, input: &Path, set: &Path, options: &[&str]) {
    let fresh = set.with_extension("fresh");
    ingest_to(command, input, &fresh, options);
    assert_same_tree(set, &fresh);
    fs::remove_dir_all(&fresh).unwrap();
}

#[test]
fn a_truncated_or_empty_file_is_read_again_when_it_is_whole() {
    let (_dir, input, set) = places();
    let whole = drive("a", 4);
    let file = input.join("a.tfrecord");
    for (cut, frames, reason) in [
        (0, 0, "empty-file"),
        (whole.len() / 2, 2, "truncated-tfrecord"),
    ] {
        fs::write(&file, &whole[..cut]).unwrap();
        for _ in 0..2 {
            let first = ingest_json("waymo", &input, &set, &["--max-bad", "100%"]);
            assert_eq!(first["frames_written"], frames, "read again each time");
            assert_eq!(skipped_in(&set).len(), 1);
            assert_eq!(skipped_in(&set)[0].1, reason);
        }
    }
    fs::write(&file, &whole).unwrap();
    let again = ingest_json("waymo", &input, &set, &[]);
    assert_eq!(again["frames_written"], 8);
    assert_good(&set, 8);
    assert_as_made_anew("waymo", &input, &set, &[]);
    let kept = ingest_json("waymo", &input, &set, &[]);
    assert_eq!(
        (&kept["frames_written"], &kept["frames_kept"]),
        (&json!(0), &json!(8))
    );
}

#[test]
fn a_file_of_another_size_is_made_again_and_one_of_other_bytes_on_request() {
    let (_dir, input, set) = places();
    let file = input.join("a.tfrecord");
    fs::write(&file, drive("a", 2)).unwrap();
    ingest_json("waymo", &input, &set, &[]);
    fs::write(&file, drive("a", 3)).unwrap();
    assert_eq!(ingest_json("waymo", &input, &set, &[])["frames_written"], 6);

    // As long, but of another drive.
    fs::write(&file, drive("b", 3)).unwrap();
    assert_eq!(ingest_json("waymo", &input, &set, &[])["frames_written"], 0);
    let rechecked = ingest_json("waymo", &input, &set, &["--recheck"]);
    assert_eq!(rechecked["frames_written"], 6);
    assert!(frames_of(&set).keys().all(|id| id.starts_with("b/")));
    assert_good(&set, 6);
    assert_eq!(
        ingest_json("waymo", &input, &set, &["--recheck"])["frames_written"],
        0
    );
}

#[test]
fn an_image_of_another_size_makes_its_shard_again() {
    let (_dir, input, set) = places();
    write_images(&input, 0..3);
    ingest_json("images", &input, &set, &[]);
    let replaced = jpeg(Size::new(400, 300), 9);
    fs::write(input.join("1.jpg"), &replaced).unwrap();
    assert_eq!(
        ingest_json("images", &input, &set, &[])["frames_written"],
        3
    );
    assert_as_made_anew("images", &input, &set, &[]);

    // As long, with one byte of a coefficient another.
    let mut other = replaced;
    let at = other.len() - 20;
    other[at] ^= 1;
    fs::write(input.join("1.jpg"), &other).unwrap();
    assert_eq!(
        ingest_json("images", &input, &set, &[])["frames_written"],
        0
    );
    let rechecked = ingest_json("images", &input, &set, &["--recheck", "--max-bad", "1"]);
    assert!(rechecked["shards_written"] == 1, "{rechecked}");
    assert_as_made_anew("images", &input, &set, &["--max-bad", "1"]);
}

#[test]
fn a_whole_file_is_not_given_up_for_a_part_of_it() {
    let (_dir, input, set) = places();
    let (file, whole) = (input.join("a.tfrecord"), drive("a", 4));
    fs::write(&file, &whole).unwrap();
    ingest_json("waymo", &input, &set, &[]);
    fs::write(&file, &whole[..whole.len() - 9]).unwrap();
    let output = ingest_to("waymo", &input, &set, &[]);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(
        message.contains("in/a.tfrecord") && message.contains("truncated"),
        "{message}"
    );
    assert_good(&set, 8);
    fs::write(&file, &whole).unwrap();
    assert_eq!(ingest_json("waymo", &input, &set, &[])["frames_kept"], 8);
}

#[test]
fn what_lies_behind_a_damaged_place_counts_as_bad() {
    let (_dir, input, set) = places();
    let mut file = drive("a", 200);
    // The length of the second record.
    file[drive("a", 1).len()] ^= 0x40;
    fs::write(input.join("a.tfrecord"), file).unwrap();
    fs::write(input.join("b.tfrecord"), drive("b", 200)).unwrap();
    let output = ingest_to("waymo", &input, &set, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&summary["frames_written"], &summary["frames_skipped"]),
        (&json!(402), &json!(1))
    );
    let unread = summary["frames_unread"].as_u64().unwrap();
    // 199 records of two frames, as long as the one that could be read.
    assert!((380..=440).contains(&unread), "{unread}");
    assert_good(&set, 402);
    let output = ingest_to("waymo", &input, &set, &["--max-bad", "60%"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn a_shard_that_was_deleted_is_made_again_whatever_it_is_now() {
    let (_dir, input, set) = places();
    write_waymo(&input, 3, 2);
    ingest_json("waymo", &input, &set, &[]);
    let shard = shard_paths(&set).unwrap()[1].clone();
    let file = input.join("segment-drive_1.tfrecord");
    for parts in [&["0/1"][..], &["0/2", "1/2"]] {
        fs::write(&file, drive("drive_1", 3 + parts.len() as i64)).unwrap();
        fs::remove_file(&shard).unwrap();
        let message = Catalog::open(&set).unwrap_err().to_string();
        assert!(message.contains("is gone"), "{message}");
        for part in parts {
            ingest_json("waymo", &input, &set, &["--part", part]);
        }
        let output = ingest(["catalog".as_ref(), set.as_os_str()]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert_good(&set, 8 + 2 * (3 + parts.len() as u64));
        assert_as_made_anew("waymo", &input, &set, &[]);
    }
}

#[test]
fn a_reader_that_misses_a_shard_says_what_makes_it_again() {
    let (dir, input, set) = places();
    write_images(&input, 0..2);
    let name = format!("it's new={}", input.display());
    ingest_json("images", Path::new(&name), &set, &["--quality", "90"]);
    write_images(&dir.path().join("z"), 4..5);
    ingest_json("images", &dir.path().join("z"), &set, &["--quality", "90"]);
    let before = crate::support::tree(&set);
    fs::remove_file(&shard_paths(&set).unwrap()[0]).unwrap();
    let output = ingest(["inspect".as_ref(), set.as_os_str()]);
    let message = stderr(&output);
    let (advice, other) = message.split_once(", or go on without").unwrap();
    assert!(other.contains("`ingest catalog "), "{message}");
    follow(&advice[advice.find("run `").unwrap()..], &set);
    assert_eq!(crate::support::tree(&set), before);
}

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
fn an_archive_that_is_empty_by_now_costs_no_shard() {
    let (_dir, input, set) = places();
    let mut tar = tar::Builder::new(Vec::new());
    let small = jpeg(Size::new(16, 16), 1);
    for ix in 0..2_050 {
        let mut header = tar::Header::new_gnu();
        header.set_size(small.len() as u64);
        tar.append_data(&mut header, format!("{ix}.jpg"), &small[..])
            .unwrap();
    }
    let (archive, whole) = (input.join("x.tar"), tar.into_inner().unwrap());
    fs::write(&archive, &whole).unwrap();
    ingest_json("images", &input, &set, &[]);
    for (bytes, part) in [
        (0, "0/1"),
        (whole.len() / 3, "1/2"),
        (whole.len() / 3, "0/1"),
    ] {
        fs::write(&archive, &whole[..bytes]).unwrap();
        let output = ingest_to("images", &input, &set, &["--part", part]);
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(
            message.contains("its frames of before are kept"),
            "{message}"
        );
        assert_good(&set, 2_050);
    }
}

#[test]
fn a_disk_that_is_not_there_costs_no_frame() {
    let (dir, input, set) = places();
    let disk = dir.path().join("disk");
    write_images(&disk, 0..3);
    for seed in 0..3 {
        let name = format!("{seed}.jpg");
        std::os::unix::fs::symlink(disk.join(&name), input.join(&name)).unwrap();
    }
    ingest_json("images", &input, &set, &[]);
    fs::rename(&disk, dir.path().join("away")).unwrap();
    let output = ingest_to("images", &input, &set, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("are kept"), "{}", stderr(&output));
    assert_good(&set, 3);
    fs::rename(dir.path().join("away"), &disk).unwrap();
    assert_eq!(ingest_json("images", &input, &set, &[])["frames_kept"], 3);
    fs::write(disk.join("1.jpg"), "").unwrap();
    assert_eq!(
        ingest_to("images", &input, &set, &[]).status.code(),
        Some(1)
    );
    assert_good(&set, 3);
}

#[test]
fn a_shard_of_the_same_size_is_adopted_after_parts() {
    let (_dir, input, set) = places();
    write_images(&input, 0..2);
    ingest_json("images", &input, &set, &[]);
    let file = input.join("1.jpg");
    let mut bytes = fs::read(&file).unwrap();
    // What lies behind the image changes nothing but its checksum.
    bytes.push(1);
    fs::write(&file, &bytes).unwrap();
    ingest_json("images", &input, &set, &[]);
    *bytes.last_mut().unwrap() = 2;
    fs::write(&file, &bytes).unwrap();
    for part in ["0/2", "1/2"] {
        ingest_json("images", &input, &set, &["--recheck", "--part", part]);
    }
    ingest_json("images", &input, &set, &[]);
    assert_good(&set, 2);
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
fn a_set_without_shards_says_what_made_them() {
    let (_dir, input, set) = places();
    write_images(&input, 0..2);
    ingest_json("images", &input, &set, &[]);
    let again = format!("other={}", input.display());
    ingest_to("images", Path::new(&again), &set, &["--max-bad", "100%"]);
    let before = crate::support::tree(&set);
    for path in shard_paths(&set).unwrap() {
        fs::remove_file(path).unwrap();
    }
    for command in ["verify", "catalog"] {
        let output = ingest([command.as_ref(), set.as_os_str()]);
        let message = stderr(&output);
        assert!(message.contains("ingest images other="), "{message}");
        if command == "catalog" {
            follow(&message[message.find('`').unwrap()..], &set);
        }
    }
    assert_eq!(crate::support::tree(&set), before);
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

#[test]
fn a_repaired_archive_of_drives_leaves_no_skip_behind() {
    let (_dir, input, set) = places();
    let mut tar = tar::Builder::new(Vec::new());
    for name in ["drive_0", "drive_1"] {
        let bytes = drive(name, 2);
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        let path = format!("segment-{name}_with_camera_labels.tfrecord");
        tar.append_data(&mut header, path, &bytes[..]).unwrap();
    }
    let whole = tar.into_inner().unwrap();
    let archive = input.join("training_0000.tar");
    fs::write(&archive, &whole[..whole.len() * 2 / 3]).unwrap();
    ingest_to("waymo", &input, &set, &[]);
    assert!(!skipped_in(&set).is_empty());
    fs::write(&archive, &whole).unwrap();
    ingest_json("waymo", &input, &set, &[]);
    assert_eq!(skipped_in(&set), []);
    assert_good(&set, 8);
    assert_as_made_anew("waymo", &input, &set, &[]);
}
