//! A made-up Waymo set, the `ingest` command, and folders to compare.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ingest::source::waymo::messages::{CameraImage, Context, Frame, Stats};
use ingest::source::waymo::tfrecord::masked_crc;
use jpeg::{Encoder, Layout, Raster, Restart};
use prost::Message;
use schemas::frame::FrameMeta;
use schemas::geom::Size;
use schemas::shard::{LevelEntry, ShardReader};
use serde_json::Value;

/// Runs `ingest` with `args`.
pub(crate) fn ingest<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    command(args).output().unwrap()
}

/// `ingest` with `args`, to be run.
pub(crate) fn command<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ingest"));
    command.args(args);
    command
}

/// Runs `ingest COMMAND INPUT --out OUT --json` with more `options`; it must succeed.
pub(crate) fn ingest_json(command: &str, input: &Path, out: &Path, options: &[&str]) -> Value {
    let output = ingest_to(command, input, out, options);
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs `ingest COMMAND INPUT --out OUT --json` with more `options`.
pub(crate) fn ingest_to(command: &str, input: &Path, out: &Path, options: &[&str]) -> Output {
    let mut args = vec![
        command.as_ref(),
        input.as_os_str(),
        "--out".as_ref(),
        out.as_os_str(),
        "--json".as_ref(),
    ];
    args.extend(options.iter().map(std::ffi::OsStr::new));
    ingest(args)
}

/// Runs `ingest` as somebody whom file permissions concern; `None` if that user cannot run it.
pub(crate) fn as_nobody(arguments: &[&std::ffi::OsStr]) -> Option<Output> {
    let mut command = command(arguments);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(65534).gid(65534);
    }
    let output = command.output();
    output
        .inspect_err(|error| {
            testkit::skip(&format!("the user nobody cannot run ingest: {error}"));
        })
        .ok()
}

pub(crate) fn with_mode(path: PathBuf, mode: u32) -> PathBuf {
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Does what an advice says: deletes the shard of `set` that it names, runs the command that it gives.
/// Both must be there as it says.
#[track_caller]
pub(crate) fn follow(advice: &str, set: &Path) {
    if let Some(("", rest)) = advice.split_once("delete ") {
        let shard = rest.split(' ').next().unwrap();
        fs::remove_file(set.join(shard)).unwrap();
    }
    let commands: Vec<&str> = advice.split('`').skip(1).step_by(2).collect();
    assert!(!commands.is_empty(), "{advice}");
    for command in commands {
        let command = command.replacen("ingest ", &format!("{} ", env!("CARGO_BIN_EXE_ingest")), 1);
        let output = Command::new("sh").arg("-c").arg(&command).output().unwrap();
        assert!(output.status.success(), "{command}: {}", stderr(&output));
    }
}

/// A JPEG of `size` whose content depends on `seed`.
pub(crate) fn jpeg(size: Size, seed: u32) -> Vec<u8> {
    let pixel = |x: u32, y: u32| [(x ^ y ^ seed) as u8, (x / 3 + seed) as u8, (y / 2) as u8];
    let pixels: Vec<u8> = (0..size.height)
        .flat_map(|y| (0..size.width).flat_map(move |x| pixel(x, y)))
        .collect();
    let raster = Raster::from_pixels(size, Layout::Rgb, 16, &pixels);
    Encoder::new()
        .encode(&raster, 85, false, Restart(0))
        .unwrap()
        .to_vec()
}

/// The record of one time step with two cameras.
pub(crate) fn record(drive: &str, timestamp: i64) -> Vec<u8> {
    let image = |camera: i32| {
        let image = jpeg(Size::new(480, 464), timestamp as u32 * 8 + camera as u32);
        CameraImage {
            name: Some(camera),
            image: Some(image.into()),
        }
    };
    let stats = Stats {
        time_of_day: Some("Night".into()),
        location: None,
        weather: Some("rain".into()),
    };
    let frame = Frame {
        context: Some(Context {
            name: Some(drive.into()),
            stats: Some(stats),
        }),
        timestamp_micros: Some(timestamp),
        images: vec![image(1), image(4)],
    };
    frame.encode_to_vec()
}

/// Frames `data` as a TFRecord.
pub(crate) fn framed(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [
        &length[..],
        &masked_crc(&length).to_le_bytes(),
        data,
        &masked_crc(data).to_le_bytes(),
    ]
    .concat()
}

/// Writes `drives` files of `steps` time steps with two cameras each into `dir`.
pub(crate) fn write_waymo(dir: &Path, drives: usize, steps: i64) {
    fs::create_dir_all(dir).unwrap();
    for drive in 0..drives {
        let name = format!("drive_{drive}");
        let records: Vec<u8> = (0..steps)
            .flat_map(|step| framed(&record(&name, step)))
            .collect();
        fs::write(dir.join(format!("segment-{name}.tfrecord")), records).unwrap();
    }
}

/// A frame's metadata, and the JPEG of each level.
pub(crate) type StoredFrame = (FrameMeta, Vec<Option<Vec<u8>>>);

/// What stands in a set: every frame by its name.
pub(crate) fn frames_of(set: &Path) -> BTreeMap<String, StoredFrame> {
    let shards = schemas::catalog::shard_paths(set)
        .unwrap()
        .into_iter()
        .map(|path| ShardReader::open(&path).unwrap());
    let rows = shards.flat_map(|shard| {
        let jpeg =
            |level: Option<LevelEntry>| level.map(|level| shard.jpeg(&level).unwrap().to_vec());
        let rows = shard.rows().unwrap().into_iter();
        rows.map(|row| (row.meta, row.levels.into_iter().map(jpeg).collect()))
            .collect::<Vec<_>>()
    });
    rows.map(|(meta, levels)| (meta.frame_id.clone(), (meta, levels)))
        .collect()
}

/// Place and reason of what the report of a set lists as skipped.
pub(crate) fn skipped_in(set: &Path) -> Vec<(String, String)> {
    let report: Value =
        serde_json::from_slice(&fs::read(set.join("report.json")).unwrap()).unwrap();
    let items = report["skipped_items"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    items
        .map(|item| (text(&item["source"]), text(&item["reason"])))
        .collect()
}

/// Contents of all files below `dir`, by relative path, but those that say what this machine does and
/// has: locks, and where inputs lie.
pub(crate) fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with(".ingest.") {
            continue;
        }
        if entry.path().is_dir() {
            found.extend(
                tree(&entry.path())
                    .into_iter()
                    .map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)),
            );
        } else {
            found.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    found
}

/// Asserts that two sets are equal to the byte, naming the files that differ.
#[track_caller]
pub(crate) fn assert_same_tree(a: &Path, b: &Path) {
    let (a, b) = (tree(a), tree(b));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    let differing: Vec<&String> = a
        .iter()
        .filter(|(name, bytes)| b[*name] != **bytes)
        .map(|(name, _)| name)
        .collect();
    assert!(differing.is_empty(), "{differing:?} differ");
}

/// Asserts that `ingest` fails with one line that holds all of `expected`. Its output would have lain
/// beside the input, with the extension `refused`.
#[track_caller]
pub(crate) fn assert_refused(command: &str, input: &Path, options: &[&str], expected: &[&str]) {
    let output = ingest_to(command, input, &input.with_extension("refused"), options);
    let message = stderr(&output);
    assert_eq!(
        (output.status.code(), message.trim_end().lines().count()),
        (Some(1), 1),
        "{message}"
    );
    assert!(
        expected.iter().all(|text| message.contains(text)),
        "{message}"
    );
}
