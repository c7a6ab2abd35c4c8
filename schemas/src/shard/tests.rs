//! Shards of made-up frames: what is written is what is read, and what does not fit is named.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::catalog;
use crate::frame::{Encoding, FrameMeta, FrameRow, LevelImage, Origin};
use crate::geom::Size;
use crate::tiled::tests::{named, skeleton};
use crate::{Error, tiled};

fn meta(frame_id: &str) -> FrameMeta {
    FrameMeta {
        frame_id: frame_id.to_owned(),
        source: format!("{frame_id}.jpg"),
        dataset: "images".to_owned(),
        split: Some("train".to_owned()),
        segment: None,
        camera: Some(
            if frame_id.ends_with('1') {
                "FRONT"
            } else {
                "SIDE_LEFT"
            }
            .to_owned(),
        ),
        timestamp_micros: Some(-5),
        size: Size::new(96, 64),
        time_of_day: None,
        weather: Some("rain, \"heavy\"".to_owned()),
        location: None,
        city: None,
    }
}

fn level(seed: u8) -> LevelImage {
    let jpeg = skeleton(Size::new(96, 64), 2, |column, row| {
        [named(column, row), vec![seed & 0x7F; seed as usize]].concat()
    });
    let jpeg = tiled::embed_index(&jpeg).unwrap();
    LevelImage {
        jpeg,
        size: Size::new(96, 64),
        encoding: Encoding::Quality(seed.clamp(1, 100)),
    }
}

/// Level 0 always, level 1 for even seeds, level 2 never.
pub(crate) fn row(frame_id: &str, seed: u8) -> FrameRow {
    let half = seed.is_multiple_of(2).then(|| level(seed / 2));
    FrameRow {
        meta: meta(frame_id),
        origin: (seed > 0).then(|| Origin::of(&[seed])),
        levels: vec![Some(level(seed)), half, None],
    }
}

pub(crate) fn id(input: &str, first_item: u64) -> ShardId {
    ShardId {
        input: input.to_owned(),
        first_item,
        end_item: None,
    }
}

pub(crate) fn write_shard(
    set: &Path,
    id: &ShardId,
    settings: &Settings,
    rows: &[FrameRow],
) -> ShardSummary {
    let frames = set.join(FRAMES_DIR);
    fs::create_dir_all(&frames).unwrap();
    let mut writer = ShardWriter::create(&frames, id, settings).unwrap();
    for row in rows {
        writer.push(row.clone()).unwrap();
    }
    writer.finish(&[], None).unwrap()
}

/// Two shards, 70 and 3 frames: more than one row group.
pub(crate) fn example_set() -> (tempfile::TempDir, Vec<FrameRow>) {
    let set = tempfile::tempdir().unwrap();
    let rows: Vec<_> = (0..73)
        .map(|ix| row(&format!("frame/{ix}"), ix as u8))
        .collect();
    write_shard(
        set.path(),
        &id("a.tar", 0),
        &Settings::default(),
        &rows[..70],
    );
    write_shard(
        set.path(),
        &id("b.tar", 0),
        &Settings::default(),
        &rows[70..],
    );
    (set, rows)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_is_written_is_read(seeds in prop::collection::vec(any::<u8>(), 0..150)) {
        let set = tempfile::tempdir().unwrap();
        let rows: Vec<_> = seeds.iter().enumerate().map(|(ix, seed)| row(&format!("{ix}"), *seed)).collect();
        let written = write_shard(set.path(), &id("x", 7), &Settings::default(), &rows);
        let shard = ShardReader::open(&written.path).unwrap();
        prop_assert_eq!(shard.id(), &id("x", 7));
        prop_assert_eq!(shard.settings(), &Settings::default());
        let entries = shard.rows().unwrap();
        prop_assert_eq!(entries.len(), rows.len());
        for (entry, row) in entries.iter().zip(&rows) {
            prop_assert_eq!(&entry.meta, &row.meta);
            for (entry, level) in entry.levels.iter().zip(&row.levels) {
                prop_assert_eq!(entry.is_some(), level.is_some());
                if let (Some(entry), Some(level)) = (entry, level) {
                    prop_assert_eq!(&shard.jpeg(entry).unwrap()[..], &level.jpeg[..]);
                    prop_assert_eq!(entry.crc32c, crc32c::crc32c(&level.jpeg));
                    prop_assert_eq!((entry.size, entry.encoding), (level.size, level.encoding));
                    prop_assert_eq!((entry.mcu, entry.tile), (16, 32));
                }
            }
        }
    }
}

#[test]
fn the_checksum_of_the_file_is_known_without_reading_its_pages() {
    let (set, _) = example_set();
    for path in catalog::shard_paths(set.path()).unwrap() {
        let bytes = fs::read(&path).unwrap();
        let expected = (bytes.len() as u64, crc32c::crc32c(&bytes));
        assert_eq!(
            ShardReader::open(&path).unwrap().file_checksum().unwrap(),
            expected
        );
    }
}

#[test]
fn skipped_items_stand_in_the_footer() {
    let set = tempfile::tempdir().unwrap();
    let skipped = vec![Skipped {
        source: "a.jpg".into(),
        reason: "empty".into(),
        detail: "0 bytes".into(),
        origin: Some(Origin::of(b"")),
        unread_bytes: 7,
    }];
    let writer = ShardWriter::create(set.path(), &id("x", 0), &Settings::default()).unwrap();
    let input = InputRecord {
        dataset: "images".into(),
        bytes: Some(9),
        ..InputRecord::default()
    };
    let written = writer.finish(&skipped, Some(&input)).unwrap();
    let shard = ShardReader::open(&written.path).unwrap();
    assert_eq!(shard.input(), Some(&input));
    assert_eq!((shard.skipped(), shard.num_frames()), (&skipped[..], 0));
    assert_eq!(shard.rows().unwrap(), vec![]);
}

#[test]
fn an_unfinished_shard_leaves_nothing() {
    let set = tempfile::tempdir().unwrap();
    let mut writer = ShardWriter::create(set.path(), &id("x", 0), &Settings::default()).unwrap();
    writer.push(row("a", 1)).unwrap();
    drop(writer);
    assert_eq!(fs::read_dir(set.path()).unwrap().count(), 0);
}

#[test]
fn the_same_rows_give_the_same_bytes() {
    let (one, two) = (example_set().0, example_set().0);
    for dir in [FRAMES_DIR, ""] {
        let mut names: Vec<_> = fs::read_dir(one.path().join(dir))
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        names.retain(|name| one.path().join(dir).join(name).is_file());
        for name in names {
            let bytes =
                |set: &tempfile::TempDir| fs::read(set.path().join(dir).join(&name)).unwrap();
            assert_eq!(bytes(&one), bytes(&two), "{name:?}");
        }
    }
}

#[test]
fn a_shard_of_another_version_is_refused_by_name() {
    use parquet::arrow::ArrowWriter;
    let set = tempfile::tempdir().unwrap();
    let path = set.path().join("x.parquet");
    let schema = std::sync::Arc::new(arrow::datatypes::Schema::new(meta_fields()));
    ArrowWriter::try_new(fs::File::create(&path).unwrap(), schema, None)
        .unwrap()
        .close()
        .unwrap();
    let error = ShardReader::open(&path).err().unwrap();
    assert!(
        matches!(
            error,
            Error::Version {
                expected: FORMAT_VERSION,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn shard_names_are_readable_unique_and_sorted() {
    let name = id("training/segment-10 2_with_camera_labels.tfrecord", 0).file_name();
    assert!(
        name.starts_with("segment-10_2_with_camera_labels-") && name.ends_with("-00000000.parquet"),
        "{name}"
    );
    assert_ne!(
        name,
        id("validation/segment-10 2_with_camera_labels.tfrecord", 0).file_name()
    );
    assert!(id("a", 2048).file_name() < id("a", 10240).file_name());
}
