//! What cannot be done is said in one line, with exit code 2, and leaves nothing behind.

use std::process::Output;

use model::files::checkpoint::Checkpoint;

use super::resume::{assert_same, result};
use super::{Bench, assert_success, stderr, trainer};

#[track_caller]
pub(crate) fn assert_refused(output: &Output, parts: &[&str]) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    let line = text.trim_end();
    assert!(
        line.lines().count() == 1 && line.starts_with("trainer: "),
        "one line: {text}"
    );
    for part in parts {
        assert!(line.contains(part), "{part:?} in {line:?}");
    }
}

#[test]
fn missing_shards_say_how_to_make_them() {
    let out = Bench::new().path("never");
    let mut command = trainer(&["run", "no/such/shards", "--device", "cpu", "--out"]);
    assert_refused(
        &command.arg(&out).output().unwrap(),
        &["no/such/shards", "ingest waymo"],
    );
    assert!(!out.exists());
}

#[test]
fn empty_and_foreign_folders_are_no_shards() {
    let bench = Bench::new();
    let empty = bench.path("empty");
    std::fs::create_dir_all(&empty).unwrap();
    let out = bench.path("never");
    let output = trainer(&["run", "--device", "cpu"])
        .arg(&empty)
        .arg("--out")
        .arg(&out)
        .output()
        .unwrap();
    assert_refused(&output, &["empty"]);
    assert!(!out.exists());
}

#[test]
fn unknown_devices_and_absent_gpus() {
    let bench = Bench::new();
    let out = bench.path("never");
    let with = |device| {
        let mut command = trainer(&["run", "--device", device]);
        command
            .arg(bench.path("shards"))
            .arg("--out")
            .arg(&out)
            .output()
            .unwrap()
    };
    assert_refused(&with("tpu"), &["--device tpu", "cuda:N"]);
    assert_refused(&with("cuda:77"), &["--device cuda:77"]);
    assert!(!out.exists());
}

#[test]
fn bad_configs_name_key_place_and_choices() {
    let bench = Bench::new();
    let out = bench.path("never");
    let with = |set: &str| bench.run(&out, &["--set", set]);
    assert_refused(
        &with("data.batchh=3"),
        &["data.batchh", "[data]", "accumulate"],
    );
    assert_refused(
        &with("method.align=diagonal"),
        &["diagonal", "`roi`", "`offset`"],
    );
    assert_refused(&with("augment.pair.min_iou=1.5"), &["min_iou", "1.5"]);
    assert_refused(
        &with("optim.precision=tf32"),
        &["tf32", "fp32, bf16 or auto"],
    );
    assert_refused(&with("optim.precision=fp8"), &["fp8", "`tf32`"]);
    assert_refused(&with("data.batch=500"), &["500", "20"]);
    let configured = |config: &str| {
        let mut command = trainer(&["run", "--device", "cpu", "--config", config]);
        command
            .arg(bench.path("shards"))
            .arg("--out")
            .arg(&out)
            .output()
            .unwrap()
    };
    assert_refused(
        &configured("multisiam_mars"),
        &["multisiam_mars", "multisiam_waymo"],
    );
    assert_refused(&bench.run(&out, &["--where", "camera = "]), &["camera"]);
    let file = bench.path("typo.toml");
    std::fs::write(&file, "seed = 1\n\n[optim]\nbase_lrr = 2\n").unwrap();
    assert_refused(
        &configured(file.to_str().unwrap()),
        &["typo.toml line 4", "`base_lrr`", "base_lr"],
    );
    assert!(!out.exists());
}

#[test]
fn a_changed_config_is_shown_and_refused() {
    let bench = Bench::new();
    let out = bench.path("changed");
    assert_success(&bench.run(&out, &["--steps", "1"]));
    let output = bench.run(&out, &["--set", "method.k=4", "--seed", "6"]);
    assert_refused(
        &output,
        &[
            "method.k: 3 -> 4",
            "seed: 5 -> 6",
            "--fresh",
            "--allow-change",
        ],
    );
    let output = bench.run(&out, &["--where", "camera = 'SIDE'"]);
    assert_refused(&output, &["data.where", "20 frames", "10 frames"]);
    // What changes no weight may change, and what is allowed too.
    assert_success(&bench.run(&out, &["--steps", "2", "--set", "run.log_every_steps=1"]));
    let allowed = [
        "--steps",
        "3",
        "--set",
        "method.k=4",
        "--allow-change",
        "method.k",
    ];
    assert_success(&bench.run(&out, &allowed));
    assert_success(&bench.run(&out, &["--steps", "1", "--fresh", "--seed", "6"]));
    assert!(
        bench.path("changed.1/checkpoints").is_dir(),
        "the earlier run was moved, not deleted"
    );
}

#[test]
fn folders_that_are_no_runs() {
    let bench = Bench::new();
    assert_refused(&bench.run(&bench.path("small.toml"), &[]), &["is a file"]);
    assert_refused(&bench.run(&bench.path("shards"), &[]), &["no run's"]);
    let output = trainer(&["export", "no/such/run", "--out", "x.safetensors"])
        .output()
        .unwrap();
    assert_refused(&output, &["no/such/run"]);
}

/// A rate of zero at the first step, then one that breaks any network.
const DIVERGES: [&str; 4] = [
    "--set",
    "optim.base_lr=1e24",
    "--set",
    "schedule.warmup_steps=4",
];

/// The term and the step that a diverged run's last line names.
fn stopped_by(text: &str) -> (String, u64) {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("trainer: "))
        .unwrap_or_else(|| panic!("{text}"));
    let (term, rest) = line
        .split_once(" is not finite at step ")
        .unwrap_or_else(|| panic!("{line}"));
    (
        term.to_owned(),
        rest.split_once(';').unwrap().0.parse().unwrap(),
    )
}

#[test]
fn a_run_that_diverges_stops_at_its_step() {
    let bench = Bench::new();
    let out = bench.path("diverged");
    let output = bench.run(
        &out,
        &[&DIVERGES[..], &["--set", "run.checkpoint_every_steps=1"]].concat(),
    );
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let (term, step) = stopped_by(&text);
    let checkpoints = model::files::checkpoint::list(&out).unwrap();
    let (newest, path) = checkpoints.last().unwrap();
    assert_eq!(*newest, step - 1, "{text}");
    assert!(
        text.contains(&format!("the state before it is {}", path.display())),
        "{text}"
    );
    for (_, path) in &checkpoints {
        let (_, tensors) = model::files::safetensors::read(path).unwrap();
        assert!(tensors.iter().all(|t| t.is_finite()), "{path:?}");
    }
    assert!(
        trainer::report::read(&out)
            .unwrap()
            .iter()
            .all(|row| row.step < step)
    );

    // Asked only at steps 1 and 8, the run names the same step and term, and has the same state.
    let out = bench.path("asked_late");
    let text = stderr(&bench.run(&out, &[&DIVERGES[..], &SELDOM].concat()));
    assert_eq!(stopped_by(&text), (term, step), "{text}");
    let (newest, late) = model::files::checkpoint::list(&out).unwrap().pop().unwrap();
    assert_eq!(newest, step - 1, "{text}");
    let tensors = |path| model::files::safetensors::read(path).unwrap().1;
    assert!(tensors(path) == tensors(&late));
}

/// Nothing asks whether a step was good but the first and the last.
const SELDOM: [&str; 4] = [
    "--set",
    "run.checkpoint_every_steps=100",
    "--set",
    "run.log_every_steps=100",
];

#[test]
fn a_diverged_run_goes_on_from_before_its_bad_step_as_if_it_had_stopped_there() {
    let bench = Bench::new();
    let (diverged, stopped) = (bench.path("diverged"), bench.path("stopped"));
    // Three batches an epoch, two a step: a step ends within an epoch or goes beyond it.
    let sets = [&SELDOM[..], &["--set", "data.accumulate=2"]].concat();
    let bad = [&DIVERGES[..], &sets].concat();
    let (_, step) = stopped_by(&stderr(&bench.run(&diverged, &bad)));
    let last_good = (step - 1).to_string();
    assert_success(&bench.run(&stopped, &[&bad[..], &["--steps", &last_good]].concat()));
    let header = |run| Checkpoint::open(run).unwrap().header;
    assert_eq!(header(&diverged), header(&stopped));
    let tamed = [
        "--set",
        "schedule.warmup_steps=4",
        "--set",
        "optim.base_lr=0.1",
        "--allow-change",
        "optim.base_lr",
    ];
    for run in [&diverged, &stopped] {
        assert_success(&bench.run(run, &[&sets[..], &tamed].concat()));
    }
    assert_same(&result(&diverged), &result(&stopped));
}

#[test]
fn a_run_that_diverges_at_once_leaves_no_checkpoint() {
    let bench = Bench::new();
    let out = bench.path("at_once");
    let sets = [
        "--set",
        "optim.base_lr=1e30",
        "--set",
        "schedule.warmup_steps=0",
    ];
    let text = stderr(&bench.run(&out, &sets));
    assert_eq!(stopped_by(&text).1, 1, "{text}");
    assert!(text.contains("nothing has been learnt yet"), "{text}");
    assert!(model::files::checkpoint::list(&out).unwrap().is_empty());
}
