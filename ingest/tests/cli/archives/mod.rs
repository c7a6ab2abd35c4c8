//! Archives hold what a folder holds: the same rows, the same bytes, the same skips.

mod damage;
mod downloads;
mod soda10m;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::DeflateEncoder;
use rawzip::{CompressionMethod, ZipArchiveWriter};
use schemas::catalog::shard_paths;
use schemas::frame::FrameMeta;
use schemas::geom::Size;
use schemas::shard::ShardReader;
use serde_json::{Value, json};

use crate::support::{
    assert_refused, assert_same_tree, ingest, ingest_json, ingest_to, jpeg, stderr, tree,
};
use testkit::real_data;

/// Path and contents.
type NamedFile = (String, Vec<u8>);

/// Files in the order in which they go into an archive.
type FileList = Vec<NamedFile>;

fn tar_of(files: &[NamedFile]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, contents) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        builder
            .append_data(&mut header, path, contents.as_slice())
            .unwrap();
    }
    builder.into_inner().unwrap()
}

fn zip_of(files: &[NamedFile], method: CompressionMethod) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut zip = ZipArchiveWriter::new(&mut bytes);
    for (path, contents) in files {
        let (mut entry, config) = zip
            .new_file(path.as_str())
            .compression_method(method)
            .start()
            .unwrap();
        let descriptor = if method == CompressionMethod::DEFLATE {
            let mut writer = config.wrap(DeflateEncoder::new(&mut entry, Compression::default()));
            writer.write_all(contents).unwrap();
            let (encoder, descriptor) = writer.finish().unwrap();
            encoder.finish().unwrap();
            descriptor
        } else {
            let mut writer = config.wrap(&mut entry);
            writer.write_all(contents).unwrap();
            writer.finish().unwrap().1
        };
        entry.finish(descriptor).unwrap();
    }
    zip.finish().unwrap();
    bytes
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn write_all(dir: &Path, files: &[NamedFile]) {
    files
        .iter()
        .for_each(|(path, contents)| write(&dir.join(path), contents));
}

fn images(folder: &str, count: u32) -> FileList {
    (0..count)
        .map(|ix| {
            (
                format!("{folder}{ix:04}.jpg"),
                jpeg(Size::new(240, 224), ix),
            )
        })
        .collect()
}

/// Metadata of a row, and length and checksum of its levels.
type Row = (FrameMeta, Vec<Option<(u32, u32)>>);

fn rows(set: &Path) -> Vec<Row> {
    let shards = shard_paths(set).unwrap();
    let rows = shards
        .iter()
        .flat_map(|path| ShardReader::open(path).unwrap().rows().unwrap());
    let levels = |levels: Vec<Option<schemas::shard::LevelEntry>>| {
        levels
            .into_iter()
            .map(|level| level.map(|level| (level.len, level.crc32c)))
            .collect()
    };
    rows.map(|row| (row.meta, levels(row.levels))).collect()
}

/// Place and reason of every skipped item.
fn skipped(set: &Path) -> BTreeMap<String, String> {
    let report: Value =
        serde_json::from_slice(&fs::read(set.join("report.json")).unwrap()).unwrap();
    let text = |item: &Value, key: &str| item[key].as_str().unwrap().to_owned();
    let items = report["skipped_items"].as_array().unwrap();
    items
        .iter()
        .map(|item| (text(item, "source"), text(item, "reason")))
        .collect()
}

fn inspect(set: &Path, filter: &str) -> Value {
    let output = ingest([
        "inspect".as_ref(),
        set.as_os_str(),
        "--json".as_ref(),
        "--where".as_ref(),
        filter.as_ref(),
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_odd_file_in_an_archive_is_what_it_is_in_a_folder() {
    let Some(odd) = real_data("odd") else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut files: FileList = fs::read_dir(&odd)
        .unwrap()
        .map(Result::unwrap)
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                fs::read(entry.path()).unwrap(),
            )
        })
        .collect();
    files.sort();
    let folder = dir.path().join("folder");
    ingest_json("images", &odd, &folder, &["--max-bad", "3"]);
    for (name, bytes) in [
        ("odd.tar", tar_of(&files)),
        ("stored.zip", zip_of(&files, CompressionMethod::STORE)),
        ("deflated.zip", zip_of(&files, CompressionMethod::DEFLATE)),
    ] {
        let (archive, set) = (
            dir.path().join("in").join(name),
            dir.path().join(name).with_extension("set"),
        );
        write(&archive, &bytes);
        let summary = ingest_json("images", &archive, &set, &["--max-bad", "3"]);
        assert_eq!(
            (&summary["frames_written"], &summary["frames_skipped"]),
            (&json!(19), &json!(3))
        );
        let place = |source: &str| source.replacen("odd", &format!("in/{name}"), 1);
        let expected: BTreeMap<_, _> = skipped(&folder)
            .into_iter()
            .map(|(source, reason)| (place(&source), reason))
            .collect();
        assert_eq!(skipped(&set), expected);
        for ((mut meta, levels), (found, found_levels)) in rows(&folder).into_iter().zip(rows(&set))
        {
            meta.source = place(&meta.source);
            meta.frame_id = place(&meta.frame_id);
            meta.segment.clone_from(&found.segment);
            assert_eq!((meta, levels), (found, found_levels), "{name}");
        }
        assert!(
            ingest(["verify".as_ref(), set.as_os_str()])
                .status
                .success()
        );
    }
}

#[test]
fn bytes_depend_neither_on_threads_nor_on_machines_nor_on_how_an_archive_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = images("train/", 3);
    let small = jpeg(Size::new(16, 16), 1);
    files.extend((0..2_060).map(|ix| (format!("small/{ix}.jpg"), small.clone())));
    let bytes = tar_of(&files);
    let path = |name: &str| dir.path().join(name);
    write(&path("whole/in/x.tar"), &bytes);
    for (ix, part) in bytes.chunks(bytes.len() / 11).enumerate() {
        write(&path(&format!("cut/in/x.tar.part{ix}")), part);
    }
    for (ix, part) in bytes.chunks(bytes.len() / 2 + 1).enumerate() {
        write(&path(&format!("halves/in/x.tara{}", ["a", "b"][ix])), part);
    }
    ingest_json(
        "images",
        &path("whole/in/x.tar"),
        &path("one"),
        &["--threads", "1"],
    );
    assert_eq!(shard_paths(&path("one")).unwrap().len(), 2);
    for (input, set, threads) in [
        ("whole/in/x.tar", "two", "2"),
        ("cut/in", "eight", "8"),
        ("halves/in", "cat", "2"),
    ] {
        ingest_json("images", &path(input), &path(set), &["--threads", threads]);
        assert_same_tree(&path("one"), &path(set));
    }
    for part in ["0/2", "1/2"] {
        // Any part stands for the archive, and the pattern that gives all of them for one.
        let summary = ingest_json(
            "images",
            &path("cut/in/x.tar.part*"),
            &path("parts"),
            &["--part", part],
        );
        assert_eq!(summary["shards_written"], 1);
    }
    assert!(
        ingest(["catalog".as_ref(), path("parts").as_os_str()])
            .status
            .success()
    );
    assert_same_tree(&path("one"), &path("parts"));
    assert_eq!(
        ingest_json("images", &path("cut/in/x.tar.part7"), &path("one"), &[])["frames_kept"],
        2_063
    );
}

#[test]
fn classes_of_imagenet_are_segments_whether_tars_lie_in_a_tar_or_in_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let class = |name: &str| {
        (
            format!("{name}.tar"),
            tar_of(&images(&format!("{name}_"), 2)),
        )
    };
    let classes: FileList = vec![class("n01440764"), class("n01443537")];
    let path = |name: &str| dir.path().join(name);
    write(&path("in/ILSVRC2012_img_train.tar"), &tar_of(&classes));
    write_all(&path("imagenet/train"), &classes);
    write(
        &path("imagenet/val/ILSVRC2012_val_00000001.JPEG"),
        &jpeg(Size::new(240, 224), 3),
    );
    for (input, num_val) in [("in/ILSVRC2012_img_train.tar", 0), ("imagenet", 1)] {
        let set = path(input).with_extension("set");
        ingest_json("images", &path(input), &set, &[]);
        let train = inspect(&set, "split = 'train'");
        assert_eq!(
            (&train["frames"], &train["segments"]),
            (&json!(4), &json!(2)),
            "{input}"
        );
        assert_eq!(
            inspect(&set, "segment = 'n01443537'")["frames"],
            2,
            "{input}"
        );
        assert_eq!(inspect(&set, "split = 'val'")["frames"], num_val, "{input}");
    }
}
