//! What a user can get wrong: one line that says what, where and what to do, exit code 1 or 2,
//! nothing half-written.

use std::fs;
use std::path::Path;

use crate::programs::{demo_set, ok, run};

/// Runs `line`, which must fail with one line that contains all of `expected`.
fn refused(dir: &Path, line: &str, expected: &[&str]) {
    let done = run(dir, line);
    assert!(
        matches!(done.code, Some(1 | 2)),
        "{line}: exit {:?}\n{}",
        done.code,
        done.stderr
    );
    assert_eq!(done.stdout, "", "{line}");
    for part in expected {
        assert!(
            done.stderr.contains(part),
            "{line}: {part:?} is not in {:?}",
            done.stderr
        );
    }
    // clap adds usage lines of its own to a wrong option; everything else is one line.
    let is_usage = done.stderr.contains("For more information, try '--help'");
    assert!(
        is_usage || done.stderr.trim_end().lines().count() == 1,
        "{line}: {:?}",
        done.stderr
    );
    assert!(
        !done.stderr.contains("panicked"),
        "{line}: {:?}",
        done.stderr
    );
}

#[test]
fn inputs_that_are_not_there_or_not_what_they_should_be() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    fs::create_dir(path.join("empty")).unwrap();
    fs::write(
        path.join("notes.tfrecord"),
        "this is no TFRecord, but a text of some length",
    )
    .unwrap();
    fs::write(path.join("notes.txt"), "text").unwrap();
    refused(
        path,
        "ingest waymo missing --out X",
        &["missing", "no such file"],
    );
    refused(path, "ingest waymo empty --out X", &["empty"]);
    refused(path, "ingest images empty --out X", &["empty"]);
    refused(path, "ingest soda10m empty --out X", &["empty"]);
    refused(path, "ingest waymo notes.txt --out X", &["notes.txt"]);
    refused(path, "ingest waymo --out X", &["data/waymo"]);
    assert!(
        !path.join("X/catalog.parquet").exists(),
        "nothing half-written"
    );
}

#[test]
fn outputs_that_cannot_be_written() {
    let dir = demo_set();
    fs::write(dir.join("a_file"), "x").unwrap();
    refused(dir, "ingest waymo --out a_file", &["a_file"]);
    refused(dir, "ingest waymo --out a_file/deeper", &["a_file"]);
    refused(
        dir,
        "ingest waymo --out shards/ --quality 50",
        &["shards", "settings"],
    );
    let elsewhere = dir.join("not_a_set");
    fs::create_dir_all(&elsewhere).unwrap();
    fs::write(elsewhere.join("thesis.txt"), "keep me").unwrap();
    refused(dir, "ingest waymo --out not_a_set", &["not_a_set"]);
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 1);
}

#[test]
fn sets_that_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    for line in [
        "sampler bench",
        "ingest inspect shards/",
        "ingest verify shards/",
        "trainer run --device cpu",
    ] {
        refused(path, line, &["shards", "ingest"]);
    }
    let frames = path.join("foreign/frames");
    fs::create_dir_all(&frames).unwrap();
    fs::write(frames.join("x.parquet"), "no parquet").unwrap();
    refused(
        path,
        "sampler bench foreign",
        &["foreign", "ingest catalog"],
    );
    refused(path, "ingest catalog foreign", &["x.parquet"]);
}

#[test]
fn a_shard_of_another_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    ok(dir.path(), "ingest demo --out data --frames 8");
    ok(dir.path(), "ingest soda10m --out set");
    // The version is one digit in the footer; its length stays the same, so the file stays readable
    // Parquet.
    let frames = dir.path().join("set/frames");
    let shard = fs::read_dir(&frames)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.is_file())
        .unwrap();
    let mut bytes = fs::read(&shard).unwrap();
    let key = b"multisiam.format_version";
    let at = bytes
        .windows(key.len())
        .rposition(|window| window == key)
        .unwrap()
        + key.len();
    let digit = at
        + bytes[at..at + 8]
            .iter()
            .position(|byte| *byte == b'3')
            .unwrap();
    bytes[digit] = b'9';
    fs::write(&shard, &bytes).unwrap();
    refused(dir.path(), "ingest catalog set", &["v9", "v3"]);
}

#[test]
fn options_that_make_no_sense() {
    let dir = demo_set();
    fs::write(dir.join("typo.toml"), "[optim]\nbase_lrr = 0.3\n").unwrap();
    refused(
        dir,
        "trainer run shards/ --config typo.toml --out runs/typo",
        &["base_lrr", "base_lr"],
    );
    refused(
        dir,
        "trainer run shards/ --config no_such_config --out runs/typo",
        &["no_such_config"],
    );
    refused(
        dir,
        "trainer run shards/ --config demo_cpu --device gpu --out runs/typo",
        &["gpu", "cpu"],
    );
    refused(
        dir,
        "trainer run shards/ --config demo_cpu --batch 100000 --device cpu --out runs/typo",
        &["batch"],
    );
    refused(
        dir,
        "sampler bench shards/ --where `lens = 1`",
        &["lens", "camera"],
    );
    refused(dir, "sampler bench shards/ --batch 100000", &["batch"]);
    refused(dir, "ingest inspect shards/ --where `camera =`", &["SQL"]);
    refused(
        dir,
        "trainer export runs/none --out x.safetensors",
        &["runs/none"],
    );
    assert!(!dir.join("runs/typo").exists(), "nothing half-written");
}

#[test]
fn cuda_where_there_is_none() {
    if Path::new("/dev/nvidia0").exists() {
        testkit::skip("this machine has a GPU");
        return;
    }
    let dir = demo_set();
    refused(
        dir,
        "trainer run shards/ --config demo_cpu --device cuda --out runs/cuda",
        &["cuda", "cpu"],
    );
    assert!(!dir.join("runs/cuda").exists(), "nothing half-written");
}
