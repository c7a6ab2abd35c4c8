//! Several processes that train as one, from outside. What kills, hangs and networks do to them is
//! `scripts/ranks`.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use model::files::checkpoint::Checkpoint;
use trainer::report::{self, Row};

use super::refusals::assert_refused;
use super::resume::{assert_same, kill, result, wait_for_step};
use super::{Bench, assert_success, stderr, trainer};

/// `trainer run` in so many processes, whose steps have six pairs together.
fn among(bench: &Bench, out: &Path, processes: u64, more: &[&str]) -> Command {
    let mut command = bench.command(out, &["--processes", &processes.to_string()]);
    command.args(["--global-batch", "6"]).args(more);
    command
}

fn rows(run: &Path) -> Vec<Row> {
    report::read(run).unwrap()
}

/// Rows of two worlds that differ in rounding alone.
#[track_caller]
fn assert_near(found: &[Row], expected: &[Row]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!((found.step, found.epoch), (expected.step, expected.epoch));
        assert_eq!((found.lr, found.tau), (expected.lr, expected.tau));
        // Of the pairs of the step: the same ones.
        assert!(
            (found.iou - expected.iou).abs() < 1e-6,
            "{found:?}, {expected:?}"
        );
        assert!(
            (found.loss - expected.loss).abs() < 2e-3,
            "{found:?}, {expected:?}"
        );
    }
}

#[test]
fn one_two_and_three_processes_are_the_same_run() {
    let bench = Bench::new();
    let alone = bench.path("alone");
    assert_success(&bench.run(&alone, &["--global-batch", "6"]));
    let [two, again, three] = ["two", "again", "three"].map(|name| bench.path(name));
    for (out, processes) in [(&two, 2), (&again, 2), (&three, 3)] {
        let output = among(&bench, out, processes, &[]).output().unwrap();
        assert_success(&output);
        assert_near(&rows(out), &rows(&alone));
        let text = stderr(&output);
        assert_eq!(text.matches("done: all 8 steps").count(), 1, "{text}");
        let header = Checkpoint::open(out).unwrap().header;
        assert_eq!((header.world, header.step), (processes, 8));
    }
    assert_same(&result(&again), &result(&two));
    let told = rows(&two).pop().unwrap().between_ranks;
    assert!(
        told.collectives_s > Some(0.0) && told.rank_wait_s >= Some(0.0),
        "{told:?}"
    );
    let alone = rows(&alone).pop().unwrap().between_ranks;
    assert_eq!(alone.collectives_s, None);
}

#[test]
fn a_run_of_two_is_resumed_bit_for_bit_and_in_other_worlds_too() {
    let bench = Bench::new();
    let [undisturbed, resumed, moved] = ["undisturbed", "resumed", "moved"].map(|n| bench.path(n));
    assert_success(&among(&bench, &undisturbed, 2, &[]).output().unwrap());
    for more in [&["--steps", "3"][..], &["--steps", "5"], &[]] {
        assert_success(&among(&bench, &resumed, 2, more).output().unwrap());
    }
    assert_same(&result(&resumed), &result(&undisturbed));

    assert_success(
        &among(&bench, &moved, 2, &["--steps", "3"])
            .output()
            .unwrap(),
    );
    let output = bench.run(&moved, &["--batch", "4"]);
    assert_refused(&output, &["ranks: 2 -> 1", "6 -> 4", "--global-batch"]);
    let output = bench.run(&moved, &["--global-batch", "6", "--steps", "6"]);
    assert_success(&output);
    let note = "made by 2 rank(s) x 3 pairs x 1 accumulated, this is 1 rank(s) x 6 pairs";
    assert!(stderr(&output).contains(note), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("rounding alone"),
        "{}",
        stderr(&output)
    );
    assert_success(&among(&bench, &moved, 3, &[]).output().unwrap());
    assert_near(&rows(&moved), &rows(&undisturbed));
}

#[test]
fn a_resumed_run_of_another_world_may_accumulate_otherwise() {
    let bench = Bench::new();
    let [undisturbed, moved] = ["undisturbed", "accumulated"].map(|name| bench.path(name));
    assert_success(&among(&bench, &undisturbed, 2, &[]).output().unwrap());
    let three_steps = among(&bench, &moved, 2, &["--steps", "3"]).output();
    assert_success(&three_steps.unwrap());
    let accumulated = ["--set", "data.accumulate=2"];
    let output = among(&bench, &moved, 1, &accumulated).output().unwrap();
    assert_success(&output);
    let text = stderr(&output);
    let note = "made by 2 rank(s) x 3 pairs x 1 accumulated, this is 1 rank(s) x 3 pairs x 2";
    assert!(text.contains(note), "{text}");
    assert!(text.contains("batch norm sees 3 pairs, 6 before"), "{text}");
    // The same pairs in each step all the same.
    let (moved, undisturbed) = (rows(&moved), rows(&undisturbed));
    assert_eq!(moved.len(), undisturbed.len());
    for (ours, theirs) in moved.iter().zip(&undisturbed) {
        assert_eq!((ours.step, ours.epoch), (theirs.step, theirs.epoch));
        assert!((ours.iou - theirs.iou).abs() < 1e-6, "{ours:?}, {theirs:?}");
    }
}

/// A run of two that `hears` a signal in its third step or later; given are its parent and the ranks.
fn interrupted(name: &str, hears: impl FnOnce(u32, &[u32])) {
    let bench = Bench::new();
    let out = bench.path(name);
    let long = ["--set", "schedule.total_steps=200"];
    let mut parent = among(&bench, &out, 2, &long)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_step(&out, 2);
    let id = parent.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let children = children.split_whitespace().map(|id| id.parse().unwrap());
    hears(id, &children.collect::<Vec<_>>());
    assert_eq!(parent.wait().unwrap().code(), Some(75));
    let step = Checkpoint::open(&out).unwrap().header.step;
    assert!((2..200).contains(&step), "{step}");
    assert_eq!(rows(&out).pop().unwrap().step, step);
}

#[test]
#[cfg(target_os = "linux")]
fn a_signal_for_one_is_a_signal_for_all() {
    interrupted("one", |_, ranks| {
        assert_eq!(ranks.len(), 2);
        kill(ranks[1], "-TERM");
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_signal_for_the_parent_is_passed_on() {
    interrupted("parent", |parent, _| kill(parent, "-TERM"));
}

#[test]
fn a_plan_of_several_ranks_is_refused_as_their_run_is() {
    let bench = Bench::new();
    let out = bench.path("never");
    // 22 of 20 frames.
    for (fault, words) in [
        (["--batch", "11"], "11 pairs on each of 2 rank(s)"),
        (["--device", "cuda:1"], "2 processes on this machine"),
    ] {
        let line = |more: &[&str]| {
            let mut ranks = trainer(&["run", "--processes", "2"]);
            ranks.arg(bench.path("shards")).arg("--config");
            ranks.arg(bench.path("small.toml")).arg("--out").arg(&out);
            let output = ranks.args(fault).args(more).output().unwrap();
            assert_refused(&output, &["rank 0 of 2 (", words]);
            stderr(&output)
        };
        assert_eq!(line(&["--dry-run"]), line(&[]));
    }
    let alone = bench.run(&out, &["--dry-run", "--batch", "21"]);
    assert_refused(&alone, &["21 pairs", "20 frame(s)"]);
    assert!(!out.exists());
}

/// Two ranks by hand, the second with its own arguments.
fn by_hand(bench: &Bench, second: &[&str]) -> [Output; 2] {
    let port = {
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        free.local_addr().unwrap().port().to_string()
    };
    let start = |rank: &str, more: &[&str]| -> Child {
        bench
            .command(&bench.path("by-hand"), more)
            .envs([("RANK", rank), ("WORLD_SIZE", "2")])
            .envs([("LOCAL_RANK", rank), ("LOCAL_WORLD_SIZE", "2")])
            .envs([("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", port.as_str())])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let ranks = [start("0", &[]), start("1", second)];
    ranks.map(|rank| rank.wait_with_output().unwrap())
}

#[test]
fn ranks_that_would_do_something_else_are_refused_by_name() {
    let bench = Bench::new();
    for (second, words) in [
        (["--batch", "4"], "data.batch = 4, not 6"),
        (["--seed", "6"], "seed = 6, not 5"),
    ] {
        let outputs = by_hand(&bench, &second);
        let codes = [0, 1].map(|rank: usize| outputs[rank].status.code());
        let text = outputs.iter().map(stderr).collect::<String>();
        assert_eq!(codes, [Some(2); 2], "{text}");
        assert!(
            text.contains("rank 1 of 2 (") && text.contains(words),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    assert!(!bench.path("by-hand").exists());
}
