//! Plain Parquet tools and PyTorch's own classes read what we write.

use std::process::Command;

use serde_json::Value;

use testkit::real_data;

use crate::programs::{demo_set, json, ok};

/// Runs `code` with a Python that has `modules`; without one the test is skipped.
fn python(modules: &str, code: &str) {
    let Some(python) = testkit::python(modules) else {
        return;
    };
    let done = Command::new(&python)
        .args(["-c", code])
        .current_dir(demo_set())
        .output()
        .expect("Python starts");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[test]
fn pyarrow_reads_shards_and_pillow_their_jpegs() {
    python(
        "pyarrow.parquet, PIL.Image",
        r#"
import glob, io
import pyarrow.parquet as pq
from PIL import Image
rows = 0
for path in sorted(glob.glob("shards/frames/*.parquet")):
    table = pq.read_table(path).to_pylist()
    for row in table[:3]:
        for level in (0, 1, 2):
            if row[f"jpeg_{level}"] is None:
                assert min(row["width"], row["height"]) / 2**level < 224
                continue
            image = Image.open(io.BytesIO(row[f"jpeg_{level}"])); image.load()
            assert len(row[f"jpeg_{level}"]) == row[f"len_{level}"]
            assert image.width >= row[f"width_{level}"] and image.height >= row[f"height_{level}"]
            assert row[f"width_{level}"] == -(-row["width"] // 2**level)
    rows += len(table)
catalog = pq.read_table("shards/catalog.parquet").to_pylist()
assert len(catalog) == rows
names = sorted(glob.glob("shards/frames/*.parquet"))
for entry in catalog[::7]:
    with open(names[entry["shard"]], "rb") as f:
        f.seek(entry["offset_1"]); jpeg = f.read(entry["len_1"])
    assert jpeg[:2] == b"\xff\xd8" and jpeg[-2:] == b"\xff\xd9"
"#,
    );
}

#[test]
fn polars_and_duckdb_query_the_catalog() {
    python(
        "polars, duckdb",
        r#"
import duckdb, polars
total = duckdb.sql("select count(*) from 'shards/frames/*.parquet'").fetchall()[0][0]
front = duckdb.sql("select count(*) from 'shards/catalog.parquet' where camera = 'FRONT'").fetchall()[0][0]
catalog = polars.read_parquet("shards/catalog.parquet")
assert total == len(catalog) and front == len(catalog.filter(polars.col("camera") == "FRONT")) > 0
"#,
    );
}

#[test]
fn torchvision_loads_an_export() {
    let dir = demo_set();
    ok(
        dir,
        "trainer run shards/ --config demo_cpu --out runs/export --device cpu --batch 4 --steps 1 \
         --set schedule.total_steps=2 --set schedule.warmup_steps=1",
    );
    ok(dir, "trainer export runs/export --out export.safetensors");
    python(
        "torch, torchvision, safetensors.torch",
        r#"
import torch, torchvision, safetensors.torch
model = torchvision.models.resnet18()
model.fc = torch.nn.Identity()
model.load_state_dict(safetensors.torch.load_file("export.safetensors"), strict=True)
assert torch.isfinite(model.eval()(torch.zeros(1, 3, 224, 224))).all()
"#,
    );
}

#[test]
fn torchvisions_mask_rcnn_takes_an_export_and_trains_a_step() {
    let dir = demo_set();
    ok(
        dir,
        "trainer run shards/ --config demo_cpu --out runs/r50 --device cpu --batch 2 --steps 1 --set augment.view_px=64 \
         --set model.arch=resnet50 --set schedule.total_steps=2 --set schedule.warmup_steps=1",
    );
    ok(dir, "trainer export runs/r50 --out r50.pth");
    python(
        "torch, torchvision",
        r#"
import torch, torchvision
model = torchvision.models.detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=9)
state = torch.load("r50.pth", weights_only=True)
body = model.backbone.body
missing, unexpected = body.load_state_dict(state, strict=False)
# The detector's frozen norms keep no counter.
assert not missing and all(name.endswith("num_batches_tracked") for name in unexpected), (missing, unexpected)
assert torch.equal(body.layer4[2].conv3.weight, state["layer4.2.conv3.weight"])
mask = torch.zeros(1, 128, 128, dtype=torch.uint8); mask[:, 20:60, 30:90] = 1
target = {"boxes": torch.tensor([[30.0, 20.0, 90.0, 60.0]]), "labels": torch.tensor([3]), "masks": mask}
model.transform.min_size, model.transform.max_size = (128,), 128
losses = model.train()([torch.rand(3, 128, 128)], [target])
sum(losses.values()).backward()
assert all(torch.isfinite(loss) for loss in losses.values()) and body.layer4[2].conv3.weight.grad is not None
"#,
    );
}

#[test]
fn pillow_and_numpy_measure_the_fidelity_that_ingest_reports() {
    let Some(images) = real_data("street_1216p") else {
        return;
    };
    let dir = tempfile::tempdir().expect("a temporary folder");
    ok(
        dir.path(),
        &format!("ingest images `{}` --out set", images.display()),
    );
    let reports: Vec<Value> = (0..4)
        .map(|seed| {
            json(
                dir.path(),
                &format!(
                    "ingest fidelity set `{}` --crops 27 --seed {seed}",
                    images.display()
                ),
            )
        })
        .collect();
    let facts = serde_json::json!({ "images": images.parent(), "set": dir.path().join("set"), "reports": reports });
    let code = r#"
import glob, io, json, math
import numpy, pyarrow.parquet
from PIL import Image
facts = json.loads(FACTS)
levels = {row["frame_id"]: row for path in glob.glob(facts["set"] + "/frames/*.parquet")
          for row in pyarrow.parquet.read_table(path).to_pylist()}
def view(image, x, y, w, h, scale):
    hull = x // scale, y // scale, -(-(x + w) // scale), -(-(y + h) // scale)
    box = x / scale - hull[0], y / scale - hull[1], (x + w) / scale - hull[0], (y + h) / scale - hull[1]
    view = image.convert("RGB").crop(hull).resize((224, 224), Image.BICUBIC, box)
    return numpy.asarray(view, numpy.float64)
measured = 0
for level in (level for report in facts["reports"] for level in report["levels"] if level["worst"]):
    worst, number = level["worst"], level["level"]
    original = Image.open(facts["images"] + "/" + worst["frame_id"])
    stored = Image.open(io.BytesIO(levels[worst["frame_id"]]["jpeg_%d" % number]))
    difference = view(original, *worst["crop"], 1) - view(stored, *worst["crop"], 2**number)
    psnr_db = 10 * math.log10(255**2 / (difference**2).mean())
    assert abs(psnr_db - worst["psnr_db"]) < 0.02, (psnr_db, worst)
    measured += 1
assert measured >= 4
"#;
    python(
        "numpy, pyarrow.parquet, PIL.Image",
        &code.replace("FACTS", &format!("r'''{facts}'''")),
    );
}
