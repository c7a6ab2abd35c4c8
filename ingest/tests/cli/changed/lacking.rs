//! Inputs that are damaged, cut off or away: their frames of before stay, and what is lost counts.

use super::*;

/// Frames in the set after a run that may skip whatever it has to.
#[track_caller]
fn frames_after(input: &Path, set: &Path, command: &str) -> u64 {
    ingest_json(command, input, set, &["--max-bad", "100%"]);
    let frames = Catalog::open(set).unwrap().num_frames();
    assert_good(set, frames);
    frames
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
    // What is not kept was not read, as far as the counts go.
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&summary["frames_written"], &summary["bytes_in"]),
        (&json!(0), &json!(0))
    );
    assert_good(&set, 8);
    fs::write(&file, &whole).unwrap();
    assert_eq!(ingest_json("waymo", &input, &set, &[])["frames_kept"], 8);
}

#[test]
fn what_was_read_of_a_damaged_file_is_not_given_up_for_less() {
    let (_dir, input, set) = places();
    let (file, whole) = (input.join("a.tfrecord"), drive("a", 4));
    let step = whole.len() / 4;
    fs::write(&file, &whole[..3 * step + 9]).unwrap();
    assert_eq!(frames_after(&input, &set, "waymo"), 6);
    fs::write(&file, &whole[..step + 9]).unwrap();
    let output = ingest_to("waymo", &input, &set, &[]);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("are kept"), "{message}");
    assert_good(&set, 6);
    // More of it is taken, and all of it.
    fs::write(&file, &whole[..whole.len() - 9]).unwrap();
    assert_eq!(frames_after(&input, &set, "waymo"), 6);
    fs::write(&file, &whole).unwrap();
    assert_eq!(frames_after(&input, &set, "waymo"), 8);
    assert_as_made_anew("waymo", &input, &set, &[]);
}

#[test]
fn what_was_read_of_a_damaged_archive_is_not_given_up_for_less() {
    let (_dir, input, set) = places();
    let (archive, whole) = (input.join("x.tar"), tar_of_small(60));
    // A member is a block and its content, which is padded to blocks.
    let member = whole.len() / 60 / 512 * 512;
    for (members, expected) in [(55, 55), (20, 55), (58, 58), (2, 58)] {
        fs::write(&archive, &whole[..members * member + 520]).unwrap();
        let output = ingest_to("images", &input, &set, &["--max-bad", "100%"]);
        let is_less = (members as u64) < expected;
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(i32::from(is_less)), "{message}");
        assert_eq!(message.contains("are kept"), is_less, "{message}");
        assert_good(&set, expected);
    }
    fs::write(&archive, &whole).unwrap();
    assert_eq!(frames_after(&input, &set, "images"), 60);
    assert_as_made_anew("images", &input, &set, &[]);
}

#[test]
fn a_folder_that_cannot_be_read_any_more_costs_no_frame() {
    let (dir, input, set) = places();
    with_mode(dir.path().to_owned(), 0o777);
    for (folder, seeds) in [("a", 0..2), ("b", 2..5), ("c", 5..6)] {
        write_images(&input.join(folder), seeds);
    }
    let run = || {
        let paths = [input.as_os_str(), "--out".as_ref(), set.as_os_str()];
        let options = ["--max-bad".as_ref(), "1".as_ref()];
        as_nobody(&[&["images".as_ref()], &paths[..], &options].concat())
    };
    // c is closed from the beginning, then b and a are, one after the other.
    for (closed, is_kept) in [("c", false), ("b", true), ("a", true)] {
        with_mode(input.join(closed), 0o000);
        let Some(output) = run() else { return };
        let message = stderr(&output);
        assert_eq!(output.status.success(), !is_kept, "{message}");
        assert!(
            !is_kept || message.contains("unreadable-folder at") && message.contains("are kept"),
            "{message}"
        );
        assert_good(&set, 5);
    }
    for folder in ["a", "b", "c"] {
        with_mode(input.join(folder), 0o755);
    }
    let output = run().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_good(&set, 6);
    // Of a whole folder too.
    with_mode(input.join("b"), 0o000);
    let output = run().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_good(&set, 6);
    with_mode(input.join("b"), 0o755);
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
fn an_archive_that_is_empty_by_now_costs_no_shard() {
    let (_dir, input, set) = places();
    let (archive, whole) = (input.join("x.tar"), tar_of_small(2_050));
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
