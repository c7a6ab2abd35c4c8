//! Inputs that are damaged, cut off or away: their frames of before stay, and what is lost counts.

use super::*;

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
