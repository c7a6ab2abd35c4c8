//! A run learns, and says so in the promised words.

use std::path::Path;

use model::files::checkpoint::Checkpoint;
use trainer::report;

use super::{Bench, assert_success, stderr, trainer};

#[test]
fn the_loss_falls_and_projections_stay_apart() {
    let bench = Bench::new();
    let out = bench.path("falls");
    let output = bench.run(
        &out,
        &[
            "--set",
            "schedule.total_steps=40",
            "--set",
            "schedule.warmup_steps=5",
            "--set",
            "run.checkpoint_every_steps=40",
        ],
    );
    assert_success(&output);
    let rows = report::read(&out).unwrap();
    assert_eq!(rows.first().unwrap().step, 1);
    assert_eq!(rows.last().unwrap().step, 40);
    let mean = |rows: &[report::Row]| rows.iter().map(|r| r.loss).sum::<f64>() / rows.len() as f64;
    let (early, late) = (mean(&rows[..4]), mean(&rows[rows.len() - 4..]));
    assert!(late < early - 0.3, "loss {early} -> {late}");
    assert!(
        rows.iter().all(|r| r.z_std > 0.1 && r.loss_2d.is_some()),
        "{rows:?}"
    );
    assert!(out.join("config.toml").is_file());
    let events = std::fs::read_dir(&out)
        .unwrap()
        .filter_map(|e| e.ok()?.file_name().into_string().ok());
    assert_eq!(events.filter(|n| n.contains("tfevents")).count(), 1);
}

#[test]
fn json_and_metrics_have_the_promised_keys() {
    let bench = Bench::new();
    let out = bench.path("keys");
    let output = bench.run(&out, &["--steps", "2", "--json"]);
    assert_success(&output);
    let report: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("one JSON object on stdout");
    assert_eq!(
        (report["step"].as_u64(), report["total_steps"].as_u64()),
        (Some(2), Some(8))
    );
    let row = &testkit::log_rows(&out)[0];
    for key in [
        "step",
        "epoch",
        "loss",
        "loss_1d",
        "loss_2d",
        "lr",
        "tau",
        "pairs_per_s",
        "step_s",
        "data_wait_s",
        "z_std",
    ] {
        assert!(row[key].is_number(), "{key}: {row}");
    }
    for key in [
        "z_rank",
        "cluster_min",
        "cluster_max",
        "cluster_empty",
        "grad_norm",
        "weight_norm",
    ] {
        assert!(row[key].is_number(), "{key}: {row}");
    }
    let trust = ["trust_min", "trust_median", "trust_max"].map(|key| row[key].as_f64().unwrap());
    assert!(0.0 < trust[0] && trust.is_sorted(), "{row}");
    assert!(
        !stderr(&output).contains("z_rank"),
        "the terminal shows none of them"
    );
}

#[test]
fn every_method_runs() {
    let bench = Bench::new();
    for (method, has_cells) in [
        ("byol", false),
        ("moco", false),
        ("mocov2", false),
        ("multisiam-moco", true),
    ] {
        let out = bench.path(method);
        let sets = [
            format!("method.name={method}"),
            "method.queue=32".to_owned(),
            "optim.name=sgd".to_owned(),
        ];
        let sets: Vec<&str> = sets
            .iter()
            .flat_map(|set| ["--set", set.as_str()])
            .collect();
        assert_success(&bench.run(&out, &[&sets[..], &["--steps", "1"]].concat()));
        let rows = report::read(&out).unwrap();
        assert_eq!(
            (rows[0].loss_2d.is_some(), rows[0].z2d_std.is_some()),
            (has_cells, has_cells),
            "{method}"
        );
        let measured = rows[0].diagnostics;
        assert_eq!(
            (measured.cluster_max.is_some(), measured.trust_max),
            (has_cells, None),
            "{method}"
        );
        assert!(
            measured.z_rank.is_some() && measured.grad_norm.is_some(),
            "{method}"
        );
    }
}

#[test]
fn an_accumulated_step_moves_the_target_once() {
    let bench = Bench::new();
    let out = bench.path("accumulated");
    let sets = [
        "--set",
        "data.accumulate=3",
        "--set",
        "schedule.tau=0.5",
        "--set",
        "schedule.tau_shape=constant",
    ];
    let after = |steps: &str| {
        assert_success(&bench.run(&out, &[&sets[..], &["--steps", steps]].concat()));
        Checkpoint::open(&out).unwrap()
    };
    let (first, second) = (after("1"), after("2"));
    let mut compared = 0;
    for (name, target) in second.part("target.") {
        if name.contains("running_") || name.contains("num_batches") {
            continue;
        }
        // One average over the step's result. A second one, or one between the batches, would weigh
        // it otherwise.
        let expected = (&first.part("target.")[&name] + &second.part("online.")[&name]) * 0.5;
        let gap = (target - expected).abs().max().double_value(&[]);
        assert!(gap < 1e-6, "{name}: {gap:e}");
        compared += 1;
    }
    assert!(compared > 60, "{compared}");
    let tracked = &second.tensors["target.backbone.bn1.num_batches_tracked"];
    assert_eq!(
        tracked.int64_value(&[]),
        12,
        "two steps of three batches, two views each"
    );
}

#[test]
fn a_profile_says_where_the_time_goes_and_changes_nothing() {
    let bench = Bench::new();
    let [plain, profiled] = ["plain", "profiled"].map(|name| bench.path(name));
    assert_success(&bench.run(&plain, &["--steps", "3"]));
    let output = bench.run(&profiled, &["--steps", "3", "--profile", "--json"]);
    assert_success(&output);
    let outcome: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(outcome["profile"]["steps"], 2);
    let phases = outcome["profile"]["phases"].as_array().unwrap();
    let ms = |name: &str| {
        phases.iter().find(|phase| phase[0] == name).unwrap()[1]
            .as_f64()
            .unwrap()
    };
    for (longer, shorter) in [
        ("forward", "upload"),
        ("backward", "upload"),
        ("backward", "update"),
    ] {
        assert!(ms(longer) > ms(shorter) && ms(shorter) > 0.0, "{phases:?}");
    }
    let weights = |run: &Path| Checkpoint::open(run).unwrap().tensors;
    assert_eq!(weights(&plain), weights(&profiled));
}

#[test]
fn a_dry_run_shows_everything_and_touches_nothing() {
    let bench = Bench::new();
    let out = bench.path("dry");
    let output = bench.run(&out, &["--dry-run"]);
    assert_success(&output);
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "arch = \"resnet18\"",
        "# online parameters: ",
        "backbone",
        "8 steps, 2 of them warm-up",
        "lr ",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    assert!(!out.exists());
}

#[test]
fn built_in_configs_are_listed() {
    let output = trainer(&["run", "--list-configs"]).output().unwrap();
    assert_success(&output);
    let text = String::from_utf8(output.stdout).unwrap();
    for name in [
        "multisiam_waymo",
        "mocov2_waymo",
        "table3_dense",
        "demo_cpu",
    ] {
        assert!(
            text.lines().any(|l| l.starts_with(name) && l.len() > 40),
            "{text}"
        );
    }
}

#[test]
fn a_cluster_picture_is_drawn() {
    let bench = Bench::new();
    let out = bench.path("pictured");
    assert_success(&bench.run(&out, &["--steps", "1"]));
    let png = bench.path("clusters.png");
    let draw = |more: &[&str]| {
        let mut command = trainer(&[
            "visualize",
            "--device",
            "cpu",
            "--frames",
            "2",
            "--where",
            "camera = 'SIDE'",
        ]);
        let output = command
            .arg(&out)
            .arg(bench.path("shards"))
            .args(more)
            .arg("--out")
            .arg(&png)
            .output()
            .unwrap();
        assert_success(&output);
        assert!(stderr(&output).contains("2 frames"), "{}", stderr(&output));
        image::open(&png).unwrap().width()
    };
    let alone = draw(&[]);
    let (_, checkpoint) = model::files::checkpoint::list(&out).unwrap().pop().unwrap();
    let beside = draw(&[
        "--beside",
        checkpoint.to_str().unwrap(),
        "--network",
        "target",
    ]);
    assert!(beside > alone, "a column more");
}

#[test]
fn tensorboard_shows_pairs_and_clusters_without_a_change_of_the_run() {
    let bench = Bench::new();
    let [plain, shown] = ["plain", "shown"].map(|name| bench.path(name));
    assert_success(&bench.run(
        &plain,
        &["--steps", "4", "--set", "run.pictures_every_steps=0"],
    ));
    assert_success(&bench.run(
        &shown,
        &["--steps", "4", "--set", "run.pictures_every_steps=3"],
    ));
    let weights = |run: &Path| Checkpoint::open(run).unwrap().tensors;
    assert_eq!(weights(&plain), weights(&shown));
    let events = |run: &Path| {
        let mut files = std::fs::read_dir(run)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        std::fs::read(
            files
                .find(|path| path.to_string_lossy().contains("tfevents"))
                .unwrap(),
        )
        .unwrap()
    };
    let count = |bytes: &[u8], part: &[u8]| {
        bytes
            .windows(part.len())
            .filter(|window| *window == part)
            .count()
    };
    for part in [&b"\x89PNG"[..], b"crop_pairs", b"clusters"] {
        let expected = if part == b"\x89PNG" { 2 } else { 1 };
        assert_eq!(
            (count(&events(&plain), part), count(&events(&shown), part)),
            (0, expected),
            "{part:?}"
        );
    }
}
