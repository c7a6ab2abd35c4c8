//! Waymo's files as people have them: compressed, in tars, twice, beside what else a download
//! leaves, and those of the other releases.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use ingest::source::waymo::messages::{EndToEndFrame, Frame};
use prost::Message;

use crate::support::{
    StoredFrame, assert_refused, framed, frames_of, ingest, ingest_json, ingest_to, record,
    skipped_in, stderr, tree, write_waymo,
};

/// Name of the file that holds `drive`.
fn file_of(drive: &str) -> String {
    format!("segment-{drive}_with_camera_labels.tfrecord")
}

fn drive(name: &str, steps: i64) -> Vec<u8> {
    (0..steps)
        .flat_map(|step| framed(&record(name, step)))
        .collect()
}

fn put(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn write_tar(path: &Path, members: &[(&str, &[u8])]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut tar = tar::Builder::new(File::create(path).unwrap());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *content).unwrap();
    }
    tar.finish().unwrap();
}

/// Names of the shard files of a set.
fn shards(set: &Path) -> Vec<String> {
    let files = tree(set).into_keys();
    files.filter(|name| name.ends_with(".parquet")).collect()
}

fn splits(frames: &BTreeMap<String, StoredFrame>) -> BTreeSet<Option<String>> {
    frames
        .values()
        .map(|(meta, _)| meta.split.clone())
        .collect()
}

#[test]
fn a_compressed_file_gives_the_frames_of_the_plain_one_whatever_it_is_called() {
    let dir = tempfile::tempdir().unwrap();
    let plain = drive("drive_a", 3);
    for (name, content) in [
        ("plain/training/a.tfrecord", plain.clone()),
        ("gz/training/a.tfrecord.gz", gzip(&plain)),
        ("hidden/training/a.tfrecord", gzip(&plain)),
        (
            "zst/training/a.tfrecord.zst",
            zstd::stream::encode_all(&plain[..], 1).unwrap(),
        ),
    ] {
        put(&dir.path().join(name), &content);
    }
    let read = |folder: &str| {
        let out = dir.path().join(format!("out_{folder}"));
        ingest_json("waymo", &dir.path().join(folder), &out, &[]);
        let mut frames = frames_of(&out);
        frames.values_mut().for_each(|(meta, _)| {
            meta.source = meta.source.replace(".gz", "").replace(".zst", "");
        });
        frames
    };
    let expected = read("plain");
    assert_eq!(expected.len(), 6);
    for folder in ["gz", "hidden", "zst"] {
        assert!(read(folder) == expected, "{folder}");
    }
}

#[test]
fn a_truncated_compressed_file_gives_the_records_before() {
    let dir = tempfile::tempdir().unwrap();
    let packed = gzip(&drive("drive_a", 3));
    let input = dir.path().join("in/a.tfrecord.gz");
    put(&input, &packed[..packed.len() * 5 / 6]);
    let out = dir.path().join("out");
    ingest_json("waymo", &input, &out, &["--max-bad", "100%"]);
    assert_eq!(frames_of(&out).len(), 4);
    let second = drive("drive_a", 2).len();
    assert_eq!(
        skipped_in(&out),
        [(
            format!("in/a.tfrecord.gz@{second}"),
            "truncated-tfrecord".to_owned()
        )]
    );
}

#[test]
fn an_official_tar_is_read_where_it_lies_and_makes_the_set_of_what_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (drive("drive_a", 2), drive("drive_b", 1));
    let (name_a, name_b) = (file_of("drive_a"), file_of("drive_b"));
    for (name, content) in [(&name_a, &a), (&name_b, &b)] {
        put(&dir.path().join("unpacked/training").join(name), content);
    }
    let members: [(&str, &[u8]); 3] = [(&name_a, &a), ("LICENSE", b"text"), (&name_b, &b)];
    let official = dir.path().join("tars/training/training_0000.tar");
    write_tar(&official, &members);
    let browser = dir
        .path()
        .join("down/archived_files_training_training_0000.tar");
    write_tar(&browser, &members);

    let unpacked = dir.path().join("out_unpacked");
    ingest_json("waymo", &dir.path().join("unpacked"), &unpacked, &[]);
    let expected = frames_of(&unpacked);
    assert_eq!(expected.len(), 6);
    assert_eq!(splits(&expected), [Some("training".to_owned())].into());
    for (ix, input) in [&dir.path().join("tars"), &official, &browser]
        .into_iter()
        .enumerate()
    {
        let out = dir.path().join(format!("out_{ix}"));
        ingest_json("waymo", input, &out, &[]);
        assert!(frames_of(&out) == expected, "{input:?}");
        assert_eq!(shards(&out), shards(&unpacked));
    }
}

#[test]
fn a_truncated_tar_gives_its_whole_members_and_names_what_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let tar = dir.path().join("training/training_0000.tar");
    let (a, b) = (drive("drive_a", 1), drive("drive_b", 1));
    write_tar(
        &tar,
        &[(&file_of("drive_a"), &a), (&file_of("drive_b"), &b)],
    );
    let bytes = fs::read(&tar).unwrap();
    fs::write(&tar, &bytes[..bytes.len() - 1024 - b.len() / 2]).unwrap();
    let out = dir.path().join("out");
    ingest_json("waymo", &tar, &out, &["--max-bad", "100%"]);
    assert_eq!(frames_of(&out).len(), 2);
    let skipped = skipped_in(&out);
    assert_eq!(skipped.len(), 1);
    assert!(skipped[0].0.starts_with("training/training_0000.tar@"));
    assert_eq!(skipped[0].1, "truncated-archive");
}

#[test]
fn the_end_to_end_release_gives_eight_cameras_of_every_moment() {
    let dir = tempfile::tempdir().unwrap();
    let moment = |index: i64| {
        let mut frame =
            Frame::decode(&record(&format!("8e737334b520-{index:03}"), index)[..]).unwrap();
        frame.timestamp_micros = None;
        let images = frame.images.clone();
        for camera in [2, 3, 5, 6, 7, 8] {
            let mut image = images[0].clone();
            image.name = Some(camera);
            frame.images.push(image);
        }
        let wrapped = EndToEndFrame { frame: Some(frame) };
        framed(&wrapped.encode_to_vec())
    };
    let name = "val_202504211836-202504220845.tfrecord-00000-of-00093";
    put(
        &dir.path().join("e2e").join(name),
        &[moment(7), moment(85)].concat(),
    );
    let out = dir.path().join("out");
    let summary = ingest_json("waymo", &dir.path().join("e2e"), &out, &[]);
    assert_eq!(
        (&summary["frames_written"], &summary["frames_skipped"]),
        (&16.into(), &0.into())
    );
    let frames = frames_of(&out);
    let (meta, _) = &frames["8e737334b520-085/0/REAR_LEFT"];
    assert_eq!(meta.segment.as_deref(), Some("8e737334b520"));
    assert_eq!(
        (meta.split.as_deref(), meta.timestamp_micros),
        (Some("validation"), None)
    );
}

#[test]
fn a_drive_that_lies_there_several_times_is_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let a = drive("drive_a", 2);
    let name = file_of("drive_a");
    put(&dir.path().join("in/training").join(&name), &a);
    put(&dir.path().join("in/copy").join(&name), &a);
    put(
        &dir.path().join("in/v2/camera_image/drive_a.parquet"),
        b"never read",
    );
    write_tar(
        &dir.path().join("in/training/training_0000.tar"),
        &[(&name, &a), (&file_of("drive_b"), &drive("drive_b", 1))],
    );
    let out = dir.path().join("out");
    let summary = ingest_json("waymo", &dir.path().join("in"), &out, &[]);
    assert_eq!(
        (&summary["frames_written"], &summary["frames_skipped"]),
        (&6.into(), &0.into())
    );
    assert_eq!(shards(&out).len(), 2 + 1);

    // The same, given one by one.
    let out = dir.path().join("out_2");
    let inputs = ["in/copy", "in/v2", "in/training"].map(|folder| dir.path().join(folder));
    let mut args: Vec<&std::ffi::OsStr> = vec!["waymo".as_ref()];
    args.extend(inputs.iter().map(|input| input.as_os_str()));
    args.extend(["--out".as_ref(), out.as_os_str()]);
    let output = ingest(args);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(frames_of(&out).len(), 6);
}

#[test]
fn what_a_download_leaves_beside_data_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    write_waymo(&dir.path().join("in"), 1, 1);
    let begun = &drive("drive_9", 1)[..1000];
    for name in [
        "segment-drive_1.tfrecord_.gstmp",
        "segment-drive_2.tfrecord.part",
        "segment-drive_3.tfrecord.aria2",
        "segment-drive_0.tfrecord.idx",
        "segment-drive_0.tfrecord.md5",
    ] {
        put(&dir.path().join("in").join(name), begun);
    }
    for (ix, input) in ["in", "in/*.tfrecord*"].iter().enumerate() {
        let out = dir.path().join(ix.to_string());
        let summary = ingest_json("waymo", &dir.path().join(input), &out, &[]);
        assert_eq!(
            (&summary["frames_written"], &summary["frames_skipped"]),
            (&2.into(), &0.into()),
            "{input}"
        );
    }
    let alone = dir.path().join("in/segment-drive_1.tfrecord_.gstmp");
    assert_refused(
        "waymo",
        &alone,
        &[],
        &["nothing to read", "partial-download"],
    );
}

#[test]
fn motion_files_are_named_and_other_files_beside_them_read() {
    let dir = tempfile::tempdir().unwrap();
    let scenario: Vec<u8> = (0..91)
        .flat_map(|step| {
            let time = f64::from(step) * 0.1;
            [&[0x09][..], &time.to_le_bytes()].concat()
        })
        .collect();
    let motion = dir
        .path()
        .join("uncompressed/scenario/training/training.tfrecord-00000-of-01000");
    put(&motion, &framed(&scenario));
    let expected = ["motion data set", "no camera images", "end-to-end"];
    assert_refused("waymo", &motion, &[], &expected);
    assert_refused("waymo", &dir.path().join("uncompressed"), &[], &expected);

    write_waymo(&dir.path().join("uncompressed/perception"), 1, 1);
    let out = dir.path().join("out");
    let output = ingest_to("waymo", &dir.path().join("uncompressed"), &out, &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(frames_of(&out).len(), 2);
}

#[test]
fn a_file_of_other_messages_is_a_named_skip() {
    let dir = tempfile::tempdir().unwrap();
    let example = framed(b"\x0A\x0F\x0A\x0D\x0A\x0Bimage/width");
    put(&dir.path().join("in/a.tfrecord"), &example.repeat(3));
    let out = dir.path().join("out");
    ingest_json(
        "waymo",
        &dir.path().join("in"),
        &out,
        &["--max-bad", "100%"],
    );
    assert_eq!(
        skipped_in(&out),
        [("in/a.tfrecord@0".to_owned(), "no-frames".to_owned())]
    );
}

#[test]
fn splits_are_those_of_the_bucket_and_of_nothing_above_the_input() {
    let dir = tempfile::tempdir().unwrap();
    // The folder of the project is no split.
    let root = dir.path().join("validation/project/waymo");
    for (ix, (place, _)) in PLACES.iter().enumerate() {
        let name = format!("drive_{ix}");
        put(&root.join(place.replace("NAME", &name)), &drive(&name, 1));
    }
    let out = dir.path().join("out");
    ingest_json("waymo", &root, &out, &[]);
    let frames = frames_of(&out);
    for (ix, (place, split)) in PLACES.iter().enumerate() {
        let (meta, _) = &frames[&format!("drive_{ix}/0/FRONT")];
        assert_eq!(meta.split.as_deref(), *split, "{place}");
    }
}

const PLACES: [(&str, Option<&str>); 6] = [
    ("segment-NAME.tfrecord", None),
    (
        "individual_files/training/segment-NAME.tfrecord",
        Some("training"),
    ),
    (
        "individual_files_validation_segment-NAME_with_camera_labels.tfrecord",
        Some("validation"),
    ),
    (
        "testing_3d_camera_only_detection/segment-NAME.tfrecord",
        Some("testing_3d_camera_only_detection"),
    ),
    (
        "domain_adaptation/training/segment-NAME.tfrecord",
        Some("domain_adaptation"),
    ),
    (
        "d/individual_files_domain_adaptation_testing_segment-NAME.tfrecord",
        Some("domain_adaptation"),
    ),
];
