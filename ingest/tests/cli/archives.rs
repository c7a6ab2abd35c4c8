//! Archives hold what a folder holds: the same rows, the same bytes, the same skips.

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

use crate::support::{assert_same_tree, ingest, ingest_json, ingest_to, jpeg, stderr, tree};
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

/// Asserts that `ingest` fails with one line that holds all of `expected`.
#[track_caller]
fn assert_refused(command: &str, input: &Path, options: &[&str], expected: &[&str]) {
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

/// SODA10M in little: five unlabelled splits and the labelled part.
fn soda10m(unlabelled: &str, labelled: &str) -> (Vec<FileList>, FileList) {
    let cities = ["BJ", "SH", "GZ"];
    let split = |number: u32| {
        let name = |ix: u32| {
            format!(
                "UNLABEL_01_{}_000_{:014}.jpg",
                cities[ix as usize % 3],
                100 * number + ix
            )
        };
        let image = |ix: u32| jpeg(Size::new(240, 224), 100 * number + ix);
        (0..4)
            .map(|ix| {
                (
                    format!("SSLAD-2D/{unlabelled}/image_{number}/{}", name(ix)),
                    image(ix),
                )
            })
            .collect()
    };
    let annotations = json!({
        "categories": [{ "id": 1, "name": "Pedestrian" }],
        "images": [{ "file_name": "HT_VAL_000001_SZ_000.jpg", "id": 1, "city": "Shenzhen", "location": "Highway",
                     "period": "Night", "weather": "Rainy" }],
        "annotations": [{ "image_id": 1, "bbox": [1, 2, 3, 4] }],
    });
    let labelled = vec![
        (
            format!("SSLAD-2D/{labelled}/train/HT_TRAIN_000001_SH_000.jpg"),
            jpeg(Size::new(240, 224), 900),
        ),
        (
            format!("SSLAD-2D/{labelled}/val/HT_VAL_000001_SZ_000.jpg"),
            jpeg(Size::new(240, 224), 901),
        ),
        (
            format!("SSLAD-2D/{labelled}/annotations/instance_val.json"),
            annotations.to_string().into_bytes(),
        ),
    ];
    ((0..5).map(split).collect(), labelled)
}

/// A list of tags of two unlabelled images.
fn tag_list() -> Vec<u8> {
    let image = |name: &str, city: &str, weather: &str| {
        let (location, period) = ("Citystreet", "Daytime");
        json!({ "file_name": name, "city": city, "weather": weather, "location": location, "period": period })
    };
    json!([
        image("UNLABEL_01_BJ_000_00000000000000.jpg", "Beijing", "Clear"),
        image(
            "UNLABEL_01_SH_000_00000000000201.jpg",
            "Shanghai",
            "Overcast"
        ),
    ])
    .to_string()
    .into_bytes()
}

#[test]
fn soda10m_is_the_same_set_from_folders_and_from_archives() {
    for (unlabelled, labelled) in [("unlabel", "labeled"), ("Unlabel", "Labeled")] {
        let dir = tempfile::tempdir().unwrap();
        let (folders, archives) = (dir.path().join("folders"), dir.path().join("archives"));
        let (splits, with_labels) = soda10m(unlabelled, labelled);
        splits.iter().for_each(|split| write_all(&folders, split));
        write_all(&folders, &with_labels);
        write(&folders.join("SSLAD-2D/tags.json"), &tag_list());
        for (number, split) in splits.iter().enumerate() {
            let bytes = tar_of(split);
            for (ix, part) in bytes.chunks(9_999).enumerate() {
                write(
                    &archives.join(format!("image_{number}.tar.part{ix:02}")),
                    part,
                );
            }
        }
        write(
            &archives.join("labeled_trainval.zip"),
            &zip_of(&with_labels, CompressionMethod::DEFLATE),
        );
        write(&archives.join("tags.json"), &tag_list());

        let (from_folders, from_archives) = (dir.path().join("a"), dir.path().join("b"));
        ingest_json("soda10m", &folders, &from_folders, &[]);
        ingest_json("soda10m", &archives, &from_archives, &[]);
        let without_source = |set: &Path| {
            let mut rows = rows(set);
            rows.iter_mut().for_each(|(meta, _)| meta.source.clear());
            rows.sort_by(|(a, _), (b, _)| a.frame_id.cmp(&b.frame_id));
            rows
        };
        assert_eq!(
            without_source(&from_folders),
            without_source(&from_archives)
        );

        let soda5m = inspect(&from_archives, "split in ('0','2','4','6','8')");
        assert_eq!(soda5m["by_split"], json!({ "0": 4, "2": 4, "4": 4 }));
        assert_eq!(
            soda5m["by_city"],
            json!({ "BJ": 5, "SH": 2, "GZ": 3, "Beijing": 1, "Shanghai": 1 })
        );
        assert_eq!(
            soda5m["by_weather"],
            json!({ "Clear": 1, "Overcast": 1, "(none)": 10 })
        );
        let night = inspect(
            &from_archives,
            "time_of_day = 'Night' and city = 'Shenzhen' and location = 'Highway'",
        );
        assert_eq!(
            (&night["by_split"], &night["by_weather"]),
            (&json!({ "val": 1 }), &json!({ "Rainy": 1 }))
        );
    }
}

#[test]
fn tags_lie_in_an_archive_beside_it_or_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let (mut splits, _) = soda10m("unlabel", "labeled");
    let path = |name: &str| dir.path().join(name);
    let weather = |set: &str| inspect(&path(set), "width > 0")["by_weather"].clone();
    let (known, unknown) = (json!({ "Clear": 1, "(none)": 3 }), json!({ "(none)": 4 }));
    write(&path("alone/image_0.tar"), &tar_of(&splits[0]));
    write(&path("elsewhere/tags.json"), &tag_list());
    ingest_json(
        "soda10m",
        &path("alone/image_0.tar"),
        &path("set_alone"),
        &[],
    );
    assert_eq!(weather("set_alone"), unknown);
    let tags = path("elsewhere/tags.json").to_string_lossy().into_owned();
    ingest_json(
        "soda10m",
        &path("alone/image_0.tar"),
        &path("set_elsewhere"),
        &["--tags", &tags],
    );
    assert_eq!(weather("set_elsewhere"), known);
    write(&path("alone/tags.json"), &tag_list());
    ingest_json(
        "soda10m",
        &path("alone/image_0.tar"),
        &path("set_beside"),
        &[],
    );
    assert_eq!(weather("set_beside"), known);
    splits[0].push(("SSLAD-2D/tags.json".to_owned(), tag_list()));
    write(&path("inside/image_0.tar"), &tar_of(&splits[0]));
    ingest_json(
        "soda10m",
        &path("inside/image_0.tar"),
        &path("set_inside"),
        &[],
    );
    assert_eq!(weather("set_inside"), known);
}

#[test]
fn damaged_tags_are_one_line_and_in_an_archive_a_skip() {
    let dir = tempfile::tempdir().unwrap();
    let (mut splits, _) = soda10m("unlabel", "labeled");
    let torn = &tag_list()[..50];
    let path = |name: &str| dir.path().join(name);
    splits[1].push(("SSLAD-2D/tags.json".to_owned(), torn.to_vec()));
    write(&path("in/image_1.tar"), &tar_of(&splits[1]));
    let summary = ingest_json(
        "soda10m",
        &path("in/image_1.tar"),
        &path("set"),
        &["--max-bad", "1"],
    );
    assert_eq!(summary["frames_written"], 4);
    assert_eq!(
        skipped(&path("set")),
        BTreeMap::from([(
            "in/image_1.tar/SSLAD-2D/tags.json".into(),
            "bad-tags".into()
        )])
    );

    write(&path("torn.json"), torn);
    for (name, expected) in [("torn.json", "damaged"), ("none.json", "No such file")] {
        let tags = path(name).to_string_lossy().into_owned();
        assert_refused(
            "soda10m",
            &path("in/image_1.tar"),
            &["--tags", &tags],
            &[name, expected],
        );
    }
}

#[test]
fn damage_in_archives_costs_what_it_hits_and_is_listed_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let files = images("train/", 4);
    let path = |name: &str| dir.path().join(name);
    let tar = tar_of(&files);
    let starts: Vec<usize> = files
        .iter()
        .scan(0, |at, (_, bytes)| {
            let start = *at;
            *at += 512 + bytes.len().next_multiple_of(512);
            Some(start)
        })
        .collect();
    let mut header = tar.clone();
    header[starts[1] + 10] ^= 1;
    let zip = zip_of(&files, CompressionMethod::DEFLATE);
    let mut member = zip.clone();
    let at = zip
        .windows(14)
        .position(|window| window == b"train/0002.jpg")
        .unwrap()
        + 14
        + 500;
    member[at] ^= 1;
    let twice = [
        &files[..],
        &[("./train/0001.jpg".to_owned(), files[2].1.clone())],
    ]
    .concat();
    for (name, bytes) in [
        ("header.tar", &header[..]),
        ("cut.tar", &tar[..starts[3] + 700]),
        ("twice.tar", &tar_of(&twice)),
        ("member.zip", &member),
        ("cut.zip", &zip[..zip.len() - 100]),
        ("page.zip", b"<html>404</html>"),
    ] {
        write(&path("in").join(name), bytes);
    }
    let set = path("set");
    let output = ingest_to("images", &path("in"), &set, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let expected = [
        (format!("in/header.tar@{}", starts[1]), "damaged-archive"),
        (format!("in/cut.tar@{}", starts[3]), "truncated-archive"),
        ("in/twice.tar/train/0001.jpg".into(), "duplicate-frame"),
        ("in/member.zip/train/0002.jpg".into(), "damaged-member"),
        ("in/cut.zip@0".into(), "damaged-archive"),
        ("in/page.zip@0".into(), "damaged-archive"),
    ];
    assert_eq!(
        skipped(&set),
        expected
            .into_iter()
            .map(|(place, reason)| (place, reason.to_owned()))
            .collect()
    );
    let summary = ingest_json("images", &path("in"), &set, &["--max-bad", "6"]);
    assert_eq!(
        (&summary["frames_kept"], &summary["frames_written"]),
        (&json!(3 + 3 + 4 + 3), &json!(0))
    );
    assert!(
        ingest(["verify".as_ref(), set.as_os_str()])
            .status
            .success()
    );
}

#[test]
fn an_archive_that_has_changed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (archive, set) = (dir.path().join("in/x.tar"), dir.path().join("set"));
    let files = images("", 5);
    write(&archive, &tar_of(&files));
    ingest_json("images", &archive, &set, &[]);
    let before = tree(&set);
    let renamed = [&files[..4], &[("other.jpg".to_owned(), files[4].1.clone())]].concat();
    for changed in [files[..4].to_vec(), images("", 6), renamed] {
        write(&archive, &tar_of(&changed));
        let output = ingest_to("images", &archive, &set, &[]);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            stderr(&output).contains("added to or removed from"),
            "{}",
            stderr(&output)
        );
    }
    assert_eq!(tree(&set), before);
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

#[test]
fn archives_that_cannot_be_read_are_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { dir.path().join(name) };
    let tar = tar_of(&images("", 1));
    for name in ["x.tar.part00", "x.tar.part02", "y.tgz", "z.tar.gz"] {
        write(&path(name), &tar);
    }
    write(
        &path("labels.tar"),
        &tar_of(&[("a_gtFine_labelIds.png".to_owned(), Vec::new())]),
    );
    write(&path("empty.tar"), b"");
    write(&path("notes.txt"), b"");
    for command in ["images", "soda10m"] {
        for (name, expected) in [
            ("x.tar.part00", ["missing", "x.tar.part01"]),
            ("y.tgz", ["compressed", "gzip -dk"]),
            ("z.tar.gz", ["compressed", "gzip -dk"]),
            ("labels.tar", ["holds no images", ".zip"]),
            ("empty.tar", ["holds no images", ".zip"]),
            ("notes.txt", ["neither a folder nor an archive", ".zip"]),
        ] {
            assert_refused(
                command,
                &path(name),
                &[],
                &[&expected[..], &[name.split('.').next().unwrap()]].concat(),
            );
        }
    }
}
