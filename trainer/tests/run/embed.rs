//! Features of whole frames: those of the backbone, in the catalog's order, and open in Python
//! where there is one.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output};

use arrow::array::AsArray;
use arrow::datatypes::Float32Type;
use eval::frames;
use model::device::normalised;
use model::files::pth;
use model::files::safetensors::HostTensor;
use model::files::weights::Weights;
use model::{Arch, ModelConfig, Network};
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use schemas::catalog::Catalog;
use tch::{Device, Kind, Tensor, no_grad};
use testkit::scenes;

use super::refusals::assert_refused;
use super::{Bench, assert_success, stderr, trainer};

fn embed(weights: &Path, shards: &Path, out: &Path, more: &[&str]) -> Output {
    let mut command = trainer(&["embed", "--device", "cpu", "--batch", "8"]);
    command
        .arg(weights)
        .arg(shards)
        .arg("--out")
        .arg(out)
        .args(more)
        .output()
        .unwrap()
}

/// Names and features of all rows.
fn read(path: &Path) -> Vec<(String, Option<Vec<f32>>)> {
    let batches = ParquetRecordBatchReader::try_new(fs::File::open(path).unwrap(), 1000).unwrap();
    let rows = batches.flat_map(|batch| {
        let batch = batch.unwrap();
        let names = batch
            .column_by_name("frame_id")
            .unwrap()
            .as_string::<i32>()
            .clone();
        let features = batch
            .column_by_name("feature")
            .unwrap()
            .as_fixed_size_list()
            .clone();
        let names: Vec<String> = names.iter().map(|name| name.unwrap().to_owned()).collect();
        let features = features
            .iter()
            .map(|f| f.map(|f| f.as_primitive::<Float32Type>().values().to_vec()));
        names.into_iter().zip(features.collect::<Vec<_>>())
    });
    rows.collect()
}

#[test]
fn a_feature_is_the_mean_of_the_last_map_whatever_else_is_asked_for() {
    let bench = Bench::new();
    let (run, shards) = (bench.path("run"), bench.path("shards"));
    assert_success(&bench.run(&run, &["--steps", "2"]));
    // At this height, cells of 16 pixels, frames of 320 x 240 pass as they are.
    let all = bench.path("all.parquet");
    assert_success(&embed(&run, &shards, &all, &["--height", "240"]));
    let rows = read(&all);
    let frames = frames::pick(&shards, None, 20, 320).unwrap();
    let names: Vec<&String> = frames.iter().map(|frame| &frame.meta.frame_id).collect();
    assert_eq!(rows.iter().map(|(name, _)| name).collect::<Vec<_>>(), names);

    let weights = Weights::open(&run, Network::Online).unwrap();
    let backbone = weights.build(&weights.model, Device::Cpu).unwrap();
    for (frame, (name, feature)) in frames.iter().zip(&rows).step_by(5) {
        let bytes = Tensor::from_slice(frame.picture.rgb()).view([1, 240, 320, 3]);
        let map = no_grad(|| {
            backbone
                .net
                .forward(&normalised(&bytes, Device::Cpu), false)
        });
        assert_eq!(map.size(), [1, 512, 15, 20]);
        let expected = map.mean_dim([0, 2, 3].as_slice(), false, None::<Kind>);
        let off = (Tensor::from_slice(feature.as_ref().unwrap()) - &expected)
            .abs()
            .max();
        assert!(
            (off / expected.abs().max()).double_value(&[]) < 1e-5,
            "{name}"
        );
    }

    let some = bench.path("some.parquet");
    assert_success(&embed(
        &run,
        &shards,
        &some,
        &["--height", "240", "--where", "camera = 'SIDE'"],
    ));
    // Every other frame has that camera.
    let expected: Vec<_> = rows.iter().skip(1).step_by(2).cloned().collect();
    assert!(
        read(&some) == expected,
        "a filter changes which frames there are, not their features"
    );
    let target = bench.path("target.parquet");
    let of_target = [
        "--height",
        "240",
        "--where",
        "camera = 'SIDE'",
        "--network",
        "target",
    ];
    assert_success(&embed(&run, &shards, &target, &of_target));
    assert!(read(&target) != expected);
}

#[test]
fn two_ranks_write_the_file_of_one() {
    let bench = Bench::new();
    let shards = bench.path("shards");
    let file = |name: &str, processes: &str| {
        let out = bench.path(name);
        let more = [
            "--arch",
            "resnet18",
            "--height",
            "64",
            "--json",
            "--processes",
            processes,
        ];
        let output = embed(Path::new("random"), &shards, &out, &more);
        assert_success(&output);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["frames"], 20);
        fs::read(out).unwrap()
    };
    assert!(file("one.parquet", "1") == file("two.parquet", "2"));
}

#[test]
fn equal_frames_have_equal_features_and_a_broken_one_has_none() {
    let bench = Bench::new();
    let (twins, out) = (bench.path("twins"), bench.path("twins.parquet"));
    scenes::write(&twins, [3, 1, 3, 2]);
    let more = ["--arch", "resnet18", "--json"];
    let output = embed(Path::new("random"), &twins, &out, &more);
    assert_success(&output);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["frames"], &report["channels"], &report["broken"]),
        (&4.into(), &512.into(), &0.into())
    );
    let whole: Vec<_> = read(&out)
        .into_iter()
        .map(|(_, feature)| feature.unwrap())
        .collect();
    assert!(whole[0] == whole[2] && whole[0] != whole[1] && whole[1] != whole[3]);

    let catalog = Catalog::open(&twins).unwrap();
    let index = catalog.index(&catalog.all()).unwrap();
    let slot = index.level(1, 0).unwrap();
    let shard = OpenOptions::new()
        .write(true)
        .open(catalog.shard_path(0))
        .unwrap();
    shard.write_all_at(&[0; 64], slot.offset).unwrap();
    let output = embed(Path::new("random"), &twins, &out, &more);
    assert_success(&output);
    assert!(
        stderr(&output).contains("frame/1") && stderr(&output).contains("ingest verify"),
        "{}",
        stderr(&output)
    );
    let left = read(&out);
    assert_eq!(left[1], ("frame/1".to_owned(), None));
    assert!(
        [0, 2, 3]
            .iter()
            .all(|&ix| left[ix].1.as_ref() == Some(&whole[ix]))
    );
}

#[test]
fn features_are_torchvisions_and_join_with_the_catalog_in_python() {
    let Some(python) = testkit::python("torch, torchvision, numpy, polars, pyarrow, PIL") else {
        return;
    };
    let bench = Bench::new();
    let (file, shards, out) = (
        bench.path("r18.pth"),
        bench.path("shards"),
        bench.path("features.parquet"),
    );
    let weights = Weights::random(
        ModelConfig {
            arch: Arch::Resnet18,
            ..ModelConfig::default()
        },
        3,
    );
    let tensors = weights
        .tensors()
        .iter()
        .map(|(name, tensor)| HostTensor::copy_of(name, tensor).unwrap());
    pth::write(&file, &BTreeMap::new(), &tensors.collect::<Vec<_>>()).unwrap();
    assert_success(&embed(&file, &shards, &out, &["--height", "128"]));
    let compare = r#"
import glob, io, json, sys
import numpy as np, polars as pl, pyarrow as pa, pyarrow.parquet as pq, torch, torchvision
from PIL import Image
weights, shards, out = sys.argv[1:]
schema = pq.read_schema(out)
assert schema.field("feature").type == pa.list_(pa.field("element", pa.float32(), nullable=False), 512), schema
note = json.loads(pq.read_metadata(out).metadata[b"multisiam.embedding"])
assert note["height_px"] == 128 and note["weights"] == weights, note
features = pl.read_parquet(out)
assert features.schema["feature"] == pl.Array(pl.Float32, 512)
catalog = pl.read_parquet(shards + "/catalog.parquet")
assert features.drop("feature").equals(catalog.select(features.drop("feature").columns))
joined = catalog.join(features.select("key", "feature"), on="key", how="inner")
assert len(joined) == len(catalog) == 20
net = torchvision.models.resnet18()
net.fc = torch.nn.Identity()
net.load_state_dict(torch.load(weights, weights_only=True))
net.eval()
jpegs = pl.read_parquet(glob.glob(shards + "/frames/*.parquet")).select("key", "jpeg_0")
mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
for row in joined.join(jpegs, on="key").head(6).iter_rows(named=True):
    # 128 x 320 / 240 is 170.7, and five cells are 160.
    picture = Image.open(io.BytesIO(row["jpeg_0"])).resize((160, 128), Image.BICUBIC)
    view = torch.from_numpy((np.asarray(picture) / 255 - mean) / std).permute(2, 0, 1)[None].float()
    expected = net(view)[0].detach().numpy()
    off = np.abs(np.array(row["feature"]) - expected).max() / np.abs(expected).max()
    # Pillow rounds to bytes between its two passes, with weights of more bits.
    assert off < 0.01, off
"#;
    let mut command = Command::new(python);
    command
        .arg("-c")
        .arg(compare)
        .args([file, shards, out])
        .env("OMP_WAIT_POLICY", "PASSIVE");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn what_cannot_be_embedded_is_refused_and_leaves_nothing() {
    let bench = Bench::new();
    let (random, shards, out) = (
        Path::new("random"),
        bench.path("shards"),
        bench.path("x.parquet"),
    );
    assert_refused(
        &embed(&bench.path("none.pth"), &shards, &out, &[]),
        &["none.pth"],
    );
    assert_refused(
        &embed(random, &bench.path("none"), &out, &[]),
        &["none", "ingest waymo"],
    );
    assert_refused(
        &embed(random, &shards, &out, &["--where", "camera = 'REAR'"]),
        &["no frame", "filter"],
    );
    assert_refused(
        &embed(random, &shards, &out, &["--where", "lens = 'REAR'"]),
        &["lens"],
    );
    let small = ["--arch", "resnet18"];
    assert_refused(
        &embed(random, &shards, &shards, &small),
        &["--out", "shards", "folder"],
    );
    assert_refused(
        &embed(random, &shards, &bench.path("no/x.parquet"), &small),
        &["--out", "no/x.parquet"],
    );
    let files = fs::read_dir(bench.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect::<Vec<_>>();
    assert_eq!(files.len(), 2, "shards and config, as before: {files:?}");
}
