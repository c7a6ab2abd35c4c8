//! Readers that go away, as `| head -1` does: the programs end quietly.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use crate::programs::{demo_set, program};

/// Runs `line` in the demo folder and closes stdout (or stderr) after its first line, or before it with
/// `at_once`; what the other stream said, and the exit code.
fn abandoned(line: &str, close_stderr: bool, at_once: bool) -> (String, Option<i32>) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut child = Command::new(program(words[0]))
        .args(&words[1..])
        .current_dir(demo_set())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let out: Box<dyn Read> = Box::new(child.stdout.take().unwrap());
    let err: Box<dyn Read> = Box::new(child.stderr.take().unwrap());
    let (left, mut kept) = if close_stderr { (err, out) } else { (out, err) };
    if !at_once {
        let mut first = String::new();
        BufReader::with_capacity(1, left)
            .read_line(&mut first)
            .unwrap();
    } else {
        drop(left);
    }
    let mut said = String::new();
    kept.read_to_string(&mut said).unwrap();
    (said, child.wait().unwrap().code())
}

#[test]
fn a_reader_of_results_may_leave() {
    for line in [
        "trainer run --list-configs",
        "trainer run shards/ --config demo_cpu --device cpu --dry-run",
        "trainer run shards/ --config demo_cpu --device cpu --dry-run --json",
        "ingest inspect shards/",
        "ingest inspect shards/ --json",
        "ingest verify shards/",
        "sampler stats shards/ --pairs 100 --json",
        "sampler bench shards/ --seconds 0.2 --json",
        "trainer --help",
    ] {
        for at_once in [true, false] {
            let (said, code) = abandoned(line, false, at_once);
            assert!(
                !said.contains("panicked") && !said.contains("bug") && !said.contains("roken pipe"),
                "{line}: {said}"
            );
            assert_eq!(code, Some(0), "{line}: {said}");
        }
    }
}

#[test]
fn a_reader_of_progress_may_leave() {
    for line in [
        "ingest images data/soda10m --out again/",
        "sampler preview shards/ --out pipes.png --pairs 2",
        "trainer run shards/ --config demo_cpu --device cpu --dry-run",
    ] {
        let (_, code) = abandoned(line, true, true);
        assert_eq!(code, Some(0), "{line}");
    }
}
