//! What a run says of itself at its end.

use std::fs;
use std::path::Path;

use schemas::geom::Size;
use serde_json::Value;

use crate::support::{ingest, ingest_json, jpeg, stderr, write_waymo};

const STAGES: [&str; 8] = [
    "read",
    "crc",
    "parse",
    "transcode",
    "decode",
    "resize",
    "encode",
    "write",
];

fn number(json: &Value) -> f64 {
    json.as_f64()
        .unwrap_or_else(|| panic!("{json} is no number"))
}

/// CPU time by stage of a run, whose sum is checked.
fn stages(summary: &Value) -> Vec<(&'static str, f64)> {
    let by_stage = summary["stages_ms"].as_object().unwrap();
    assert_eq!(by_stage.len(), STAGES.len());
    let times: Vec<_> = STAGES
        .iter()
        .map(|&stage| (stage, number(&by_stage[stage])))
        .collect();
    let total: f64 = times.iter().map(|&(_, ms)| ms).sum();
    let cpu_ms = number(&summary["cpu_ms_per_frame"]);
    assert!(
        total >= 0.95 * cpu_ms && total <= 1.01 * cpu_ms,
        "{total} of {cpu_ms} ms"
    );
    times
}

#[test]
fn stages_account_for_the_cpu_time_of_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let images = dir.path().join("images");
    fs::create_dir(&images).unwrap();
    for seed in 0..12 {
        fs::write(
            images.join(format!("{seed}.jpg")),
            jpeg(Size::new(1280, 960), seed),
        )
        .unwrap();
    }
    let summary = ingest_json(
        "images",
        &images,
        &dir.path().join("set"),
        &["--threads", "2"],
    );
    for (stage, ms) in stages(&summary) {
        assert!(ms > 0.0, "{stage}: {summary}");
    }
}

#[test]
fn checksums_of_records_are_a_stage() {
    let dir = tempfile::tempdir().unwrap();
    let summary = run(dir.path());
    assert!(number(&summary["stages_ms"]["crc"]) > 0.0, "{summary}");
}

/// Writes 32 frames of a Waymo drive and returns the summary.
fn run(dir: &Path) -> Value {
    write_waymo(&dir.join("waymo"), 2, 8);
    ingest_json(
        "waymo",
        &dir.join("waymo"),
        &dir.join("set"),
        &["--threads", "2"],
    )
}

#[test]
fn times_stay_out_of_the_report() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path());
    let report = fs::read_to_string(dir.path().join("set/report.json")).unwrap();
    assert!(
        !report.contains("_ms") && !report.contains("seconds") && !report.contains("per_s"),
        "{report}"
    );
}

#[test]
fn the_last_table_says_what_was_written_skipped_and_how_fast() {
    let dir = tempfile::tempdir().unwrap();
    let (input, set) = (dir.path().join("waymo"), dir.path().join("set"));
    write_waymo(&input, 1, 2);
    fs::write(input.join("segment-torn.tfrecord"), [0; 20]).unwrap();
    let args = [
        "waymo".as_ref(),
        input.as_os_str(),
        "--out".as_ref(),
        set.as_os_str(),
        "--max-bad".as_ref(),
        "1".as_ref(),
    ];
    let output = ingest(args);
    assert!(output.status.success(), "{}", stderr(&output));
    let table = String::from_utf8(output.stdout).unwrap();
    for line in [
        "written  4 frames in 2 shards",
        "skipped  1 items",
        "1 bad-length-crc",
        "frames/s",
        "MB/s in",
        "MB of shards out",
    ] {
        assert!(table.contains(line), "{line:?} is missing: {table}");
    }
    for stage in STAGES {
        assert!(
            table
                .lines()
                .any(|line| line.ends_with(&format!("  {stage}"))),
            "{stage:?} is missing: {table}"
        );
    }
}
