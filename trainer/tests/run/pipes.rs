//! Readers that go away, as `| head -1` does, are no failure.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use super::{Bench, assert_success, stderr, trainer};

fn spawn(command: &mut Command) -> Child {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_list_may_be_left_after_its_first_line_or_before() {
    for arguments in [
        &["run", "--list-configs"][..],
        &["transfer", "seg", "--list-configs"],
    ] {
        for reads_a_line in [false, true] {
            let mut child = spawn(&mut trainer(arguments));
            let mut out = BufReader::with_capacity(16, child.stdout.take().unwrap());
            if reads_a_line {
                let mut first = String::new();
                out.read_line(&mut first).unwrap();
                assert!(!first.is_empty());
            }
            drop(out);
            let mut said = String::new();
            let mut errors = child.stderr.take().unwrap();
            errors.read_to_string(&mut said).unwrap();
            assert_eq!(
                (child.wait().unwrap().code(), said.as_str()),
                (Some(0), ""),
                "{arguments:?}"
            );
        }
    }
}

#[test]
fn ranks_whose_first_has_no_reader_end_well() {
    let bench = Bench::new();
    let of_two = ["--json", "--steps", "1", "--processes", "2"];
    let mut child = spawn(&mut bench.command(&bench.path("unread"), &of_two));
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_success(&output);
    assert!(
        !stderr(&output).contains("trainer: "),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_run_that_nobody_watches_goes_on() {
    let bench = Bench::new();
    let out = bench.path("unwatched");
    let mut child = spawn(&mut bench.command(&out, &["--steps", "2"]));
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let file = bench.path("w.safetensors");
    let mut export = trainer(&["export"]);
    let mut child = spawn(export.arg(&out).arg("--out").arg(&file));
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(file.is_file());
    assert_success(&bench.run(&out, &["--steps", "3"]));
}
