//! Inputs that change, move, arrive late or collide: nothing is lost, nothing is kept that is no more.

mod lacking;
mod names;
mod replaced;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    as_nobody, assert_same_tree, follow, framed, frames_of, ingest, ingest_json, ingest_to, jpeg,
    record, skipped_in, stderr, with_mode, write_waymo,
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

/// A tar of `count` images that are equal.
fn tar_of_small(count: u32) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let small = jpeg(Size::new(16, 16), 1);
    for ix in 0..count {
        let mut header = tar::Header::new_gnu();
        header.set_size(small.len() as u64);
        tar.append_data(&mut header, format!("{ix}.jpg"), &small[..])
            .unwrap();
    }
    tar.into_inner().unwrap()
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
