//! Catalogs of made-up shards: every frame is found, and what does not fit is named.

use std::fs;

use super::*;

use crate::index::ShardSet;
use crate::shard::tests::{example_set, id, row, write_shard};

#[test]
fn the_catalog_finds_every_jpeg() {
    let (set, rows) = example_set();
    let catalog = build(set.path()).unwrap();
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
    build(set.path()).unwrap();

    write_shard(
        set.path(),
        &id("c.tar", 0),
        &Settings::default(),
        &[row("new", 1)],
    );
    stale("does not list");
    let gone = shard_paths(set.path()).unwrap()[0].clone();
    build(set.path()).unwrap();
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
    build(set.path()).unwrap();
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
            sleep(Duration::from_millis(60));
            fs::rename(&temporary, &catalog).unwrap();
        });
        let opened = Catalog::open(set.path()).unwrap();
        assert_eq!(opened.num_frames(), rows.len() as u64);
    });
}

#[test]
fn any_flipped_bit_of_the_catalog_is_noticed() {
    let (set, _) = example_set();
    build(set.path()).unwrap();
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
        build(set.path()),
        Err(Error::MixedSettings { .. })
    ));
}

#[test]
fn of_two_frames_of_one_name_the_one_stays_that_the_catalog_had() {
    let (set, rows) = example_set();
    let count = rows.len() as u64;
    let first = build(set.path()).unwrap();
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
    let second = build(set.path()).unwrap();
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

    // However often it is built, and whatever else is made again.
    let third = build(set.path()).unwrap();
    assert_eq!(listed(&third), listed(&second));
    assert_eq!(third.left_out().unwrap(), left_out);
    let frames = [row("newer", 2), row("frame/3", 1)];
    write_shard(set.path(), &new, &Settings::default(), &frames);
    let crc32c = crc32c_of_shard(set.path(), &new.file_name());
    let fourth = rebuild(set.path(), &[(new.file_name(), crc32c)].into()).unwrap();
    assert_eq!(fourth.left_out().unwrap(), left_out);

    // Without the catalog of before the first by name stays.
    fs::remove_file(set.path().join(CATALOG_FILE)).unwrap();
    let anew = build(set.path()).unwrap();
    let left_out = anew.left_out().unwrap();
    assert_eq!(
        (&left_out[0].shard, &left_out[0].kept_in),
        (&place.0, &new.file_name())
    );
    assert_eq!(anew.num_frames(), count + 1);
}

fn crc32c_of_shard(set: &Path, name: &str) -> u32 {
    let path = set.join(FRAMES_DIR).join(name);
    ShardReader::open(&path).unwrap().file_checksum().unwrap().1
}

#[test]
fn a_shard_that_is_another_one_is_adopted_only_if_it_was_made_again() {
    let (set, _) = example_set();
    let catalog = build(set.path()).unwrap();
    let info = catalog.shards()[0].clone();
    write_shard(
        set.path(),
        &info.id,
        &Settings::default(),
        &[row("else", 5)],
    );
    let crc32c = crc32c_of_shard(set.path(), &info.name);
    for made in [None, Some(crc32c ^ 1)] {
        let made = made.map(|crc32c| (info.name.clone(), crc32c));
        assert!(matches!(
            rebuild(set.path(), &made.into_iter().collect()),
            Err(Error::Damaged { .. })
        ));
    }
    // Two parts may have made it, one after the other.
    let made = [(info.name.clone(), crc32c), (info.name.clone(), crc32c ^ 1)];
    let made = made.into();
    let again = rebuild(set.path(), &made).unwrap();
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
    let catalog = build(set.path()).unwrap();
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
    assert!(matches!(build(empty.path()), Err(Error::Damaged { .. })));
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
        let catalog = build(set.path()).unwrap();
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
        let catalog = build(set.path()).unwrap();
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
