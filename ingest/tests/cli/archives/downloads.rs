//! Archives as people have them: compressed, under other names, with foreign letters.

use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// Rows with the names of another archive, whose stem is the segment of images in no other folder.
fn renamed(rows: Vec<Row>, from: &str, to: &str) -> Vec<Row> {
    let stem = |name: &str| {
        let (_, name) = name.split_once('/').unwrap();
        name.split('.').next().map(str::to_owned)
    };
    let rename = |(mut meta, levels): Row| {
        if meta.segment == stem(from) {
            meta.segment = stem(to);
        }
        meta.source = meta.source.replacen(from, to, 1);
        meta.frame_id = meta.frame_id.replacen(from, to, 1);
        (meta, levels)
    };
    rows.into_iter().map(rename).collect()
}

#[test]
fn compressed_archives_hold_what_is_in_them_whatever_they_are_called() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = images("train/", 3);
    let small = jpeg(Size::new(16, 16), 1);
    files.extend((0..2_060).map(|ix| (format!("small/{ix}.jpg"), small.clone())));
    let tar = tar_of(&files);
    let path = |name: &str| dir.path().join("in").join(name);
    write(&path("x.tar"), &tar);
    let plain = dir.path().join("plain");
    ingest_json("images", &path("x.tar"), &plain, &[]);
    let halves = tar.split_at(tar.len() / 2);
    for (name, bytes) in [
        ("x.tar.gz", gzip(&tar)),
        ("x.tgz", [gzip(halves.0), gzip(halves.1)].concat()),
        ("x.tar.zst", zstd(&tar)),
        ("y.tzst", [zstd(halves.0), zstd(halves.1)].concat()),
        ("gzip.tar", gzip(&tar)),
        ("plain.tgz", tar.clone()),
        ("tar.zip", tar.clone()),
        ("zip.tar", zip_of(&files, CompressionMethod::STORE)),
    ] {
        write(&path(name), &bytes);
        let set = dir.path().join(format!("{name}.set"));
        let summary = ingest_json("images", &path(name), &set, &["--threads", "2"]);
        assert_eq!(summary["frames_written"], 2_063, "{name}");
        assert_eq!(summary["shards_written"], 2, "{name}");
        assert!(skipped(&set).is_empty());
        let place = |name: &str| format!("in/{name}");
        assert_eq!(
            renamed(rows(&set), &place(name), &place("x.tar")),
            rows(&plain),
            "{name}"
        );
        // Any part of a run reads the rows that it is to write.
        for part in ["1/2", "0/2"] {
            let parts = dir.path().join(format!("{name}.parts"));
            ingest_json("images", &path(name), &parts, &["--part", part]);
        }
    }
}

#[test]
fn a_cut_download_has_what_is_in_front_of_the_cut() {
    let dir = tempfile::tempdir().unwrap();
    // Zstandard packs blocks of 128 KiB, of which a part cannot be read.
    let files = images("", 120);
    let tar = tar_of(&files);
    for (name, bytes, reason) in [
        ("a.tar.gz", gzip(&tar), "truncated-archive"),
        ("b.tar.zst", zstd(&tar), "truncated-archive"),
    ] {
        let (archive, set) = (dir.path().join("in").join(name), dir.path().join(name));
        write(&archive, &bytes[..bytes.len() / 2]);
        let output = ingest_to("images", &archive, &set, &[]);
        assert_eq!(output.status.code(), Some(1));
        let lost = skipped(&set);
        assert_eq!(lost.values().collect::<Vec<_>>(), [reason]);
        assert!(
            lost.keys()
                .next()
                .unwrap()
                .starts_with(&format!("in/{name}@"))
        );
        let kept = rows(&set).len();
        assert!((1..120).contains(&kept), "{kept}");
    }
}

#[test]
fn what_is_no_tar_says_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes, expected) in [
        ("a.tar", &b"\xFD7zXZ\0\0\x04"[..], "it is xz, not a tar"),
        ("b.tar", b"BZh91AY&SY", "it is bzip2, not a tar"),
        ("c.tgz", &gzip(&gzip(b"twice")), "it is gzip, not a tar"),
        ("d.tar.gz", &gzip(b"PK\x03\x04"), "it is a zip, not a tar"),
        ("e.tar", b"<html>404</html>", "it is a web page, not a tar"),
    ] {
        let (archive, set) = (dir.path().join("in").join(name), dir.path().join(name));
        write(&archive, bytes);
        let output = ingest_to("images", &archive, &set, &[]);
        assert_eq!(output.status.code(), Some(1));
        let report = fs::read_to_string(set.join("report.json")).unwrap();
        assert!(report.contains(expected), "{report}");
    }
}

#[test]
fn every_file_of_an_archive_is_a_frame_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let picture = |seed| jpeg(Size::new(240, 224), seed);
    let mut builder = tar::Builder::new(Vec::new());
    let mut append = |name: &[u8], kind: tar::EntryType, target: &str, contents: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_entry_type(kind);
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        if !target.is_empty() {
            header.set_link_name(target).unwrap();
        }
        header.set_cksum();
        builder.append(&header, contents).unwrap();
    };
    let file = tar::EntryType::Regular;
    append(b"train/\xE4.jpg", file, "", &picture(1));
    append(b"train/\xF6.jpg", file, "", &picture(2));
    append(b"train/hard.jpg", tar::EntryType::Link, "train/0.jpg", b"");
    append(b"train/0.jpg", file, "", &picture(3));
    append(b"train/0.jpg", file, "", &picture(4));
    append(b"train/soft.jpg", tar::EntryType::Symlink, "0.jpg", b"");
    append(b"train/hole.jpg", tar::EntryType::Symlink, "1.jpg", b"");
    let bytes = builder.into_inner().unwrap();
    for (name, bytes) in [("x.tar", bytes.clone()), ("x.tar.gz", gzip(&bytes))] {
        let (archive, set) = (dir.path().join("in").join(name), dir.path().join(name));
        write(&archive, &bytes);
        ingest_json("images", &archive, &set, &["--max-bad", "1"]);
        let skips = skipped(&set);
        assert_eq!(
            skips.into_iter().collect::<Vec<_>>(),
            [(
                format!("in/{name}/train/hole.jpg"),
                "broken-link".to_owned()
            )]
        );
        let found: BTreeMap<String, Vec<_>> = rows(&set)
            .into_iter()
            .map(|(meta, levels)| (meta.source, levels))
            .collect();
        let of = |file: &str| &found[&format!("in/{name}/train/{file}")];
        assert_eq!(found.len(), 5);
        assert_ne!(of("\\xE4.jpg"), of("\\xF6.jpg"));
        assert_eq!(of("0.jpg"), of("soft.jpg"));
        assert_eq!(of("0.jpg"), of("hard.jpg"));
    }
}

#[test]
fn a_part_that_is_missing_costs_its_archive_alone() {
    let dir = tempfile::tempdir().unwrap();
    let tar = tar_of(&images("", 2));
    let input = dir.path().join("in");
    write(&input.join("good.tar"), &tar);
    for part in ["aa", "ac"] {
        write(&input.join(format!("gap.tar.{part}")), &tar);
    }
    let set = dir.path().join("set");
    let output = ingest_to("images", &input, &set, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        skipped(&set).into_iter().collect::<Vec<_>>(),
        [("in/gap.tar@0".to_owned(), "incomplete-archive".to_owned())]
    );
    assert_eq!(rows(&set).len(), 2);
    let report = fs::read_to_string(set.join("report.json")).unwrap();
    assert!(report.contains("gap.tar.ab"), "{report}");
}
