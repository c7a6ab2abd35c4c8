//! An interrupted and resumed run ends bit for bit where an undisturbed one does.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use model::files::checkpoint::Checkpoint;
use model::files::safetensors;
use trainer::report::{self, Row};

use super::{Bench, assert_success, stderr};

/// The newest checkpoint's tensors as bytes, and the metrics without their timing keys.
pub(crate) type Outcome = (Vec<safetensors::HostTensor>, Vec<Row>);

pub(crate) fn result(run: &Path) -> Outcome {
    let (_, path) = model::files::checkpoint::list(run)
        .unwrap()
        .pop()
        .expect("a checkpoint");
    assert!(
        path.to_string_lossy().contains("step_0000000008"),
        "{path:?}"
    );
    let (_, tensors) = safetensors::read(&path).unwrap();
    (
        tensors,
        report::read(run)
            .unwrap()
            .iter()
            .map(Row::without_timing)
            .collect(),
    )
}

fn undisturbed() -> &'static Outcome {
    static RESULT: std::sync::OnceLock<Outcome> = std::sync::OnceLock::new();
    RESULT.get_or_init(|| {
        let bench = Bench::new();
        let out = bench.path("undisturbed");
        assert_success(&bench.run(&out, &[]));
        result(&out)
    })
}

#[track_caller]
pub(crate) fn assert_same(found: &Outcome, expected: &Outcome) {
    let ((tensors, rows), (expected_tensors, expected_rows)) = (found, expected);
    assert_eq!(rows, expected_rows);
    assert_eq!(tensors.len(), expected_tensors.len());
    for (ours, theirs) in tensors.iter().zip(expected_tensors) {
        assert!(ours == theirs, "{} differs", ours.name);
    }
}

#[track_caller]
pub(crate) fn assert_same_as_undisturbed(run: &Path) {
    assert_same(&result(run), undisturbed());
}

pub(crate) fn kill(child: u32, signal: &str) {
    let status = Command::new("kill")
        .args([signal, &child.to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

/// Waits until the run has a row for `step`, or fails after five minutes: machines may be busy.
pub(crate) fn wait_for_step(run: &Path, step: u64) {
    let since = Instant::now();
    while report::read(run).map_or(true, |rows| rows.last().is_none_or(|r| r.step < step)) {
        assert!(
            since.elapsed() < Duration::from_secs(300),
            "no row for step {step}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn stopping_by_steps_changes_nothing() {
    let bench = Bench::new();
    let out = bench.path("by-steps");
    // 5 is neither a step with a checkpoint of its own nor one with a row.
    assert_success(&bench.run(&out, &["--steps", "5"]));
    assert_eq!(Checkpoint::open(&out).unwrap().header.step, 5);
    assert_eq!(report::read(&out).unwrap().last().unwrap().step, 5);
    let output = bench.run(&out, &[]);
    assert_success(&output);
    assert!(
        stderr(&output).contains("resuming after step 5 of 8"),
        "{}",
        stderr(&output)
    );
    assert_same_as_undisturbed(&out);
}

/// Killed twice and gone on with, a run ends as two undisturbed ones do, which end alike.
fn assert_kill_9_changes_nothing(bench: &Bench, more: &[&str]) {
    let [once, twice, killed] = ["once", "twice", "killed"].map(|name| bench.path(name));
    for step in [4, 6] {
        let mut child = bench.command(&killed, more).spawn().unwrap();
        wait_for_step(&killed, step);
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success());
    }
    for out in [&once, &twice, &killed] {
        assert_success(&bench.run(out, more));
    }
    assert_same(&result(&twice), &result(&once));
    assert_same(&result(&killed), &result(&once));
}

#[test]
fn kill_9_loses_only_what_came_after_the_checkpoint() {
    let bench = Bench::new();
    assert_kill_9_changes_nothing(&bench, &["--set", "run.deterministic=true"]);
    assert_same_as_undisturbed(&bench.path("killed"));
}

#[test]
#[ignore = "needs CUDA"]
fn on_a_gpu_kill_9_loses_only_what_came_after_the_checkpoint() {
    let bench = Bench::on("cuda");
    // Steps long enough to be killed in.
    let slow = ["--set", "data.accumulate=16"];
    let deterministic = ["--set", "run.deterministic=true"];
    assert_kill_9_changes_nothing(&bench, &[slow, deterministic].concat());
}

#[test]
fn a_damaged_newest_checkpoint_costs_only_its_steps() {
    let bench = Bench::new();
    let out = bench.path("damaged");
    assert_success(&bench.run(&out, &["--steps", "6"]));
    let (step, newest) = model::files::checkpoint::list(&out).unwrap().pop().unwrap();
    assert_eq!(step, 6);
    let bytes = std::fs::read(&newest).unwrap();
    std::fs::write(&newest, &bytes[..bytes.len() / 2]).unwrap();
    let output = bench.run(&out, &[]);
    assert_success(&output);
    let text = stderr(&output);
    assert!(
        text.contains("step 6 is damaged") && text.contains("resuming after step 3"),
        "{text}"
    );
    assert_same_as_undisturbed(&out);
}

#[test]
fn a_checkpoint_that_cannot_be_read_ends_the_command_and_stays() {
    let bench = Bench::new();
    let out = bench.path("hindered");
    assert_success(&bench.run(&out, &["--steps", "6"]));
    let (_, newest) = model::files::checkpoint::list(&out).unwrap().pop().unwrap();
    std::fs::remove_file(&newest).unwrap();
    std::fs::create_dir(&newest).unwrap();
    let rows = std::fs::read(out.join("metrics.jsonl")).unwrap();
    let output = bench.run(&out, &[]);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.lines().count() == 1 && text.contains("step 6") && text.contains("not a file"),
        "{text}"
    );
    assert!(newest.is_dir());
    assert_eq!(std::fs::read(out.join("metrics.jsonl")).unwrap(), rows);
}

#[test]
fn another_log_grid_deletes_no_row() {
    let bench = Bench::new();
    let out = bench.path("other-grid");
    let steps = || -> Vec<u64> {
        let rows = report::read(&out).unwrap();
        rows.iter().map(|row| row.step).collect()
    };
    assert_success(&bench.run(&out, &["--steps", "5"]));
    assert_eq!(steps(), [1, 2, 4, 5]);
    let every = ["--set", "run.log_every_steps=3"];
    assert_success(&bench.run(&out, &[&every[..], &["--steps", "7"]].concat()));
    assert_eq!(steps(), [1, 2, 4, 5, 6, 7]);
    // Under the same grid, the row where the call ended goes.
    assert_success(&bench.run(&out, &every));
    assert_eq!(steps(), [1, 2, 4, 5, 6, 8]);
}

#[test]
fn queues_and_random_seeds_resume_too() {
    let bench = Bench::new();
    let sets = [
        "method.name=multisiam-moco",
        "method.queue=32",
        "method.km_init=random",
        "model.bn_splits=2",
    ];
    let sets: Vec<&str> = sets
        .into_iter()
        .chain(["optim.name=sgd"])
        .flat_map(|set| ["--set", set])
        .collect();
    let (whole, parts) = (bench.path("moco-whole"), bench.path("moco-parts"));
    assert_success(&bench.run(&whole, &sets));
    for more in [&["--steps", "5"][..], &[]] {
        assert_success(&bench.run(&parts, &[&sets[..], more].concat()));
    }
    assert_same(&result(&parts), &result(&whole));
    let tensors = Checkpoint::open(&parts).unwrap().tensors;
    // Eight steps, both views' keys of six pairs each: 96 keys went through 32 places.
    assert_eq!(tensors["memory.queue_pointer"].int64_value(&[]), 96 % 32);
    assert_eq!(tensors["memory.kmeans_draws"].int64_value(&[]), 16);
}

#[test]
fn a_finished_run_stays_as_it_is() {
    let bench = Bench::new();
    let out = bench.path("finished");
    assert_success(&bench.run(&out, &[]));
    assert_success(&bench.run(&out, &[]));
    assert_same_as_undisturbed(&out);
}
