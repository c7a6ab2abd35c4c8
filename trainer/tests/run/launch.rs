//! Several processes that are one command: started by the program itself, or by a launcher.

use std::process::{Command, Output};

use super::refusals::assert_refused;
use super::{assert_success, stderr, trainer};

/// The program as its launcher's rank.
fn as_rank(rank: &str, size: &str, args: &[&str]) -> Command {
    let mut command = trainer(args);
    command
        .envs([("RANK", rank), ("WORLD_SIZE", size)])
        .envs([("LOCAL_RANK", rank), ("LOCAL_WORLD_SIZE", size)])
        .envs([("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "1")]);
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn results_of_several_processes_are_told_once() {
    let list = ["run", "--list-configs"];
    let alone = trainer(&list).output().unwrap();
    assert_success(&alone);
    assert!(stdout(&alone).contains("multisiam_waymo"));
    for more in [["--processes", "1"], ["--processes", "3"]] {
        let output = trainer(&list).args(more).output().unwrap();
        assert_success(&output);
        assert_eq!(stdout(&output), stdout(&alone), "{more:?}");
        assert_eq!(stderr(&output), "");
    }
    let first = as_rank("0", "2", &list).output().unwrap();
    assert_eq!(stdout(&first), stdout(&alone));
    let second = as_rank("1", "2", &list).output().unwrap();
    assert_success(&second);
    assert_eq!((stdout(&second), stderr(&second)), Default::default());
}

#[test]
fn what_is_no_command_line_is_told_once() {
    for (rank, is_told) in [("0", true), ("1", false)] {
        let output = as_rank(rank, "2", &["run", "--no-such-option"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(stderr(&output).contains("--no-such-option"), is_told);
    }
}

#[test]
fn what_ranks_fail_for_is_told_once() {
    let command = [
        "run",
        "no/such/shards",
        "--device",
        "cpu",
        "--processes",
        "3",
    ];
    let output = trainer(&command).output().unwrap();
    assert_refused(&output, &["rank ", " of 3 (", "no/such/shards"]);
}

#[test]
fn ranks_that_fail_before_they_meet_tell_it_once() {
    let data = ["--data", "x"];
    for (command, fault) in [
        (&["run", "x"][..], &["--device", "gpu"][..]),
        (&["run", "x"], &["--set", "data.batchh=3"]),
        (&["run", "x", "--dry-run"], &["--device", "gpu"]),
        (&["doctor", "x"], &["--set", "data.batchh=3"]),
        (&["embed", "random", "--out", "x"], &["--device", "gpu"]),
        (
            &[&["probe", "random"][..], &data].concat(),
            &["--device", "gpu"],
        ),
        (
            &[&["transfer", "seg", "random", "--out", "x"][..], &data].concat(),
            &["--device", "gpu"],
        ),
    ] {
        let mut ranks = trainer(command);
        let output = ranks.args(fault).arg("--processes=2").output().unwrap();
        assert_refused(&output, &["rank ", " of 2 (", &fault[1][..3]]);
        let text = stderr(&output);
        assert_eq!(text.lines().count(), 1, "{command:?} {fault:?}: {text}");
    }
}

#[test]
fn a_rank_starts_no_processes_of_its_own() {
    let output = as_rank("1", "2", &["run", "--processes", "4"])
        .output()
        .unwrap();
    assert_refused(
        &output,
        &["rank 1 of 2 (", "--processes 4", "RANK and WORLD_SIZE"],
    );
}

#[test]
fn an_environment_without_sense_is_refused() {
    let with = |variables: &[(&str, &str)]| {
        let mut command = trainer(&["run", "--list-configs"]);
        command.envs(variables.iter().copied()).output().unwrap()
    };
    assert_refused(&with(&[("RANK", "0")]), &["RANK", "WORLD_SIZE"]);
    assert_refused(&with(&[("RANK", "2"), ("WORLD_SIZE", "2")]), &["RANK is 2"]);
}

#[test]
fn a_number_of_processes_is_at_least_one() {
    let output = trainer(&["run", "--processes", "0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--processes"));
}
