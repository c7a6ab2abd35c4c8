//! What is wrong with the data is reported; what is wrong with the command is one line.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{framed, ingest, ingest_json, ingest_to, record, stderr, tree, write_waymo};

fn report(out: &Path) -> Value {
    serde_json::from_slice(&fs::read(out.join("report.json")).unwrap()).unwrap()
}

#[test]
fn damage_costs_only_what_it_hits() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in");
    fs::create_dir_all(&input).unwrap();
    let good = |drive: &str| framed(&record(drive, 1));
    let mut flipped_data = good("b");
    let middle = flipped_data.len() / 2;
    flipped_data[middle] ^= 1;
    let mut flipped_length = good("c");
    flipped_length[1] ^= 1;
    let mut broken_jpeg = record("e", 2);
    let len = broken_jpeg.len();
    broken_jpeg[len - 2000..len - 1998].copy_from_slice(&[0xFF, 0xD3]); // a stray restart marker
    let files = [
        (
            "a.tfrecord",
            [
                good("a"),
                framed(b"\xFF\xFF no protobuf"),
                framed(&record("a", 2)),
            ]
            .concat(),
        ),
        (
            "b.tfrecord",
            [flipped_data, framed(&record("b", 2))].concat(),
        ),
        (
            "c.tfrecord",
            [
                framed(&record("c", 0)),
                flipped_length,
                framed(&record("c", 2)),
            ]
            .concat(),
        ),
        (
            "d.tfrecord",
            [good("d"), good("d")[..500].to_vec()].concat(),
        ),
        ("e.tfrecord", framed(&broken_jpeg)),
        ("f.tfrecord", [good("f"), good("f")].concat()),
        ("g.tfrecord", Vec::new()),
    ];
    for (name, bytes) in &files {
        fs::write(input.join(name), bytes).unwrap();
    }
    let out = dir.path().join("out");
    let output = ingest_to("waymo", &input, &out, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("--max-bad 1%"),
        "{}",
        stderr(&output)
    );

    let report = report(&out);
    let length = framed(&record("c", 0)).len();
    let items: Vec<(&str, &str)> = report["skipped_items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            (
                item["source"].as_str().unwrap(),
                item["reason"].as_str().unwrap(),
            )
        })
        .collect();
    let at = |file: &str, offset: usize| format!("in/{file}.tfrecord@{offset}");
    let first = good("a").len();
    let expected = [
        (at("a", first), "bad-protobuf"),
        (at("b", 0), "bad-data-crc"),
        (at("c", length), "bad-length-crc"),
        (at("d", good("d").len()), "truncated-tfrecord"),
        (at("e", 0), "corrupt-jpeg"),
        (at("f", good("f").len()), "duplicate-frame"),
        (at("f", good("f").len()), "duplicate-frame"),
        (at("g", 0), "empty-file"),
    ];
    let expected: Vec<(&str, &str)> = expected
        .iter()
        .map(|(source, reason)| (source.as_str(), *reason))
        .collect();
    assert_eq!(items, expected);
    assert_eq!(report["frames_written"], json!(4 + 2 + 2 + 2 + 1 + 2));
    assert_eq!(report["skipped"]["duplicate-frame"], json!(2));

    // The limit decides the exit code and nothing else.
    let allowed = ingest_json(
        "waymo",
        &input,
        &dir.path().join("allowed"),
        &["--max-bad", "10"],
    );
    // Behind the damaged lengths of c and d lie about two frames besides.
    let (skipped, unread) = (&allowed["frames_skipped"], &allowed["frames_unread"]);
    assert_eq!((skipped, unread), (&json!(8), &json!(2)));
    assert_eq!(tree(&out), tree(&dir.path().join("allowed")));
}

/// Runs a command that must fail with one line that holds `expected`.
#[track_caller]
fn refused<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>, expected: &[&str]) {
    let output = ingest(args);
    let message = stderr(&output);
    assert!(matches!(output.status.code(), Some(1 | 2)), "{message}");
    assert_eq!(message.trim_end().lines().count(), 1, "{message}");
    assert!(
        expected.iter().all(|text| message.contains(text)),
        "{message}"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn a_wrong_input_is_one_line_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    fs::create_dir_all(path("empty")).unwrap();
    fs::write(
        path("text.txt"),
        "this is no TFRecord, but long enough for a header",
    )
    .unwrap();
    for (command, input, expected) in [
        ("waymo", path("missing"), "no such file or folder"),
        ("waymo", path("*.tfrecord"), "no file matches"),
        ("waymo", path("empty"), "holds no TFRecord files"),
        ("waymo", path("text.txt"), "not a TFRecord file"),
        ("soda10m", path("missing"), "no such file or folder"),
        ("soda10m", path("empty"), "holds no images"),
        (
            "images",
            path("text.txt"),
            "neither a folder nor an archive",
        ),
    ] {
        refused(
            [command, &input, "--out", &path("out")],
            &[expected, &input],
        );
        assert!(!dir.path().join("out").exists());
    }
    refused(["verify", &path("missing")], &["no such folder"]);
    refused(["inspect", &path("empty")], &["no frames/ folder"]);
}

#[test]
fn an_output_that_cannot_be_used_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    write_waymo(&dir.path().join("in"), 1, 1);
    let to = |out: &str, more: &[&str]| -> Vec<String> {
        let base = [
            "waymo".to_owned(),
            path("in"),
            "--out".to_owned(),
            path(out),
        ];
        base.into_iter()
            .chain(more.iter().map(ToString::to_string))
            .collect()
    };
    fs::create_dir_all(path("foreign")).unwrap();
    fs::write(path("foreign/letter.txt"), "dear").unwrap();
    refused(to("foreign", &[]), &["not empty and holds no shards"]);
    fs::write(path("file"), "").unwrap();
    refused(to("file", &[]), &["output folder", "file"]);
    refused(to("file/inner", &[]), &["output folder", "inner"]);

    assert!(ingest(to("good", &[])).status.success());
    let before = tree(&dir.path().join("good"));
    refused(
        to("good", &["--quality", "80"]),
        &["other settings", "quality 93 instead of 80"],
    );
    refused(
        to("good", &["--levels", "1,2"]),
        &["other settings", "levels"],
    );
    let lock = fs::File::open(path("good/.ingest.lock")).unwrap();
    lock.lock().unwrap();
    refused(to("good", &[]), &["another ingest is writing"]);
    refused(
        to("good", &["--part", "0/2"]),
        &["another ingest is writing"],
    );
    drop(lock);
    assert_eq!(tree(&dir.path().join("good")), before);

    let shard = fs::read_dir(path("good/frames"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let bytes = fs::read(&shard).unwrap();
    let needle = b"multisiam.format_version";
    let at = bytes
        .windows(needle.len())
        .rposition(|window| window == needle)
        .unwrap();
    let version = at + bytes[at..].iter().position(|&byte| byte == b'3').unwrap();
    let mut newer = bytes.clone();
    newer[version] = b'7';
    fs::write(&shard, newer).unwrap();
    refused(to("good", &[]), &["v7", "reads v3"]);
}
