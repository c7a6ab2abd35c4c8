//! `trainer doctor`: alone, in two processes, and in two that are not alike.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use testkit::scenes;

use super::refusals::assert_refused;
use super::{Bench, assert_success, stderr, trainer};

/// `trainer doctor` on the shared config.
fn doctor(bench: &Bench, shards: &Path, more: &[&str]) -> Command {
    let mut command = trainer(&["doctor", "--device", "cpu"]);
    command
        .arg(shards)
        .arg("--config")
        .arg(bench.path("small.toml"))
        .args(more);
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

/// Two ranks, the second with its own shards and arguments, both with `more`.
fn by_hand(bench: &Bench, shards: &Path, second: &[&str], more: &[&str]) -> [Output; 2] {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    drop(listener);
    let start = |rank: &str, shards: &Path, own: &[&str]| -> Child {
        doctor(bench, shards, own)
            .args(more)
            .envs([("RANK", rank), ("WORLD_SIZE", "2")])
            .envs([("LOCAL_RANK", rank), ("LOCAL_WORLD_SIZE", "2")])
            .envs([("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", port.as_str())])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let ranks = [
        start("0", &bench.path("shards"), &[]),
        start("1", shards, second),
    ];
    ranks.map(|rank| rank.wait_with_output().unwrap())
}

#[test]
fn a_process_alone_tells_of_itself() {
    let bench = Bench::new();
    let output = doctor(&bench, &bench.path("shards"), &[]).output().unwrap();
    assert_success(&output);
    let text = stdout(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].starts_with("rank  local  host"), "{text}");
    assert!(
        lines[1].starts_with("0     0      ") && lines[1].contains("  cpu  "),
        "{text}"
    );
    assert!(lines[2].contains("nobody to talk to"), "{text}");

    let output = doctor(&bench, &bench.path("shards"), &["--json"])
        .output()
        .unwrap();
    let report = json(&output);
    assert_eq!(report["all_reduce"], Value::Null);
    assert_eq!(report["ranks"].as_array().unwrap().len(), 1);
    assert_eq!(report["ranks"][0]["frames"], 20);
}

#[test]
fn shards_that_do_not_open_are_in_the_table_and_refused() {
    let bench = Bench::new();
    let output = doctor(&bench, &bench.path("none"), &[]).output().unwrap();
    assert_refused(&output, &["rank 0 of 1 (", "no shards at", "ingest"]);
    assert!(stdout(&output).contains("  none  "), "{}", stdout(&output));
}

#[test]
fn two_processes_are_two_rows_and_a_bandwidth() {
    let bench = Bench::new();
    let two = ["--processes", "2", "--batch", "3"];
    let output = doctor(&bench, &bench.path("shards"), &two)
        .output()
        .unwrap();
    assert_success(&output);
    assert_eq!(stderr(&output), "");
    let text = stdout(&output);
    for line in ["rank  local", "0     0", "1     1", "2 ranks on 1 machine,"] {
        let found = text.lines().filter(|found| found.starts_with(line));
        assert_eq!(found.count(), 1, "{line}: {text}");
    }
    assert!(
        text.contains("2048 bytes: ") && text.contains("bus bandwidth"),
        "{text}"
    );
    assert!(!text.contains('*'), "{text}");

    let two = [&two[..], &["--json"]].concat();
    let output = doctor(&bench, &bench.path("shards"), &two)
        .output()
        .unwrap();
    let report = json(&output);
    let (small, large) = (
        &report["all_reduce"]["small"],
        &report["all_reduce"]["gradients"],
    );
    assert_eq!(
        (&report["all_reduce"]["over"], &small["bytes"]),
        (&"gloo".into(), &2048.into())
    );
    // A ResNet-18 without its classifier has 11,176,512 parameters.
    assert!(
        large["bytes"].as_u64().unwrap() > 4 * 11_176_512,
        "{report}"
    );
    for timed in [small, large] {
        assert!(timed["seconds"].as_f64().unwrap() > 0.0, "{report}");
        assert!(timed["bus_bytes_per_s"].as_f64().unwrap() > 0.0, "{report}");
    }
    let rows = report["ranks"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for (name, is_alike) in [("program", true), ("shards", true), ("rank", false)] {
        assert_eq!(rows[0][name] == rows[1][name], is_alike, "{report}");
    }
}

#[test]
fn ranks_that_are_not_alike_are_marked_and_named() {
    let bench = Bench::new();
    let (shared, fewer, others, none) = (
        bench.path("shards"),
        bench.path("fewer"),
        bench.path("others"),
        bench.path("none"),
    );
    scenes::write(&fewer, 0..19);
    scenes::write(&others, 20..40);
    let seed = ["--seed", "6"];
    for (shards, second, unlike, words) in [
        (
            &fewer,
            &[][..],
            "frames",
            "other shards than rank 0: 19 frames",
        ),
        (
            &others,
            &[],
            "frames",
            "other shards than rank 0: 20 frames",
        ),
        (&none, &[], "frames", "cannot open its shards: no shards at"),
        (
            &shared,
            &seed,
            "config",
            "another config than rank 0: seed = 6, not 5",
        ),
    ] {
        let [first, second] = by_hand(&bench, shards, second, &["--json"]);
        assert_refused(&first, &["rank 1 of 2 (", words]);
        assert_eq!(second.status.code(), Some(2));
        assert_eq!((stdout(&second), stderr(&second)), Default::default());
        let report = json(&first);
        let rows = &report["ranks"];
        assert_eq!(rows[0]["unlike"].as_array().unwrap().len(), 0, "{report}");
        assert_eq!(rows[1]["unlike"], Value::from(vec![unlike]), "{report}");
        assert!(report["all_reduce"]["small"]["seconds"].as_f64().unwrap() > 0.0);
    }

    let [first, _] = by_hand(&bench, &fewer, &[], &[]);
    let text = stdout(&first);
    let rows: Vec<&str> = text.lines().collect();
    assert!(rows[2].contains(") *") && !rows[1].contains('*'), "{text}");
    assert!(rows[3].starts_with("* is not as with rank 0"), "{text}");
}
