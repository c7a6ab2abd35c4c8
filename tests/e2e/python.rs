//! Plain Parquet tools and PyTorch's own classes read what we write.

use std::path::PathBuf;
use std::process::Command;

use crate::programs::{demo_set, ok, workspace};

/// Runs `code` with the virtual environment's Python if that has `modules`; otherwise says what is missing.
fn python(modules: &str, code: &str) {
    let python: PathBuf = workspace().join(".venv/bin/python");
    let has = Command::new(&python).args(["-c", &format!("import {modules}")]).output();
    if !has.is_ok_and(|done| done.status.success()) {
        println!("skipped: .venv has no Python with {modules}; `scripts/setup --tests` installs it");
        return;
    }
    let done = Command::new(&python).args(["-c", code]).current_dir(demo_set()).output().expect("Python starts");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
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
    ok(dir, "trainer export runs/export --format torchvision --out export.safetensors");
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
