//! TensorBoard's own reader, open all the while, sees of a run that is killed and resumed what an
//! undisturbed one would have logged.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Deserialize;
use testkit::python;
use trainer::report;

use super::resume::{kill, wait_for_step};
use super::{Bench, assert_success};

/// Reads what is new in a folder whenever it gets a line, and says all that it would show.
const WATCH: &str = r#"
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "images": 0})
for _ in sys.stdin:
    events.Reload()
    tags = events.Tags()
    scalars = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags["scalars"]}
    images = {tag: [e.step for e in events.Images(tag)] for tag in tags["images"]}
    print(json.dumps({"scalars": scalars, "images": images}), flush=True)
"#;

/// What TensorBoard shows.
#[derive(Debug, Deserialize)]
struct Shown {
    scalars: BTreeMap<String, Vec<(u64, f64)>>,
    images: BTreeMap<String, Vec<u64>>,
}

/// A TensorBoard that is open. It ends with its input.
struct Watcher {
    process: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Watcher {
    /// Watches `run`; `None` where there is no TensorBoard.
    fn start(run: &Path) -> Option<Self> {
        let mut process = Command::new(python("tensorboard")?)
            .args(["-c", WATCH])
            .arg(run)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Some(Watcher {
            ask: process.stdin.take().unwrap(),
            answers: BufReader::new(process.stdout.take().unwrap()),
            process,
        })
    }

    fn look(&mut self) -> Shown {
        self.ask.write_all(b"\n").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn close(mut self) {
        drop(self.ask);
        assert!(self.process.wait().unwrap().success());
    }
}

/// Every row's loss once, with its value.
#[track_caller]
fn assert_shows_the_rows(shown: &Shown, run: &Path) {
    let rows = report::read(run).unwrap();
    let expected: Vec<(u64, f64)> = rows
        .iter()
        .map(|row| (row.step, f64::from(row.loss as f32)))
        .collect();
    assert_eq!(shown.scalars["loss/total"], expected);
}

#[test]
fn an_open_tensorboard_follows_a_run_through_kills_and_changes() {
    let bench = Bench::new();
    let out = bench.path("watched");
    let Some(mut watcher) = Watcher::start(&out) else {
        return;
    };
    let run = |pictures: &str, more: &[&str]| {
        let sets = [
            "schedule.total_steps=60".to_owned(),
            format!("run.pictures_every_steps={pictures}"),
        ];
        let sets = sets.iter().flat_map(|set| ["--set", set.as_str()]);
        bench.command(&out, &sets.chain(more.iter().copied()).collect::<Vec<_>>())
    };
    let mut child = run("2", &[]).spawn().unwrap();
    wait_for_step(&out, 4);
    kill(child.id(), "-KILL");
    assert!(!child.wait().unwrap().success());
    assert!(watcher.look().scalars["loss/total"].len() >= 3);

    let done = model::files::checkpoint::list(&out)
        .unwrap()
        .last()
        .map_or(0, |(step, _)| *step);
    let stop = (done + 3).to_string();
    assert_success(&run("3", &["--steps", &stop]).output().unwrap());
    let shown = watcher.look();
    assert_shows_the_rows(&shown, &out);
    let pictured: Vec<u64> = (1..=done + 3)
        .filter(|step| step.is_multiple_of(if *step <= done { 2 } else { 3 }))
        .collect();
    assert_eq!(shown.images["crop_pairs"], pictured);

    let stop = (done + 6).to_string();
    let more = ["--steps", stop.as_str(), "--set", "run.log_every_steps=1"];
    assert_success(&run("0", &more).output().unwrap());
    let shown = watcher.look();
    assert_shows_the_rows(&shown, &out);
    assert_eq!(shown.images["clusters"], pictured);
    watcher.close();

    // One that is opened now sees the same.
    let mut fresh = Watcher::start(&out).unwrap();
    let again = fresh.look();
    fresh.close();
    assert_eq!((again.scalars, again.images), (shown.scalars, shown.images));
}
