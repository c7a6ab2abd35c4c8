//! What earlier builds wrote: this and every later build reads it, verifies it, extends it and goes on
//! with it, or upgrades it by a documented command.
//!
//! The files were made by `scripts/golden/compatibility.py` with the programs of the commit that is
//! named there: shard format version 2, checkpoint layout 1. They are never made anew. A change that
//! cannot read them is a break of the format, not a reason to change them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use schemas::catalog::{Catalog, shard_paths};
use schemas::frame::FrameMeta;
use schemas::shard::{FrameEntry, LevelEntry, ShardReader};
use serde_json::Value;
use tempfile::TempDir;

use crate::programs::{json, ok, workspace};

fn kept(relative: &str) -> PathBuf {
    let fixtures = workspace().join("tests/fixtures/compatible");
    fixtures.join(relative)
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_tree(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// A folder with the kept set, and what it was made of.
fn old_set() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy_tree(&kept("set"), &dir.path().join("set"));
    copy_tree(&kept("inputs"), &dir.path().join("inputs"));
    dir
}

/// The files below `dir` that hold frames, and the catalog: names and bytes.
fn stored(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let frames = fs::read_dir(dir.join("frames")).unwrap();
    let mut files: Vec<PathBuf> = frames.map(|entry| entry.unwrap().path()).collect();
    files.push(dir.join("catalog.parquet"));
    files.sort();
    let named = |path: &PathBuf| {
        let name = path.strip_prefix(dir).unwrap();
        (name.display().to_string(), fs::read(path).unwrap())
    };
    files.iter().map(named).collect()
}

#[test]
fn a_set_of_format_2_is_read_verified_and_extended() {
    let dir = old_set();
    let verified = json(dir.path(), "ingest verify set");
    assert_eq!(
        (&verified["frames"], &verified["bad"]),
        (&Value::from(6), &Value::Array(vec![]))
    );
    let front = json(dir.path(), "ingest inspect set --where `camera = 'FRONT'`");
    assert_eq!(front["frames"], 2);
    ok(
        dir.path(),
        "sampler stats set --pairs 50 --output 64 --out stats.png",
    );

    let again = json(dir.path(), "ingest waymo inputs/drive.tfrecord --out set");
    assert_eq!(
        (&again["frames_written"], &again["frames_kept"]),
        (&Value::from(0), &Value::from(4))
    );
    fs::rename(dir.path().join("inputs/images"), dir.path().join("more")).unwrap();
    let more = json(dir.path(), "ingest images more --out set");
    assert_eq!(more["frames_written"], 2);
    let verified = json(dir.path(), "ingest verify set");
    assert_eq!(
        (&verified["frames"], &verified["bad"]),
        (&Value::from(8), &Value::Array(vec![]))
    );
}

/// Its shard's name, its metadata, and the JPEGs of its levels.
type StoredFrame = (String, FrameMeta, Vec<Option<Vec<u8>>>);

/// Every frame of the set in `dir`.
fn frames(dir: &Path) -> Vec<StoredFrame> {
    let mut found = Vec::new();
    for path in shard_paths(dir).unwrap() {
        let shard = ShardReader::open(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        for row in shard.rows().unwrap() {
            let jpeg = |level: &LevelEntry| shard.jpeg(level).unwrap().to_vec();
            let levels = row.levels.iter().map(|level| level.as_ref().map(jpeg));
            found.push((name.clone(), row.meta, levels.collect()));
        }
    }
    found
}

#[test]
fn the_same_input_becomes_the_same_frames_as_ever() {
    let dir = old_set();
    ok(dir.path(), "ingest waymo inputs/drive.tfrecord --out new");
    ok(dir.path(), "ingest images inputs/images --out new");
    let (old, new) = (frames(&kept("set")), frames(&dir.path().join("new")));
    assert!(
        old.len() == 6 && old == new,
        "frames are not what they were"
    );
}

#[test]
fn a_set_of_format_2_stays_as_it_is_beside_shards_of_format_3() {
    let dir = old_set();
    let set = dir.path().join("set");
    let shards = |dir: &Path| -> Vec<(String, Vec<u8>)> {
        let files = stored(dir).into_iter();
        files
            .filter(|(name, _)| name.starts_with("frames"))
            .collect()
    };
    let old = shards(&set);
    let listed = |dir: &Path| -> Vec<FrameEntry> {
        let catalog = Catalog::open(dir).unwrap();
        let rows = catalog.rows().unwrap().flat_map(Result::unwrap);
        rows.map(|row| row.frame).collect()
    };
    let frames = listed(&set);
    // The catalog is of format 3 then, and says the same.
    ok(dir.path(), "ingest catalog set");
    assert_eq!(listed(&set), frames);
    let kept = json(dir.path(), "ingest images inputs/images --out set");
    assert_eq!(
        (&kept["frames_written"], &kept["frames_kept"]),
        (&Value::from(0), &Value::from(2))
    );
    // Another folder of that name, none of whose files the set has.
    fs::create_dir_all(dir.path().join("other")).unwrap();
    fs::rename(
        dir.path().join("inputs/images"),
        dir.path().join("other/images"),
    )
    .unwrap();
    for entry in fs::read_dir(dir.path().join("other/images")).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("new_{}", path.file_name().unwrap().to_string_lossy());
        fs::rename(&path, path.with_file_name(name)).unwrap();
    }
    let more = json(dir.path(), "ingest images other/images --out set");
    assert_eq!(more["frames_written"], 2);
    assert_eq!(listed(&set).len(), frames.len() + 2);
    let now = shards(&set);
    assert!(
        old.iter().all(|shard| now.contains(shard)),
        "no old shard is touched"
    );
    let verified = json(dir.path(), "ingest verify set");
    assert_eq!(verified["bad"], Value::Array(vec![]));
    ok(
        dir.path(),
        "sampler stats set --pairs 50 --output 64 --out stats.png",
    );
}

/// Goes on with the kept run `name` after its second step, and compares the losses of the next three with
/// those that the build had which made it.
fn goes_on(name: &str) {
    let dir = old_set();
    let run = dir.path().join(name);
    fs::create_dir_all(run.join("checkpoints")).unwrap();
    fs::copy(kept(name).join("config.toml"), run.join("config.toml")).unwrap();
    let packed = File::open(kept(name).join("checkpoint.tar.zst")).unwrap();
    let mut unpacked = zstd::Decoder::new(packed).unwrap();
    unpacked.window_log_max(27).unwrap();
    tar::Archive::new(unpacked)
        .unpack(run.join("checkpoints"))
        .unwrap();

    let read = |file: &str| -> Value {
        serde_json::from_slice(&fs::read(kept(name).join(file)).unwrap()).unwrap()
    };
    let arguments: Vec<String> = serde_json::from_value(read("arguments.json")).unwrap();
    let arguments: Vec<String> = arguments.iter().map(|word| format!("`{word}`")).collect();
    let arguments = arguments.join(" ");
    let done = ok(
        dir.path(),
        &format!("trainer run set --out {name} --steps 5 {arguments}"),
    );
    assert!(
        done.stderr.contains("resuming after step 2 of 8"),
        "{}",
        done.stderr
    );
    let rows = testkit::log_rows(&run);
    let old = read("losses.json");
    let old = &old.as_array().unwrap()[2..];
    assert_eq!((rows.len(), old.len()), (3, 3));
    for (new, old) in rows.iter().zip(old) {
        assert_eq!(new["step"], old["step"]);
        // The first step tells what was restored. The next ones follow an update, which rounds
        // differently on another processor.
        let allowed = if new["step"] == 3 { 2e-3 } else { 0.1 };
        for key in ["epoch", "loss", "loss_1d", "loss_2d", "lr", "tau"] {
            let (new, old) = (new[key].as_f64(), old[key].as_f64());
            let difference = new.unwrap_or_default() - old.unwrap_or_default();
            assert!(
                difference.abs() < allowed,
                "{key}: {old:?} then, {new:?} now"
            );
        }
    }
    ok(
        dir.path(),
        &format!("trainer export {name} --out backbone.safetensors"),
    );
}

#[test]
fn a_multisiam_run_of_checkpoint_layout_1_goes_on() {
    goes_on("multisiam");
}

#[test]
fn a_moco_v2_run_of_checkpoint_layout_1_goes_on() {
    goes_on("mocov2");
}
