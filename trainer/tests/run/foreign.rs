//! Files that no run wrote: which of two networks is read, and that it is said.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use model::files::safetensors::{self, HostTensor};
use model::files::weights::Weights;
use model::{Arch, ModelConfig};
use serde_json::Value;

use super::refusals::assert_refused;
use super::{Bench, assert_success, stderr, trainer};

/// A random network's tensors below a prefix.
fn network(arch: Arch, seed: u64, prefix: &str) -> Vec<HostTensor> {
    let model = ModelConfig {
        arch,
        ..ModelConfig::default()
    };
    let weights = Weights::random(model, seed);
    let tensors = weights.tensors().iter();
    let copied =
        tensors.map(|(name, tensor)| HostTensor::copy_of(format!("{prefix}{name}"), tensor));
    copied.map(Result::unwrap).collect()
}

fn embed(bench: &Bench, weights: &Path, more: &[&str]) -> Output {
    let mut command = trainer(&["embed", "--device", "cpu", "--height", "64", "--json"]);
    command.arg(weights).arg(bench.path("shards"));
    command
        .arg("--out")
        .arg(bench.path("features.parquet"))
        .args(more);
    command.output().unwrap()
}

#[test]
fn of_a_student_and_a_teacher_one_is_read_and_named() {
    let bench = Bench::new();
    let file = bench.path("dino.safetensors");
    let mut tensors = network(Arch::Resnet18, 1, "student.backbone.");
    tensors.extend(network(Arch::Resnet18, 2, "teacher.backbone."));
    safetensors::write(&file, &BTreeMap::new(), &tensors).unwrap();
    for (more, taken, other) in [
        (&[][..], "teacher", "student"),
        (&["--network", "target"], "teacher", "student"),
        (&["--network", "online"], "student", "teacher"),
    ] {
        let output = embed(&bench, &file, more);
        assert_success(&output);
        let told = stderr(&output);
        assert!(told.contains("resnet18, 120 tensors; left out:"), "{told}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let weights = report["weights"].as_str().unwrap();
        let expected = format!("network {taken}.backbone.* (not {other}.backbone.*)");
        assert!(weights.ends_with(&expected), "{weights}");
    }
}

#[test]
fn deeper_ones_are_what_they_are_and_absent_networks_are_refused() {
    let bench = Bench::new();
    let file = bench.path("r34.safetensors");
    safetensors::write(&file, &BTreeMap::new(), &network(Arch::Resnet34, 1, "")).unwrap();
    let output = embed(&bench, &file, &[]);
    assert_success(&output);
    assert!(
        stderr(&output).contains("resnet34, 216 tensors"),
        "{}",
        stderr(&output)
    );
    assert_refused(
        &embed(&bench, &file, &["--network", "target"]),
        &["r34", "no target network"],
    );
}
