//! The whole pipeline over a small set on disk: on what a batch depends (here), what it holds
//! (`content`), what becomes of broken frames and lost shards (`damage`), of sets that grow (`grown`).

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod content;
mod damage;
mod grown;

use std::collections::BTreeMap;
use std::path::Path;

use sampler::{
    Batch, Batches, Cursor, Error, OrderKind, PairMeta, Reading, Sampler, SamplerConfig,
};
use schemas::geom::BoxPx;
use testkit::photos;

const NUM_FRAMES: u32 = 23;

fn set() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    photos::write(dir.path(), NUM_FRAMES, 10);
    dir
}

fn config() -> SamplerConfig {
    SamplerConfig {
        seed: 5,
        batch: 5,
        depth: 3,
        threads: 2,
        ..SamplerConfig::default()
    }
}

type Seen = (u64, u64, Vec<PairMeta>, Vec<u8>, Vec<u8>);

fn collect(batches: &mut Batches, count: usize) -> Vec<Seen> {
    let seen = |batch: sampler::Result<Batch>| {
        let batch = batch.unwrap();
        (
            batch.epoch(),
            batch.step(),
            batch.pairs().to_vec(),
            batch.view(0).to_vec(),
            batch.view(1).to_vec(),
        )
    };
    batches.take(count).map(seen).collect()
}

fn run(dir: &Path, config: SamplerConfig, from: Cursor, count: usize) -> Vec<Seen> {
    collect(
        &mut Sampler::open(dir, config).unwrap().start(from).unwrap(),
        count,
    )
}

#[test]
fn batches_are_the_same_for_any_number_of_workers_and_any_depth() {
    let dir = set();
    let one = run(
        dir.path(),
        SamplerConfig {
            threads: 1,
            ..config()
        },
        Cursor::default(),
        9,
    );
    for (threads, depth) in [(2, 1), (7, 3), (16, 5)] {
        let many = run(
            dir.path(),
            SamplerConfig {
                threads,
                depth,
                ..config()
            },
            Cursor::default(),
            9,
        );
        assert!(one == many, "{threads} threads, depth {depth}");
    }
}

#[test]
fn a_run_resumed_from_its_cursor_goes_on_as_it_would_have() {
    let dir = set();
    let sampler = Sampler::open(dir.path(), config()).unwrap();
    assert_eq!(sampler.steps_per_epoch(), 4);
    let mut batches = sampler.start(Cursor::default()).unwrap();
    collect(&mut batches, 6);
    let cursor = batches.cursor();
    assert_eq!(cursor, Cursor { epoch: 1, step: 2 });
    assert!(collect(&mut batches, 5) == run(dir.path(), config(), cursor, 5));
}

#[test]
fn an_epoch_shows_no_frame_twice_and_the_next_one_crops_differently() {
    let dir = set();
    let seen = run(dir.path(), config(), Cursor::default(), 8);
    let crops_of = |epoch: u64| -> BTreeMap<u64, BoxPx> {
        let pairs = seen
            .iter()
            .filter(|seen| seen.0 == epoch)
            .flat_map(|seen| &seen.2);
        pairs
            .map(|pair| (pair.key, pair.crops[0].crop_in_frame))
            .collect()
    };
    let (first, second) = (crops_of(0), crops_of(1));
    assert_eq!((first.len(), second.len()), (20, 20));
    assert!(first.keys().ne(second.keys()), "three others are left out");
    assert!(
        first
            .iter()
            .all(|(key, crop)| second.get(key) != Some(crop))
    );
}

#[test]
fn a_run_starts_anywhere_as_if_it_had_come_there() {
    let dir = set();
    for order in [OrderKind::Full, OrderKind::Block] {
        let config = || SamplerConfig { order, ..config() };
        let all = run(dir.path(), config(), Cursor::default(), 10);
        for skipped in 0..8 {
            let from = Cursor {
                epoch: skipped / 4,
                step: skipped % 4,
            };
            assert!(
                all[skipped as usize..][..2] == run(dir.path(), config(), from, 2),
                "{order:?} from {from:?}"
            );
        }
    }
}

#[test]
fn a_filter_changes_which_frames_there_are_and_not_how_they_look() {
    let dir = set();
    type Looks = (PairMeta, Vec<u8>, Vec<u8>);
    let looks = |filter: Option<&str>, batch: usize| -> BTreeMap<(u64, u64), Looks> {
        let config = SamplerConfig {
            filter: filter.map(str::to_owned),
            batch,
            ..config()
        };
        let bytes = (config.output * config.output * 3) as usize;
        let mut looks = BTreeMap::new();
        for (epoch, _, pairs, first, second) in run(dir.path(), config, Cursor::default(), 2) {
            let views = first.chunks_exact(bytes).zip(second.chunks_exact(bytes));
            for (pair, (first, second)) in pairs.into_iter().zip(views) {
                looks.insert((epoch, pair.key), (pair, first.to_vec(), second.to_vec()));
            }
        }
        looks
    };
    let all = looks(None, NUM_FRAMES as usize);
    let front = looks(Some("camera = 'FRONT'"), 8);
    assert_eq!((all.len(), front.len()), (2 * 23, 2 * 8));
    assert!(front.iter().all(|(key, looks)| all[key] == *looks));
}

#[test]
fn ranks_share_an_epoch_without_overlap_and_have_equal_steps() {
    let dir = set();
    for (world, order) in [
        (2, OrderKind::Full),
        (3, OrderKind::Full),
        (3, OrderKind::Block),
    ] {
        let mut keys = Vec::new();
        let steps = u64::from(NUM_FRAMES / (2 * world));
        for rank in 0..world {
            let sampler = Sampler::open(
                dir.path(),
                SamplerConfig {
                    rank,
                    world,
                    order,
                    batch: 2,
                    ..config()
                },
            )
            .unwrap();
            assert_eq!(sampler.steps_per_epoch(), steps);
            let pairs = (0..steps).flat_map(|step| sampler.planned(Cursor { epoch: 1, step }));
            keys.extend(pairs.map(|pair| pair.key));
        }
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(
            keys.len() as u64,
            steps * 2 * u64::from(world),
            "{world} ranks, {order:?}"
        );
    }
}

#[test]
fn reading_and_mapping_give_the_same_batches() {
    let dir = set();
    let read = |reading| {
        run(
            dir.path(),
            SamplerConfig {
                reading,
                ..config()
            },
            Cursor::default(),
            6,
        )
    };
    assert!(read(Reading::Mmap) == read(Reading::Pread));
}

#[test]
fn what_cannot_be_opened_says_why() {
    let dir = set();
    let error =
        |path: &Path, config: SamplerConfig| Sampler::open(path, config).unwrap_err().to_string();
    assert!(error(&dir.path().join("none"), config()).contains("no such folder"));
    assert!(
        error(
            dir.path(),
            SamplerConfig {
                batch: 24,
                ..config()
            }
        )
        .contains("at most 23")
    );
    let filtered = |sql: &str| SamplerConfig {
        filter: Some(sql.to_owned()),
        ..config()
    };
    assert!(error(dir.path(), filtered("camera = 'REAR'")).contains("none of its 23 frames"));
    assert!(error(dir.path(), filtered("colour = 3")).contains("colour"));
    let sampler = Sampler::open(dir.path(), config()).unwrap();
    assert!(matches!(
        sampler.start(Cursor { epoch: 0, step: 4 }),
        Err(Error::Cursor { step: 4, steps: 4 })
    ));
}

#[test]
fn fingerprints_name_the_frames() {
    let dir = set();
    let open = |filter: Option<&str>, seed| {
        let config = SamplerConfig {
            filter: filter.map(str::to_owned),
            seed,
            ..config()
        };
        Sampler::open(dir.path(), config).unwrap().fingerprint()
    };
    assert_eq!(open(None, 1), open(None, 2));
    assert_ne!(open(None, 1), open(Some("camera = 'FRONT'"), 1));
}
