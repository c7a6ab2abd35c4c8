//! The `sampler` command as a user runs it: outputs, exit codes, errors in one line.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::path::Path;
use std::process::{Command, Output};
use testkit::photos;

fn sampler(args: &[&str], dir: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sampler"))
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap()
}

fn json(output: &Output) -> serde_json::Value {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A folder with a set in `shards/`, the default path.
fn folder_with_set() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    photos::write(&dir.path().join("shards"), 12, 6);
    dir
}

#[test]
fn memory_that_is_not_page_locked_is_said_aloud() {
    let dir = folder_with_set();
    let bench = |more: &[&str]| {
        let mut args = vec!["bench", "--json", "--seconds", "0.2", "--threads", "1"];
        args.extend(more);
        let output = sampler(&args, dir.path());
        assert_eq!(json(&output)["pinned"], false);
        String::from_utf8(output.stderr).unwrap()
    };
    // No machine has so many.
    let line = bench(&["--pinned", "1000"]);
    assert!(line.contains("not page-locked (no"), "{line}");
    assert!(!bench(&[]).contains("page-locked"));
}

#[test]
fn processes_of_one_launcher_share_cores_and_page_locked_memory() {
    let dir = folder_with_set();
    let among = |processes: &str, args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_sampler"))
            .args(["bench", "--json", "--seconds", "0.2"])
            .args(args)
            .envs([("RANK", "0"), ("WORLD_SIZE", processes)])
            .envs([("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", processes)])
            .current_dir(dir.path())
            .output()
            .unwrap();
        let threads = json(&output)["threads"].as_u64().unwrap();
        (threads, String::from_utf8(output.stderr).unwrap())
    };
    let (alone, _) = among("1", &[]);
    assert_eq!(among("2", &[]).0, (alone / 2).max(1));
    assert_eq!(among("100000", &[]).0, 1);
    assert_eq!(
        among("2", &["--threads", "3"]).0,
        3,
        "what is asked for stands"
    );
    let (_, line) = among("1000000000", &["--pinned"]);
    assert!(
        line.contains("1000000000 processes of this machine"),
        "{line}"
    );
}

#[test]
fn bench_reports_all_stages_and_they_make_up_the_cpu_time() {
    let dir = folder_with_set();
    let report = json(&sampler(
        &["bench", "--json", "--seconds", "1", "--threads", "2"],
        dir.path(),
    ));
    assert!(report["pairs_per_s"].as_f64().unwrap() > 0.0);
    assert_eq!(
        (&report["threads"], &report["batch"], &report["pinned"]),
        (&2.into(), &12.into(), &false.into())
    );
    assert!(report["mean_tries"].as_f64().unwrap() > 1.0);
    assert!(report["workers_cpu_share"].as_f64().unwrap() > 0.0);
    assert!(!report["others_cpu_share"].is_null() || cfg!(not(target_os = "linux")));
    assert!(report["bytes_per_pair"].as_f64().unwrap() > 1000.0);
    assert_eq!(report["fallbacks"], 0);
    let stages = report["stages_ms"].as_object().unwrap();
    let names = [
        "plan",
        "fetch",
        "cut",
        "decode",
        "resize",
        "jitter",
        "grayscale",
        "blur",
        "solarize",
        "store",
    ];
    assert_eq!(stages.len(), names.len());
    let sum: f64 = names
        .iter()
        .map(|&name| stages[name].as_f64().unwrap())
        .sum();
    let cpu = report["cpu_ms_per_pair"].as_f64().unwrap();
    assert!(sum >= 0.95 * cpu && sum <= 1.001 * cpu, "{sum} of {cpu} ms");
}

#[test]
fn bench_compares_threads_and_a_cold_page_cache() {
    let dir = folder_with_set();
    let line = [
        "bench",
        "--json",
        "--seconds",
        "0.4",
        "--sweep=1,2",
        "--cold",
        "--read",
        "pread",
        "--float",
    ];
    let report = json(&sampler(&line, dir.path()));
    assert_eq!(report["pixels"], "float32");
    let sweep = report["sweep"].as_array().unwrap();
    assert_eq!(
        (sweep.len(), &sweep[0]["threads"], &sweep[1]["threads"]),
        (2, &1.into(), &2.into())
    );
    assert_eq!(sweep[0]["efficiency"], 1.0);
    assert!(sweep[1]["efficiency"].as_f64().unwrap() > 0.1);
    let cache = &report["cache"];
    assert_eq!(cache["cold"]["pairs"], cache["warm"]["pairs"]);
    // Not more than that the counters are there: where the set lies in memory, nothing comes from a
    // disk.
    let disk = |pass: &str| cache[pass]["disk_bytes_per_pair"].as_f64().unwrap();
    assert!(disk("warm") <= disk("cold"), "{cache}");
    let plain = json(&sampler(
        &["bench", "--json", "--seconds", "0.2"],
        dir.path(),
    ));
    assert!(plain["sweep"].is_null() && plain["cache"].is_null());
    assert_eq!(plain["pixels"], "uint8");
}

#[test]
fn stats_count_pairs_that_reached_the_cap() {
    let dir = folder_with_set();
    let report = json(&sampler(
        &["stats", "--pairs", "300", "--iou", "0.97", "--json"],
        dir.path(),
    ));
    let fallbacks = report["fallbacks"].as_u64().unwrap();
    assert!(fallbacks > 0 && report["tries"]["p95"] == 100.0, "{report}");
    let output = sampler(&["stats", "--pairs", "300", "--iou", "0.97"], dir.path());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains(&format!("{fallbacks} pairs fell back")),
        "{text}"
    );
}

#[test]
fn preview_and_stats_write_their_pictures() {
    let dir = folder_with_set();
    let output = sampler(
        &[
            "preview",
            "--pairs",
            "3",
            "--iou",
            "0.3,0.7",
            "--out",
            "sheet.png",
        ],
        dir.path(),
    );
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let sheet = image::open(dir.path().join("sheet.png")).unwrap();
    assert!(sheet.width() > 1000 && sheet.height() > 600);

    let report = json(&sampler(
        &["stats", "--pairs", "5000", "--json"],
        dir.path(),
    ));
    assert_eq!(
        (&report["pairs"], &report["frames"], &report["fallbacks"]),
        (&5000.into(), &12.into(), &0.into())
    );
    assert!(report["iou"]["p5"].as_f64().unwrap() >= 0.5);
    assert!(report["acceptance"].as_f64().unwrap() > 0.1);
    assert!(image::open(dir.path().join("stats.png")).is_ok());
}

#[test]
fn bad_input_is_one_line_and_a_failure() {
    let dir = folder_with_set();
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    let cases: &[(&[&str], &str)] = &[
        (&["bench", "nowhere"], "no such folder"),
        (&["stats", "empty"], "no frames/ folder"),
        (&["bench", "--batch", "13"], "at most 12"),
        (&["bench", "--iou", "1.5"], "`pair.min_iou` is 1.5"),
        (
            &["stats", "--where", "camera = 'REAR'"],
            "none of its 12 frames",
        ),
        (&["stats", "--where", "camera ="], "--where"),
        (
            &["preview", "--out", "nowhere/pairs.png"],
            "nowhere/pairs.png",
        ),
        (&["preview", "--out", "pairs.jpg"], "must end in .png"),
        (&["bench", "--seconds", "0"], "--seconds"),
    ];
    for (args, expected) in cases {
        let output = sampler(args, dir.path());
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
        let errors: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("error: "))
            .collect();
        assert!(
            errors.len() == 1 && errors[0].contains(expected),
            "{args:?}: {text}"
        );
        assert!(output.stdout.is_empty());
    }
    assert_eq!(
        sampler(&["bench", "--no-such-option"], dir.path())
            .status
            .code(),
        Some(2)
    );
}

#[test]
fn help_has_examples() {
    for args in [
        &["--help"][..],
        &["bench", "--help"],
        &["preview", "--help"],
        &["stats", "--help"],
    ] {
        let output = sampler(args, Path::new("."));
        assert!(output.status.success());
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("Examples:"),
            "{args:?}"
        );
    }
}

#[test]
fn more_shards_than_files_may_be_open_are_read() {
    let dir = tempfile::tempdir().unwrap();
    photos::write(&dir.path().join("shards"), 70, 1);
    for reading in ["pread", "mmap"] {
        let bench = format!(
            "ulimit -n 64; exec {} bench --read {reading} --seconds 0.2 --threads 2 --json",
            env!("CARGO_BIN_EXE_sampler")
        );
        let output = Command::new("sh")
            .args(["-c", &bench])
            .current_dir(dir.path())
            .output()
            .unwrap();
        let report = json(&output);
        assert_eq!(report["replaced"], 0, "{reading}");
        assert!(report["pairs_per_s"].as_f64().unwrap() > 0.0);
    }
}
