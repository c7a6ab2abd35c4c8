//! Probe and transfer on a small labelled set, made up so that colour tells the class.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use trainer::report;

use super::{Bench, assert_success, stderr, trainer};

/// Three classes, their colours far apart.
const CLASSES: [(u8, [u8; 3]); 3] = [(0, [90, 60, 90]), (2, [200, 190, 60]), (10, [60, 130, 220])];
const SIDE: u32 = 64;

/// Pairs of images and labels in `train` and `val`: bands of the three classes at heights of the
/// image's own.
pub(crate) fn labelled(bench: &Bench) -> PathBuf {
    let dir = bench.path("labelled");
    for (split, count) in [("train", 12), ("val", 5)] {
        fs::create_dir_all(dir.join(split)).unwrap();
        for ix in 0..count {
            let band = |y: u32| ((y + 13 * ix) / 24 % 3) as usize;
            let image = image::RgbImage::from_fn(SIDE, SIDE, |x, y| {
                image::Rgb(
                    CLASSES[band(y)]
                        .1
                        .map(|c| c + ((x * 7 + y * 3 + ix) % 11) as u8),
                )
            });
            let label =
                image::GrayImage::from_fn(SIDE, SIDE, |_, y| image::Luma([CLASSES[band(y)].0]));
            image
                .save(dir.join(format!("{split}/{ix:02}.png")))
                .unwrap();
            label
                .save(dir.join(format!("{split}/{ix:02}_labelTrainIds.png")))
                .unwrap();
        }
    }
    dir
}

fn json(arguments: &[&str]) -> Value {
    let output = trainer(arguments).output().unwrap();
    assert_success(&output);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_probe_finds_what_the_maps_tell_and_repeats() {
    let bench = Bench::new();
    let data = labelled(&bench);
    let data = data.to_str().unwrap();
    let picture = bench.path("probe.png");
    let arguments = [
        "probe",
        "random",
        "--arch",
        "resnet18",
        "--layer4-stride",
        "1",
        "--layer3-stride",
        "1",
    ];
    let of_set = [
        "--data", data, "--height", "64", "--device", "cpu", "--json", "--epochs", "120",
    ];
    let drawn = ["--pictures", picture.to_str().unwrap()];
    let report = json(&[&arguments[..], &of_set, &drawn].concat());
    let score = |key: &str| report[key]["miou"].as_f64().unwrap();
    let bound = |key: &str| report[key].as_f64().unwrap();
    assert!(score("c5") > bound("position_only_miou") + 10.0, "{report}");
    assert!(
        bound("ceiling_miou") > 80.0 && score("c4_c5") <= 100.0,
        "{report}"
    );
    assert_eq!(report["grid"], serde_json::json!([9, 9]));
    assert!(image::open(&picture).unwrap().width() > 1000);
    // Again, and by two ranks: the same to the bit.
    let again = |more: &[&str]| {
        let mut found = json(&[&arguments[..], &of_set, more].concat());
        found.as_object_mut().unwrap().remove("seconds").unwrap();
        found
    };
    let alone = again(&[]);
    assert_eq!(alone["c5"], report["c5"]);
    assert_eq!(again(&["--processes", "2"]), alone);
}

#[test]
fn images_without_labels_are_refused_or_left_out_by_name_and_number() {
    let bench = Bench::new();
    let data = labelled(&bench);
    for name in ["train/03", "train/11"] {
        fs::remove_file(data.join(format!("{name}_labelTrainIds.png"))).unwrap();
    }
    let probe = |more: &[&str]| {
        let mut command = trainer(&["probe", "random", "--arch", "resnet18", "--device", "cpu"]);
        command.args(["--height", "64", "--epochs", "1", "--json", "--data"]);
        command.arg(&data).args(more).output().unwrap()
    };
    let refused = stderr(&probe(&[]));
    for words in ["2 of 12 images", "03.png, 11.png", "--skip-unlabelled"] {
        assert!(refused.contains(words), "{refused}");
    }
    let output = probe(&["--skip-unlabelled"]);
    assert_success(&output);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["train_images"], 10);
    assert_eq!(report["unlabelled_images"], 2);
}

#[test]
fn the_same_weights_score_the_same_as_a_run_and_as_exports() {
    let bench = Bench::new();
    let data = labelled(&bench);
    let run = bench.path("run");
    // Batch norms of half a batch, and a last stage at stride 1: neither is in the tensors.
    assert_success(&bench.run(&run, &["--steps", "2", "--set", "model.bn_splits=2"]));
    let score = |weights: &Path| {
        json(&[
            "probe",
            weights.to_str().unwrap(),
            "--data",
            data.to_str().unwrap(),
            "--height",
            "64",
            "--epochs",
            "2",
            "--device",
            "cpu",
            "--json",
        ])
    };
    let of_run = score(&run);
    assert_eq!(of_run["grid"], serde_json::json!([5, 5]));
    for name in ["r18.pth", "r18.safetensors"] {
        let file = bench.path(name);
        let mut export = trainer(&["export"]);
        assert_success(&export.arg(&run).arg("--out").arg(&file).output().unwrap());
        let of_export = score(&file);
        for key in ["grid", "c5", "c4_c5", "neighbours_map"] {
            assert_eq!(of_export[key], of_run[key], "{key} of {name}");
        }
    }
}

#[test]
fn a_run_is_probed_without_being_changed() {
    let bench = Bench::new();
    let (plain, probed) = (bench.path("unprobed"), bench.path("probed"));
    assert_success(&bench.run(&plain, &[]));
    let data = format!("probe.data={:?}", labelled(&bench));
    let probe = [
        "--set",
        "probe.every=3",
        "--set",
        &data,
        "--set",
        "probe.height=64",
        "--set",
        "probe.epochs=2",
    ];
    assert_success(&bench.run(&probed, &probe));
    let rows = |run: &Path| report::read(run).unwrap();
    let steps: Vec<u64> = rows(&probed)
        .iter()
        .filter(|row| row.probe_miou.is_some())
        .map(|row| row.step)
        .collect();
    assert_eq!(steps, [3, 6]);
    for row in rows(&plain) {
        let twin = rows(&probed)
            .into_iter()
            .find(|twin| twin.step == row.step)
            .unwrap();
        assert_eq!(
            (twin.z_std, twin.iou),
            (row.z_std, row.iou),
            "step {}",
            row.step
        );
    }
    let weights = |run: &Path| {
        model::files::checkpoint::Checkpoint::open(run)
            .unwrap()
            .tensors
    };
    assert_eq!(weights(&plain), weights(&probed));
    let wrong = bench.run(
        &bench.path("nowhere"),
        &["--set", "probe.every=3", "--set", "probe.data=\"nothing\""],
    );
    assert!(
        !wrong.status.success() && stderr(&wrong).contains("[probe] data"),
        "{}",
        stderr(&wrong)
    );
}

#[test]
fn fine_tuning_learns_and_resumes_to_the_same_weights() {
    let bench = Bench::new();
    let data = labelled(&bench);
    let data = data.to_str().unwrap();
    let tune = |out: &Path, more: &[&str]| {
        let recipe = [
            "crop_px=64",
            "iterations=24",
            "batch=4",
            "channels=16",
            "checkpoint_every=10",
            "log_every=4",
            "milestones=[0.6666]",
        ];
        let mut arguments = vec![
            "transfer", "seg", "random", "--arch", "resnet18", "--config", "small", "--json",
        ];
        arguments.extend(recipe.iter().flat_map(|key| ["--set", key]));
        arguments.extend([
            "--data",
            data,
            "--device",
            "cpu",
            "--out",
            out.to_str().unwrap(),
        ]);
        arguments.extend(more);
        json(&arguments)
    };
    let (whole, parts) = (bench.path("tuned"), bench.path("tuned_in_parts"));
    let result = tune(&whole, &[]);
    // One class everywhere would score 11.
    assert!(
        result["scores"]["miou"].as_f64().unwrap() > 25.0,
        "{result}"
    );
    assert!(whole.join("predictions.png").is_file() && whole.join("result.json").is_file());
    let losses = |run: &Path| -> Vec<Value> {
        let rows = testkit::log_rows(run);
        rows.iter().map(|row| row["loss"].clone()).collect()
    };
    let rows: Vec<f64> = losses(&whole).iter().filter_map(Value::as_f64).collect();
    assert!(rows.len() == 6 && rows[5] < 0.7 * rows[0], "{rows:?}");
    // A row has the rate of its last step; the 17th is the first with a tenth.
    let rates: Vec<f64> = testkit::log_rows(&whole)
        .iter()
        .filter_map(|row| row["lr"].as_f64())
        .collect();
    assert_eq!(rates[..4], [0.02; 4]);
    assert!(rates[4..].iter().all(|rate| (rate - 0.002).abs() < 1e-9));
    tune(&parts, &["--iterations", "12"]);
    tune(&parts, &[]);
    let weights = |run: &Path| fs::read(run.join("checkpoint.safetensors")).unwrap();
    assert!(
        weights(&whole) == weights(&parts),
        "stopped and resumed, the weights are others"
    );
    assert_eq!(losses(&whole), losses(&parts));
    let mut other = trainer(&[
        "transfer", "seg", "random", "--data", data, "--config", "small", "--out",
    ]);
    let refused = other
        .arg(&whole)
        .args(["--device", "cpu", "--arch", "resnet18"])
        .output()
        .unwrap();
    assert!(
        stderr(&refused).contains("other weights, images or settings"),
        "{}",
        stderr(&refused)
    );
}
