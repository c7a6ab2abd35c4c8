//! Signals that ask a program to leave: it writes a checkpoint and ends with a code of its own.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use model::files::checkpoint::Checkpoint;

use super::labelled::labelled;
use super::resume::{assert_same_as_undisturbed, kill, wait_for_step};
use super::{Bench, assert_success, stderr, trainer};

/// `command` as a shell starts it that ignores `signal`.
fn ignoring(signal: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("trap '' {signal}; exec \"$0\" \"$@\"")]);
    shell.arg(command.get_program()).args(command.get_args());
    shell
}

fn assert_interrupted(mut child: Child, what: &str) {
    assert_eq!(child.wait().unwrap().code(), Some(75), "{what}");
}

#[test]
fn each_signal_checkpoints_and_the_run_resumes() {
    let bench = Bench::new();
    for signal in ["TERM", "INT", "HUP", "USR1", "USR2"] {
        let out = bench.path(signal);
        let mut command = match signal {
            // As a shell without job control starts what is to run beside it.
            "INT" => ignoring("INT", &bench.command(&out, &[])),
            _ => bench.command(&out, &[]),
        };
        let child = command.spawn().unwrap();
        wait_for_step(&out, 1);
        kill(child.id(), &format!("-{signal}"));
        assert_interrupted(child, signal);
        let step = Checkpoint::open(&out).unwrap().header.step;
        assert!((1..8).contains(&step), "{signal}: {step}");
        assert_success(&bench.run(&out, &[]));
        assert_same_as_undisturbed(&out);
    }
}

#[test]
fn a_hangup_that_was_ignored_at_the_start_stays_ignored() {
    let bench = Bench::new();
    let out = bench.path("nohup");
    let mut child = ignoring("HUP", &bench.command(&out, &[])).spawn().unwrap();
    wait_for_step(&out, 1);
    kill(child.id(), "-HUP");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_same_as_undisturbed(&out);
}

/// A fine-tuning of a thousand iterations that writes no checkpoint unasked.
fn fine_tuning(data: &Path, out: &Path, more: &[&str]) -> Command {
    let mut command = trainer(&[
        "transfer", "seg", "random", "--arch", "resnet18", "--config", "small", "--device", "cpu",
    ]);
    for set in [
        "crop_px=64",
        "iterations=1000",
        "batch=2",
        "channels=16",
        "checkpoint_every=1000",
        "log_every=1",
    ] {
        command.args(["--set", set]);
    }
    command.arg("--data").arg(data).arg("--out").arg(out);
    command.args(more);
    command
}

/// Waits until a fine-tuning has logged `rows` rows, or fails after five minutes: machines may be busy.
fn wait_for_rows(out: &Path, rows: usize) {
    let since = Instant::now();
    let logged = || fs::read_to_string(out.join("metrics.jsonl")).map_or(0, |t| t.lines().count());
    while logged() < rows {
        assert!(since.elapsed() < Duration::from_secs(300), "no {rows} rows");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_fine_tuning_leaves_with_a_checkpoint_too() {
    let bench = Bench::new();
    let (data, out) = (labelled(&bench), bench.path("tuned"));
    let child = fine_tuning(&data, &out, &[]).spawn().unwrap();
    wait_for_rows(&out, 2);
    kill(child.id(), "-TERM");
    assert_interrupted(child, "transfer");
    let done = testkit::log_rows(&out).len();
    assert!((2..1000).contains(&done), "{done}");
    assert!(!out.join("result.json").exists());
    let next = (done + 1).to_string();
    assert_success(
        &fine_tuning(&data, &out, &["--iterations", &next])
            .output()
            .unwrap(),
    );
    let rows = testkit::log_rows(&out);
    assert_eq!(rows.len(), done + 1);
    assert_eq!(rows.last().unwrap()["iteration"], done + 1);
}

#[test]
fn a_fine_tunings_checkpoint_that_cannot_be_read_is_no_start() {
    let bench = Bench::new();
    let (data, out) = (labelled(&bench), bench.path("hindered"));
    let checkpoint = out.join("checkpoint.safetensors");
    fs::create_dir_all(&checkpoint).unwrap();
    let output = fine_tuning(&data, &out, &["--iterations", "1"])
        .output()
        .unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.lines().count() == 1 && text.contains("checkpoint.safetensors"),
        "{text}"
    );
    assert!(checkpoint.is_dir());
}
