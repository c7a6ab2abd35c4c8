//! Shells as children: what they end with, what reaches them, and that none is left.
//!
//! What a whole process does (it is killed, or stopped) needs one: this test program again, told by a
//! variable to be the parent.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::*;

/// More than any machine needs for what is not waited for, and longer than any test.
const LONG: Duration = Duration::from_secs(60);

const PATIENT: Patience = Patience {
    by_themselves: LONG,
    after_term: LONG,
};

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// The exit code of these, and how long it took.
fn outcome(
    scripts: &[&str],
    patience: Patience,
    signal: impl FnMut() -> Option<i32>,
) -> (u8, Duration) {
    let started = Instant::now();
    let commands = scripts.iter().map(|script| shell(script)).collect();
    let code = supervise(commands, patience, signal).unwrap();
    (code, started.elapsed())
}

fn code(scripts: &[&str]) -> u8 {
    outcome(scripts, PATIENT, || None).0
}

/// A script that says in `file` when it hears signals, and does `then`.
fn once_ready(file: &str, traps: &str) -> String {
    // `sleep` in the background, because a shell waits for what is in the foreground before a trap.
    format!("{traps}; echo >> {file}; while :; do sleep 1 & wait $!; done")
}

/// Sends each of `signals` when `file` has as many lines as it stands before.
fn when_ready(file: String, mut signals: Vec<(usize, i32)>) -> impl FnMut() -> Option<i32> {
    move || {
        let lines = fs::read_to_string(&file)
            .unwrap_or_default()
            .lines()
            .count();
        let is_due = signals.first().is_some_and(|(ready, _)| lines >= *ready);
        is_due.then(|| signals.remove(0).1)
    }
}

#[test]
fn the_exit_code_is_that_of_all() {
    assert_eq!(code(&["exit 0", "exit 0", "exit 0"]), 0);
    assert_eq!(code(&["exit 0", "exit 75", "exit 0"]), 75);
    assert_eq!(code(&["exit 75", "exit 75"]), 75);
    assert_eq!(code(&["exit 75", "exit 2", "exit 0"]), 2);
    assert_eq!(code(&["exit 0", "kill -9 $$"]), 128 + 9);
    // The one that fails first counts.
    assert_eq!(code(&["sleep 1; exit 3", "exit 4"]), 4);
}

#[test]
fn who_hangs_after_a_failure_is_asked_and_then_ended() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("asked").display().to_string();
    let asked = format!("trap 'echo asked > {file}' TERM; while :; do sleep 1 & wait $!; done");
    let patience = Patience {
        by_themselves: Duration::from_millis(700),
        after_term: Duration::from_millis(500),
    };
    let (code, took) = outcome(&["sleep 0.3; exit 4", &asked], patience, || None);
    assert_eq!(code, 4);
    assert_eq!(fs::read_to_string(&file).unwrap(), "asked\n");
    assert!(
        took >= Duration::from_millis(1400) && took < LONG,
        "{took:?}"
    );
    // Who ends when asked is not waited for any longer.
    let (code, took) = outcome(
        &["exit 4", "exec sleep 1000"],
        Patience {
            by_themselves: Duration::from_millis(100),
            after_term: LONG,
        },
        || None,
    );
    assert!(code == 4 && took < LONG, "{code} {took:?}");
}

#[test]
fn who_is_interrupted_or_done_ends_nobody_else() {
    let impatient = Patience {
        by_themselves: Duration::ZERO,
        after_term: Duration::ZERO,
    };
    let scripts = ["exit 75", "exit 0", "sleep 0.5; exit 75"];
    assert_eq!(outcome(&scripts, impatient, || None).0, 75);
}

#[test]
fn a_signal_reaches_all_of_them_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ready").display().to_string();
    for signal in [SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2] {
        let name = signal_name(signal).unwrap().trim_start_matches("SIG");
        // A second one would end it with another code.
        let script = once_ready(
            &file,
            &format!("trap 'trap \"exit 9\" {name}; sleep 0.3; exit 75' {name}"),
        );
        let signals = when_ready(file.clone(), vec![(2, signal)]);
        let (code, _) = outcome(&[&script, &script], PATIENT, signals);
        assert_eq!(code, 75, "{name}");
        fs::remove_file(&file).unwrap();
    }
}

#[test]
fn a_second_signal_is_passed_on_too() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ready").display().to_string();
    let script = once_ready(
        &file,
        &format!("trap 'trap \"exit 9\" INT; echo >> {file}' INT"),
    );
    let signals = when_ready(file, vec![(2, SIGINT), (4, SIGINT)]);
    assert_eq!(outcome(&[&script, &script], PATIENT, signals).0, 9);
}

#[test]
fn children_are_in_groups_of_their_own() {
    // What a terminal sends to the parent's group does not reach them.
    let script = r#"test "$(ps -o pgid= -p $$ | tr -d ' ')" = $$"#;
    assert_eq!(code(&[script, script]), 0);
}

#[test]
fn one_that_cannot_be_started_ends_those_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("alive");
    let late = shell(&format!("sleep 1; touch {}", file.display()));
    let error = supervise(
        vec![late, Command::new("/no/such/program")],
        PATIENT,
        || None,
    );
    let line = format!("{:#}", error.unwrap_err());
    assert!(
        line.contains("rank 1") && line.contains("/no/such/program"),
        "{line}"
    );
    sleep(Duration::from_millis(1500));
    assert!(!file.exists());
}

const PARENT: &str = "SUPERVISE_TEST_PARENT";

/// The parent in a process of its own, which says the numbers of its children; among the tests it
/// does nothing.
#[test]
fn as_a_parent() {
    if env::var_os(PARENT).is_none() {
        return;
    }
    let script = "echo child $$; exec sleep 1000";
    let commands = vec![shell(script), shell(script)];
    let code = supervise(commands, PATIENT, listen().unwrap()).unwrap();
    std::process::exit(code.into());
}

/// The parent and its two children; `before` is what a shell does that becomes the parent.
fn family(before: &str) -> (Child, [Pid; 2]) {
    let mut parent = shell(&format!("{before}; exec \"$0\" \"$@\""))
        .arg(env::current_exe().unwrap())
        .args(["--exact", "launch::supervise::tests::as_a_parent"])
        .args(["--nocapture", "--test-threads", "1"])
        .env(PARENT, "")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let mut children = lines.filter_map(|line| {
        let line = line.unwrap();
        let (_, number) = line.split_once("child ")?;
        Pid::from_raw(number.trim().parse().unwrap())
    });
    let mut child = || children.next().unwrap();
    let children = [child(), child()];
    (parent, children)
}

/// The state of a process, as in proc(5); `None` if there is none or it has ended.
fn state(process: Pid) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).ok()?;
    let state = stat.rsplit_once(") ")?.1.chars().next()?;
    (state != 'Z').then_some(state)
}

#[track_caller]
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "not so: {what}"
        );
        sleep(Duration::from_millis(10));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn no_child_outlives_a_killed_parent() {
    let (mut parent, children) = family(":");
    assert!(children.iter().all(|&child| state(child).is_some()));
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_until("both are gone", || {
        children.iter().all(|&child| state(child).is_none())
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_hangup_that_was_ignored_at_the_start_reaches_nobody() {
    let (mut parent, children) = family("trap '' HUP");
    kill_process(Pid::from_child(&parent), Signal::HUP).unwrap();
    sleep(20 * LOOK_EVERY);
    assert!(children.iter().all(|&child| state(child) == Some('S')));
    kill_process(Pid::from_child(&parent), Signal::TERM).unwrap();
    assert_eq!(parent.wait().unwrap().code(), Some(128 + SIGTERM));
    let (mut parent, _) = family(":");
    kill_process(Pid::from_child(&parent), Signal::HUP).unwrap();
    assert_eq!(parent.wait().unwrap().code(), Some(128 + SIGHUP));
}

#[test]
#[cfg(target_os = "linux")]
fn they_stop_and_go_on_with_their_parent() {
    let (mut parent, children) = family(":");
    let all = [Pid::from_child(&parent), children[0], children[1]];
    kill_process(all[0], Signal::TSTP).unwrap();
    wait_until("all have stopped", || {
        all.iter().all(|&process| state(process) == Some('T'))
    });
    kill_process(all[0], Signal::CONT).unwrap();
    wait_until("all go on", || {
        all.iter().all(|&process| state(process) == Some('S'))
    });
    kill_process(all[0], Signal::TERM).unwrap();
    assert_eq!(parent.wait().unwrap().code(), Some(128 + SIGTERM));
    assert!(children.iter().all(|&child| state(child).is_none()));
}
