//! `trainer bench`: the step of a config, timed, traced, and compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Output;

use model::device::normalised;
use model::files::safetensors::{self, HostTensor};
use serde_json::Value;
use tch::{Device, Kind, Tensor};
use trainer::config;
use trainer::method::{self, Method, View, Views};

use super::refusals::assert_refused;
use super::{Bench, assert_success, stderr, trainer};

impl Bench {
    fn measure(&self, more: &[&str]) -> Output {
        let mut command = trainer(&["bench", "--device", "cpu", "--steps", "1", "--warmup", "1"]);
        command
            .arg("--config")
            .arg(self.path("small.toml"))
            .args(more)
            .output()
            .unwrap()
    }
}

fn report(output: &Output) -> Value {
    assert_success(output);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

#[test]
fn a_step_is_timed_with_pairs_of_memory_and_of_the_loader() {
    let bench = Bench::new();
    let memory = report(&bench.measure(&["--json"]));
    let shards = bench.path("shards");
    let loader = report(&bench.measure(&[
        shards.to_str().unwrap(),
        "--json",
        "--set",
        "data.accumulate=2",
        "--set",
        "run.deterministic=true",
    ]));
    for (found, data, pairs) in [(&memory, "memory", 6), (&loader, "loader", 12)] {
        assert_eq!(
            (&found["data"], &found["batch"]),
            (&data.into(), &pairs.into())
        );
        assert_eq!(
            (&found["arch"], &found["size"]),
            (&"resnet18".into(), &64.into())
        );
        assert_eq!(
            (&found["device"], &found["precision"], &found["peak_gib"]),
            (&"cpu".into(), &"fp32".into(), &Value::Null)
        );
        assert_eq!(found["fused_kernels"], "off: the device is a CPU");
        assert_eq!(found["deterministic"], data == "loader");
        let number = |key: &str| {
            found[key]
                .as_f64()
                .unwrap_or_else(|| panic!("{key} in {found}"))
        };
        let speed = f64::from(pairs) / (number("step_ms") / 1e3);
        assert!((number("pairs_per_s") / speed - 1.0).abs() < 1e-9 && speed > 0.0);
        assert!((0.0..=1.0).contains(&number("data_wait_share")) && number("tflop_per_step") > 0.0);
        assert!((-4.0..=4.0).contains(&number("loss")));
    }
    assert_eq!(
        2.0 * memory["tflop_per_step"].as_f64().unwrap(),
        loader["tflop_per_step"].as_f64().unwrap()
    );
    let text = bench.measure(&[]);
    assert_success(&text);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        [
            "resnet18, 6 pairs of 64 px, fp32",
            "fused kernels off: the device is a CPU",
            "pairs/s",
            "data wait"
        ]
        .iter()
        .all(|part| text.contains(part)),
        "{text}"
    );
    assert_eq!(
        fs::read_dir(bench.path("")).unwrap().count(),
        2,
        "shards and config: a measurement leaves nothing"
    );
}

#[test]
fn a_trace_names_the_operations_of_three_steps() {
    let bench = Bench::new();
    let path = bench.path("trace.json");
    assert_success(&bench.measure(&["--trace", path.to_str().unwrap()]));
    let trace: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let count = |name: &str| events.iter().filter(|event| event["name"] == name).count();
    // 20 filters of the backbone and 6 of heads on maps: two views, three steps, online and target
    // (no predictor there).
    let forward = 2 * 3 * (2 * 20 + 2 * 2 + 2);
    assert_eq!(
        (
            count("aten::convolution"),
            count("aten::convolution_backward")
        ),
        (forward, 2 * 3 * (20 + 4))
    );
}

/// Writes what `--agree` reads: the weights of `method`, and views of random bytes.
fn write_agreement(folder: &Path, method: &Method, views: &Tensor) -> [Tensor; 3] {
    let state: Vec<_> = method
        .state()
        .iter()
        .map(|(name, t)| HostTensor::copy_of(name, t).unwrap())
        .collect();
    safetensors::write(&folder.join("state.safetensors"), &BTreeMap::new(), &state).unwrap();
    let n = views.size()[1];
    let crops =
        Tensor::from_slice(&[10.0f32, 20.0, 300.0, 280.0, 40.0, 5.0, 250.0, 330.0]).view([2, 1, 4]);
    let crops = crops.repeat([1, n, 1]);
    let frames = Tensor::from_slice(&[640.0f32, 480.0]).repeat([n, 1]);
    let flips = Tensor::arange(2 * n, (Kind::Int64, Device::Cpu))
        .remainder(3)
        .eq(0)
        .to_kind(Kind::Uint8)
        .view([2, n]);
    let inputs = [
        ("views", views),
        ("crops", &crops),
        ("frames", &frames),
        ("flips", &flips),
    ];
    let inputs = inputs.map(|(name, tensor)| HostTensor::copy_of(name, tensor).unwrap());
    safetensors::write(
        &folder.join("inputs.safetensors"),
        &BTreeMap::new(),
        &inputs,
    )
    .unwrap();
    [crops, frames, flips]
}

#[test]
fn given_weights_and_views_have_the_loss_and_gradients_of_their_method() {
    let bench = Bench::new();
    let (folder, config) = (bench.path("agree"), bench.path("small.toml"));
    fs::create_dir(&folder).unwrap();
    let config = config::resolve(&config::find(config.to_str().unwrap()).unwrap(), &[]).unwrap();
    let method =
        method::build(&config.method, &config.model, Device::Cpu, Kind::Float, 77).unwrap();
    let numbers = Tensor::arange(2 * 5 * 64 * 64 * 3, (Kind::Int64, Device::Cpu));
    let views = (&numbers * &numbers)
        .remainder(251)
        .to_kind(Kind::Uint8)
        .view([2, 5, 64, 64, 3]);
    let [crops, frames, flips] = write_agreement(&folder, &method, &views);
    assert_success(&bench.measure(&["--agree", folder.to_str().unwrap()]));

    let view = |ix: i64| View {
        image: normalised(&views.get(ix), Device::Cpu),
        crop: crops.get(ix),
        frame: frames.shallow_clone(),
        flip: flips.get(ix).to_kind(Kind::Bool),
    };
    let views = Views {
        a: view(0),
        b: view(1),
    };
    let mut pass = method.pass(&views);
    while let Some(share) = pass.direction() {
        share.backward();
    }
    let losses = pass.losses();
    let (_, ours) = safetensors::read(&folder.join("ours.safetensors")).unwrap();
    let ours: BTreeMap<_, _> = ours
        .iter()
        .map(|t| (t.name.clone(), t.to_tensor().unwrap()))
        .collect();
    assert!((ours["loss"].double_value(&[]) - losses.total.double_value(&[])).abs() < 1e-5);
    let names = method
        .params()
        .trainable()
        .map(|entry| format!("online.{}", entry.name));
    assert_eq!(
        names.chain(["loss".to_owned()]).collect::<BTreeSet<_>>(),
        ours.keys().cloned().collect()
    );
    let stem = method.params().get("backbone.conv1.weight").unwrap().grad();
    let off = (&ours["online.backbone.conv1.weight"] - &stem)
        .norm()
        .double_value(&[]);
    assert!(off < 1e-3 * stem.norm().double_value(&[]), "{off}");
}

#[test]
fn what_cannot_be_measured_is_refused_in_a_line() {
    let bench = Bench::new();
    assert_refused(
        &bench.measure(&["no/such/shards"]),
        &["no/such/shards", "ingest waymo"],
    );
    assert_refused(
        &bench.measure(&["--trace", "no/such/folder/x.json"]),
        &["--trace no/such/folder/x.json"],
    );
    assert_refused(&bench.measure(&["--set", "method.k=99"]), &["method.k"]);
    let folder = bench.path("agree");
    let agree = || bench.measure(&["--agree", folder.to_str().unwrap()]);
    assert_refused(&agree(), &["--agree", "state.safetensors"]);
    fs::create_dir(&folder).unwrap();
    let config = config::resolve(
        &config::find(bench.path("small.toml").to_str().unwrap()).unwrap(),
        &[],
    )
    .unwrap();
    let method = method::build(&config.method, &config.model, Device::Cpu, Kind::Float, 1).unwrap();
    let write = |height| {
        let views = Tensor::zeros([2, 3, height, 64, 3], (Kind::Uint8, Device::Cpu));
        drop(write_agreement(&folder, &method, &views));
    };
    write(48);
    assert_refused(&agree(), &["inputs.safetensors", "[2, 3, 48, 64, 3]"]);
    safetensors::write(&folder.join("inputs.safetensors"), &BTreeMap::new(), &[]).unwrap();
    assert_refused(&agree(), &["inputs.safetensors", "views"]);
    write(64);
    safetensors::write(&folder.join("state.safetensors"), &BTreeMap::new(), &[]).unwrap();
    assert_refused(&agree(), &["agree", "lacks online.backbone"]);
    let diverging = bench.measure(&["--set", "optim.base_lr=1e30"]);
    assert_eq!(diverging.status.code(), Some(1));
    assert!(
        stderr(&diverging).contains("is not finite at step"),
        "{}",
        stderr(&diverging)
    );
}
