//! Shards and catalogs of made-up frames: what is written is what is read, and what does not fit is
//! named.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::catalog::{self, CATALOG_CHECKSUM_FILE, CATALOG_FILE, Catalog};
use crate::frame::{Encoding, FrameMeta, FrameRow, LevelImage, Origin};
use crate::geom::Size;
use crate::index::ShardSet;
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
fn row(frame_id: &str, seed: u8) -> FrameRow {
    let half = seed.is_multiple_of(2).then(|| level(seed / 2));
    FrameRow {
        meta: meta(frame_id),
        origin: (seed > 0).then(|| Origin::of(&[seed])),
        levels: vec![Some(level(seed)), half, None],
    }
}

fn id(input: &str, first_item: u64) -> ShardId {
    ShardId {
        input: input.to_owned(),
        first_item,
        end_item: None,
    }
}

fn write_shard(set: &Path, id: &ShardId, settings: &Settings, rows: &[FrameRow]) -> ShardSummary {
    let frames = set.join(FRAMES_DIR);
    fs::create_dir_all(&frames).unwrap();
    let mut writer = ShardWriter::create(&frames, id, settings).unwrap();
    for row in rows {
        writer.push(row.clone()).unwrap();
    }
    writer.finish(&[], None).unwrap()
}

/// Two shards, 70 and 3 frames: more than one row group.
pub(super) fn example_set() -> (tempfile::TempDir, Vec<FrameRow>) {
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
fn the_catalog_finds_every_jpeg() {
    let (set, rows) = example_set();
    let catalog = catalog::build(set.path()).unwrap();
    assert_eq!((catalog.num_frames(), catalog.shards().len()), (73, 2));

    let listed: Vec<_> = catalog
        .rows()
        .unwrap()
        .flat_map(|batch| batch.unwrap())
        .collect();
    assert_eq!(
        listed.iter().map(|row| &row.frame.meta).collect::<Vec<_>>(),
        rows.iter().map(|r| &r.meta).collect::<Vec<_>>()
    );

    let index = all(&catalog);
    let shards = ShardSet::new(&catalog);
    assert!(index.memory_bytes() <= 64 * index.len());
    for (ix, row) in rows.iter().enumerate() {
        assert_eq!(
            (index.key(ix), index.size(ix)),
            (row.meta.key(), row.meta.size)
        );
        for (level_ix, level) in row.levels.iter().enumerate() {
            let stored = index
                .level(ix, level_ix)
                .map(|slot| shards.bytes(slot).unwrap());
            assert_eq!(stored, level.as_ref().map(|level| &level.jpeg[..]));
        }
    }
}

fn all(catalog: &Catalog) -> crate::index::FrameIndex {
    catalog.index(&catalog.all()).unwrap()
}

#[test]
fn a_catalog_that_does_not_fit_its_shards_is_stale() {
    let (set, rows) = example_set();
    let stale = |detail: &str| match Catalog::open(set.path()) {
        Err(Error::Stale { detail: found, .. }) => assert!(found.contains(detail), "{found}"),
        other => panic!("{other:?}"),
    };
    stale("there is none");
    catalog::build(set.path()).unwrap();

    write_shard(
        set.path(),
        &id("c.tar", 0),
        &Settings::default(),
        &[row("new", 1)],
    );
    stale("does not list");
    let gone = catalog::shard_paths(set.path()).unwrap()[0].clone();
    catalog::build(set.path()).unwrap();
    let moved = set.path().join("away");
    fs::rename(&gone, &moved).unwrap();
    match Catalog::open(set.path()) {
        Err(error @ Error::Gone { .. }) => {
            let message = error.to_string();
            assert!(
                message.contains("ingest \"") && message.contains("ingest catalog"),
                "{message}"
            );
        }
        other => panic!("{other:?}"),
    }
    fs::write(&gone, b"short").unwrap();
    stale("another size");
    fs::rename(&moved, &gone).unwrap();
    assert_eq!(
        Catalog::open(set.path()).unwrap().num_frames(),
        rows.len() as u64 + 1
    );
}

#[test]
fn a_catalog_that_is_just_being_replaced_is_waited_for() {
    let (set, rows) = example_set();
    catalog::build(set.path()).unwrap();
    let catalog = set.path().join(CATALOG_FILE);
    let temporary = set.path().join(format!("{CATALOG_FILE}.tmp"));
    fs::rename(&catalog, &temporary).unwrap();
    fs::write(
        &catalog,
        b"the one before, to which the checksum does not belong any more",
    )
    .unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(60));
            fs::rename(&temporary, &catalog).unwrap();
        });
        let opened = Catalog::open(set.path()).unwrap();
        assert_eq!(opened.num_frames(), rows.len() as u64);
    });
}

#[test]
fn any_flipped_bit_of_the_catalog_is_noticed() {
    let (set, _) = example_set();
    catalog::build(set.path()).unwrap();
    for name in [CATALOG_FILE, CATALOG_CHECKSUM_FILE] {
        let path = set.path().join(name);
        let good = fs::read(&path).unwrap();
        for at in (0..good.len()).step_by(good.len().div_ceil(40)) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            fs::write(&path, &bad).unwrap();
            assert!(Catalog::open(set.path()).is_err(), "{name}: byte {at}");
        }
        fs::write(&path, &good).unwrap();
    }
    Catalog::open(set.path()).unwrap();
}

#[test]
fn shards_that_do_not_belong_together_are_refused() {
    let (set, _) = example_set();
    let other = Settings {
        quality: 50,
        ..Settings::default()
    };
    write_shard(set.path(), &id("c", 0), &other, &[row("else", 1)]);
    assert!(matches!(
        catalog::build(set.path()),
        Err(Error::MixedSettings { .. })
    ));
}

#[test]
fn of_two_frames_of_one_name_the_one_stays_that_the_catalog_had() {
    let (set, rows) = example_set();
    let count = rows.len() as u64;
    let first = catalog::build(set.path()).unwrap();
    let listed = |catalog: &Catalog| -> Vec<(String, u32, String)> {
        let rows = catalog.rows().unwrap().flat_map(Result::unwrap);
        let name = |shard: u32| catalog.shards()[shard as usize].name.clone();
        rows.map(|row| (name(row.shard), row.row, row.frame.meta.frame_id))
            .collect()
    };
    let before = listed(&first);
    // Sorts before the others, has one name of theirs and one of its own.
    let new = id("0", 0);
    let frames = [row("frame/3", 1), row("new", 2)];
    write_shard(set.path(), &new, &Settings::default(), &frames);
    let second = catalog::build(set.path()).unwrap();
    assert_eq!(second.num_frames(), count + 1);
    let kept: Vec<_> = listed(&second)
        .into_iter()
        .filter(|(shard, ..)| *shard != new.file_name())
        .collect();
    assert_eq!(kept, before);
    assert_eq!(second.shard(&new.file_name()).unwrap().duplicates, 1);
    let left_out = second.left_out().unwrap();
    let place = before
        .iter()
        .find(|(.., frame)| frame == "frame/3")
        .unwrap();
    assert_eq!(left_out.len(), 1);
    assert_eq!(
        (
            &left_out[0].frame_id[..],
            &left_out[0].shard,
            &left_out[0].kept_in
        ),
        ("frame/3", &new.file_name(), &place.0)
    );
    assert_eq!(first.left_out().unwrap(), []);

    // Without the catalog of before the first by name stays.
    fs::remove_file(set.path().join(CATALOG_FILE)).unwrap();
    let anew = catalog::build(set.path()).unwrap();
    let left_out = anew.left_out().unwrap();
    assert_eq!(
        (&left_out[0].shard, &left_out[0].kept_in),
        (&place.0, &new.file_name())
    );
    assert_eq!(anew.num_frames(), count + 1);
}

#[test]
fn a_shard_that_is_another_one_is_adopted_only_if_it_was_made_again() {
    let (set, _) = example_set();
    let catalog = catalog::build(set.path()).unwrap();
    let info = catalog.shards()[0].clone();
    write_shard(
        set.path(),
        &info.id,
        &Settings::default(),
        &[row("else", 5)],
    );
    let path = set.path().join(FRAMES_DIR).join(&info.name);
    let (_, crc32c) = ShardReader::open(&path).unwrap().file_checksum().unwrap();
    for made in [None, Some(crc32c ^ 1)] {
        let made = made.map(|crc32c| (info.name.clone(), crc32c));
        assert!(matches!(
            catalog::rebuild(set.path(), &made.into_iter().collect()),
            Err(Error::Damaged { .. })
        ));
    }
    let made = [(info.name.clone(), crc32c)].into();
    let again = catalog::rebuild(set.path(), &made).unwrap();
    assert_eq!(again.shards()[0].crc32c, crc32c);
}

#[test]
fn inputs_of_other_cameras_go_into_one_set() {
    let (set, _) = example_set();
    let cameras = Settings {
        cameras: ["FRONT".into()].into(),
        ..Settings::default()
    };
    write_shard(set.path(), &id("c", 0), &cameras, &[row("else", 1)]);
    let catalog = catalog::build(set.path()).unwrap();
    assert_eq!(*catalog.settings(), Settings::default());
}

#[test]
fn what_is_no_set_is_said_in_one_line() {
    let empty = tempfile::tempdir().unwrap();
    for dir in [empty.path().to_owned(), empty.path().join("missing")] {
        let message = Catalog::open(&dir).unwrap_err().to_string();
        assert!(
            message.contains("ingest waymo") && !message.contains('\n'),
            "{message}"
        );
    }
    let frames = empty.path().join(FRAMES_DIR);
    fs::create_dir(&frames).unwrap();
    fs::write(frames.join("x.parquet"), b"no parquet").unwrap();
    assert!(matches!(
        catalog::build(empty.path()),
        Err(Error::Damaged { .. })
    ));
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

#[cfg(feature = "sql")]
mod sql {
    use super::*;
    use crate::filter::Filter;

    fn kept(catalog: &Catalog, sql: &str) -> usize {
        let selection = catalog.select(Some(&Filter::parse(sql).unwrap()));
        catalog.index(&selection.unwrap()).unwrap().len()
    }

    #[test]
    fn where_keeps_the_rows_that_it_describes() {
        let (set, rows) = example_set();
        let catalog = catalog::build(set.path()).unwrap();
        let front = rows
            .iter()
            .filter(|row| row.meta.camera.as_deref() == Some("FRONT"))
            .count();
        assert_eq!(kept(&catalog, "camera = 'FRONT'"), front);
        assert_eq!(
            kept(
                &catalog,
                "camera = 'FRONT' OR camera = 'SIDE_LEFT' AND width > 90"
            ),
            73
        );
        assert_eq!(kept(&catalog, "split in ('0','2','train')"), 73);
        assert_eq!(kept(&catalog, "frame_id like 'frame/1%'"), 11);
        assert_eq!(
            kept(&catalog, "time_of_day is null and height between 1 and 100"),
            73
        );
        assert_eq!(kept(&catalog, "time_of_day = 'Day'"), 0);
        assert_eq!(
            kept(&catalog, "timestamp_micros < 0 and not (width = 96)"),
            0
        );
    }

    #[test]
    fn what_cannot_be_a_filter_is_said_in_one_line() {
        let (set, _) = example_set();
        let catalog = catalog::build(set.path()).unwrap();
        for (sql, expected) in [
            ("camera = ", "SQL"),
            ("lens = 'FRONT'", "no column \"lens\""),
            ("1 = 1", "names no column"),
        ] {
            let message = Filter::parse(sql).unwrap_err().to_string();
            assert!(
                message.contains(expected) && !message.contains('\n'),
                "{message}"
            );
        }
        for sql in [
            "width = max(width)",
            "count(*) > 3 and width > 1",
            "row_number() over (order by width) < 9",
        ] {
            let message = Filter::parse(sql).unwrap_err().to_string();
            assert!(
                message.contains("--where") && !message.contains('\n'),
                "{message}"
            );
        }
        let not_boolean = Filter::parse("width + 1").unwrap();
        assert!(catalog.select(Some(&not_boolean)).is_err());
    }
}
