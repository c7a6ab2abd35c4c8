//! What a process says of itself, alone and as one of several: as its user sees it.
//!
//! Whether it is quiet, and its name, hold for the whole process. So each case is a process of its
//! own: this test program again, told by a variable which case to be.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::env;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, anyhow};
use console::{Program, Progress, print_json, print_line, say, told_elsewhere, usage};

const CASE: &str = "SPEAKER_CASE";
const ERROR_FILE: &str = "TORCHELASTIC_ERROR_FILE";

/// The process of a case; among the tests it does nothing.
#[test]
fn as_a_process() {
    let Ok(case) = env::var(CASE) else { return };
    let (case, rank) = case.split_once(' ').unwrap();
    let program = Program {
        explain: |payload| {
            let text = payload.downcast_ref::<&str>()?;
            text.strip_prefix("library: ").map(str::to_owned)
        },
        ..Program::new("program", "info")
    };
    let code = program.code(|| {
        if rank != "alone" {
            console::speak_as(format!("rank {rank} of 2 (here)"));
        }
        if rank == "1" {
            console::quiet();
        }
        say("a note");
        print_line("a result")?;
        print_json(&"a value")?;
        Progress::announce("a task", 3);
        let mut progress = Progress::new("{msg}", 0, 3);
        progress.show(3, || "done", |_| "a line of progress");
        progress.note("a note of progress");
        tracing::info!("an information");
        tracing::warn!("a warning");
        match case {
            "done" => Ok(7),
            "failure" => Err(anyhow!("a reason\nin two lines")).context("in the middle"),
            "usage" => Err(usage("another command line")),
            "elsewhere" => Err(told_elsewhere(false)),
            "usage_elsewhere" => Err(told_elsewhere(true).context("in the middle")),
            "bug" => panic!("a broken promise"),
            "library" => panic!("library: a broken file"),
            other => panic!("no case {other:?}"),
        }
    });
    std::process::exit(code.into());
}

fn process(case: &str, rank: &str, error_file: &Path) -> Output {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "as_a_process", "--nocapture"])
        .env(CASE, format!("{} {rank}", case.replace(' ', "_")))
        .env(ERROR_FILE, error_file)
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

/// Exit code and stderr of a case, without what each has to say before it ends.
fn end(case: &str, rank: &str) -> (i32, Vec<String>) {
    let output = process(case, rank, Path::new(""));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let lines = stderr
        .lines()
        .skip_while(|line| !line.contains("a warning"));
    let lines = lines.skip(1).map(str::to_owned).collect();
    (output.status.code().unwrap(), lines)
}

fn said(rank: &str) -> String {
    let Output { stdout, stderr, .. } = process("done", rank, Path::new(""));
    String::from_utf8([stdout, stderr].concat()).unwrap()
}

/// All but the warning.
const TOLD_ONCE: [&str; 7] = [
    "a note\n",
    "a result\n",
    "\"a value\"\n",
    "a task …\n",
    "a line of progress\n",
    "a note of progress\n",
    "an information",
];

#[test]
fn of_several_processes_one_speaks_and_all_warn() {
    for rank in ["alone", "0"] {
        let said = said(rank);
        for part in TOLD_ONCE.iter().chain(&["a warning"]) {
            assert!(said.contains(part), "{part:?} of {rank} in {said}");
        }
    }
    assert!(said("0").contains("rank 0 of 2 (here):  INFO an information"));
    let said = said("1");
    assert!(
        said.contains("rank 1 of 2 (here):  WARN a warning"),
        "{said}"
    );
    for part in TOLD_ONCE {
        assert!(!said.contains(part), "{part:?} in {said}");
    }
}

#[test]
fn each_process_says_why_it_failed_in_its_own_name() {
    let line = |line: &str| vec![line.to_owned()];
    assert_eq!(end("done", "1"), (7, vec![]));
    let failed = "program: in the middle: a reason in two lines";
    assert_eq!(end("failure", "alone"), (1, line(failed)));
    let failed = "program: rank 1 of 2 (here): in the middle: a reason in two lines";
    assert_eq!(end("failure", "1"), (1, line(failed)));
    let usage = "program: rank 0 of 2 (here): another command line";
    assert_eq!(end("usage", "0"), (2, line(usage)));
    let library = "program: rank 1 of 2 (here): a broken file";
    assert_eq!(end("library", "1"), (1, line(library)));
    let (code, lines) = end("bug", "1");
    let bug = "program: rank 1 of 2 (here): a bug, please report it: panicked at";
    assert!(code == 1 && lines[0].starts_with(bug), "{lines:?}");
    assert!(lines.concat().contains("a broken promise"), "{lines:?}");
}

#[test]
fn what_another_process_tells_ends_this_one_without_a_line() {
    assert_eq!(end("elsewhere", "1"), (1, vec![]));
    assert_eq!(end("usage elsewhere", "1"), (2, vec![]));
}

#[test]
fn torchrun_finds_the_reason_in_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("error.json");
    let reason = |case| {
        process(case, "1", &file);
        let text = std::fs::read_to_string(&file).ok()?;
        std::fs::remove_file(&file).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let message = &json["message"];
        let timestamp = message["extraInfo"]["timestamp"].as_str().unwrap();
        assert!(timestamp.parse::<u64>().unwrap() > 1_700_000_000, "{text}");
        Some(message["message"].as_str().unwrap().to_owned())
    };
    let failed = reason("failure");
    assert_eq!(failed.unwrap(), "in the middle: a reason in two lines");
    assert!(reason("bug").unwrap().contains("a broken promise"));
    assert_eq!(reason("library").unwrap(), "a broken file");
    assert_eq!(reason("done"), None);
    assert_eq!(reason("elsewhere"), None);
}

#[test]
fn a_file_that_cannot_be_written_is_a_warning() {
    let output = process("failure", "1", Path::new("/dev/null/error.json"));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("/dev/null/error.json"), "{stderr}");
    assert_eq!(output.status.code(), Some(1));
}
