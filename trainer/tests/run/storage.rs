//! Storage that fails a run: a shard that is lost ends it with a line and a checkpoint; locks that are
//! not to be had do not matter.

use std::fs::{self, File};

use model::files::checkpoint::Checkpoint;
use schemas::catalog::shard_paths;
use testkit::bare_files;

use super::resume::wait_for_step;
use super::{Bench, assert_success, stderr, trainer};

/// Far more steps than the run will do.
const LONG: [&str; 8] = [
    "--set",
    "schedule.total_steps=5000",
    "--set",
    "run.log_every_steps=1",
    "--set",
    "run.checkpoint_every_steps=5000",
    "--set",
    "data.accumulate=2",
];

#[test]
fn a_shard_that_shrinks_costs_no_step_that_was_done() {
    let bench = Bench::new();
    let out = bench.path("lost");
    let shard = shard_paths(&bench.path("shards")).unwrap().remove(0);
    let whole = fs::read(&shard).unwrap();

    let mut command = bench.command(&out, &[&LONG[..], &["--set", "run.max_broken=1"]].concat());
    let child = command
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_step(&out, 2);
    let file = File::options().write(true).open(&shard).unwrap();
    file.set_len(whole.len() as u64 / 2).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let last = text.lines().last().unwrap();
    let step = Checkpoint::open(&out).unwrap().header.step;
    assert!(step >= 2);
    for part in [
        format!("trainer: stopped after step {step}, kept in "),
        format!("step_{step:010}.safetensors: loading a batch: shard "),
        shard.to_str().unwrap().to_owned(),
        "is lost".to_owned(),
    ] {
        assert!(last.contains(&part), "{part:?} in {text}");
    }

    // The same steps on a whole shard end at the same weights, and so does what follows.
    fs::write(&shard, whole).unwrap();
    let (before, after) = (step.to_string(), (step + 1).to_string());
    let undisturbed = bench.path("undisturbed");
    let to = |out, steps: &str| {
        assert_success(&bench.run(out, &[&LONG[..], &["--steps", steps]].concat()))
    };
    for steps in [before, after] {
        to(&undisturbed, &steps);
        to(&out, &steps);
        let state = |run| Checkpoint::open(run).unwrap().tensors;
        assert!(state(&out) == state(&undisturbed), "after step {steps}");
    }
}

#[test]
fn without_locks_and_folder_syncs_a_run_goes_on_with_a_warning_each() {
    let bench = Bench::new();
    let (out, library) = (bench.path("bare"), tempfile::tempdir().unwrap());
    let mut command = bench.command(&out, &["--steps", "3"]);
    if !bare_files::give_to(&mut command, library.path()) {
        return;
    }
    let output = command.output().unwrap();
    assert_success(&output);
    let text = stderr(&output);
    for what in ["has no file locks", "has no syncing of folders"] {
        assert_eq!(text.matches(what).count(), 1, "{text}");
    }
    assert_eq!(Checkpoint::open(&out).unwrap().header.step, 3);
}

#[test]
fn how_shards_are_read_may_change_and_changes_no_pixel() {
    let bench = Bench::new();
    let (one, other) = (bench.path("one"), bench.path("other"));
    assert_success(&bench.run(&one, &[]));
    for (steps, reading) in [("3", "mmap"), ("8", "pread")] {
        let reading = format!("run.reading={reading}");
        assert_success(&bench.run(&other, &["--steps", steps, "--set", &reading]));
    }
    assert!(Checkpoint::open(&one).unwrap().tensors == Checkpoint::open(&other).unwrap().tensors);
    let shown = trainer(&["run", "--device", "cpu", "--dry-run"])
        .arg(bench.path("shards"))
        .arg("--config")
        .arg(bench.path("small.toml"))
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("reading = \"pread\"") && shown.contains("max_broken = 0.01"),
        "{shown}"
    );
}
