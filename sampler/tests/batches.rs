//! The whole pipeline over a small set on disk: what a batch holds, and on what it depends.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use sampler::{
    Batch, Batches, Cursor, Error, OrderKind, PairConfig, PairMeta, PixelFormat, Reading, Sampler,
    SamplerConfig, ViewAugment,
};
use schemas::catalog::Catalog;
use schemas::geom::BoxPx;
use schemas::imagenet::{MEAN, STD};
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
fn crops_lie_in_their_frames_and_overlap_as_asked() {
    let dir = set();
    for min_iou in [0.0, 0.5, 0.8] {
        let pair = PairConfig {
            min_iou,
            ..PairConfig::default()
        };
        for (_, _, pairs, ..) in run(
            dir.path(),
            SamplerConfig { pair, ..config() },
            Cursor::default(),
            4,
        ) {
            for pair in pairs {
                let frame = BoxPx::from_xywh(
                    0.0,
                    0.0,
                    pair.frame_size.width as f32,
                    pair.frame_size.height as f32,
                );
                let [a, b] = pair.crops.map(|crop| crop.crop_in_frame);
                for crop in [a, b] {
                    assert_eq!(crop.intersection(frame), Some(crop));
                }
                assert!(pair.fell_back || pair.iou >= min_iou);
                assert!((a.iou(b) - f64::from(pair.iou)).abs() < 1e-6);
            }
        }
    }
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
fn floats_are_the_normalised_bytes() {
    let dir = set();
    let bytes = run(dir.path(), config(), Cursor::default(), 3);
    let config = SamplerConfig {
        pixels: PixelFormat::Floats,
        ..config()
    };
    let area = (config.output * config.output) as usize;
    let mut batches = Sampler::open(dir.path(), config)
        .unwrap()
        .start(Cursor::default())
        .unwrap();
    for (.., pairs, first, second) in bytes {
        let batch = batches.next().unwrap().unwrap();
        assert_eq!(batch.pairs(), pairs);
        for (view_ix, view) in [first, second].iter().enumerate() {
            assert_eq!(batch.floats(view_ix).len(), view.len());
            for (ix, &value) in batch.floats(view_ix).iter().enumerate() {
                let (sample, channel, pixel) = (ix / (3 * area), ix / area % 3, ix % area);
                let byte = view[(sample * area + pixel) * 3 + channel];
                assert!(
                    (value - (f32::from(byte) / 255.0 - MEAN[channel]) / STD[channel]).abs() < 1e-6
                );
            }
        }
    }
}

/// Without augmentation, a view is the crop: compared with the made-up picture itself,
/// area-averaged.
#[test]
fn views_show_their_crops_from_whichever_level() {
    let dir = set();
    let mut levels_seen = [0; 3];
    for exact in [false, true] {
        let config = SamplerConfig {
            views: [ViewAugment::NONE; 2],
            exact,
            ..config()
        };
        let side = config.output as usize;
        let rows: Vec<_> = Catalog::open(dir.path())
            .unwrap()
            .rows()
            .unwrap()
            .flat_map(Result::unwrap)
            .collect();
        for (_, _, pairs, first, second) in run(dir.path(), config, Cursor::default(), 4) {
            for (ix, pair) in pairs.iter().enumerate() {
                let source = &rows[pair.frame as usize].frame.meta;
                assert_eq!(source.key(), pair.key);
                let picture =
                    photos::picture(photos::FRAME, source.timestamp_micros.unwrap() as u32);
                for (crop, view) in pair.crops.iter().zip([&first, &second]) {
                    levels_seen[usize::from(crop.level)] += 1;
                    assert!(!exact || crop.level == 0);
                    let view = &view[ix * side * side * 3..][..side * side * 3];
                    let error = mean_error(&picture, crop.crop_in_frame, view, side);
                    assert!(
                        error < 6.0,
                        "frame {}: {crop:?}: mean error {error}",
                        pair.frame
                    );
                }
            }
        }
    }
    assert!(
        levels_seen[0] > 0 && levels_seen[1] > 0 && levels_seen[2] == 0,
        "{levels_seen:?}"
    );
}

/// Mean absolute difference between a view and the averages of the pixels its pixels cover.
fn mean_error(picture: &[u8], crop: BoxPx, view: &[u8], side: usize) -> f64 {
    let width = photos::FRAME.width as usize;
    let (step_x, step_y) = (crop.width() / side as f32, crop.height() / side as f32);
    let mut sum = 0.0;
    for (ix, &value) in view.iter().enumerate() {
        let (x, y, channel) = (ix / 3 % side, ix / 3 / side, ix % 3);
        let span = |start: f32, step: f32, at: usize| {
            let from = (start + at as f32 * step) as usize;
            from..((start + (at + 1) as f32 * step) as usize).max(from + 1)
        };
        let (mut total, mut count) = (0u32, 0u32);
        for row in span(crop.y0, step_y, y) {
            for column in span(crop.x0, step_x, x) {
                total += u32::from(picture[(row * width + column) * 3 + channel]);
                count += 1;
            }
        }
        sum += (f64::from(value) - f64::from(total) / f64::from(count)).abs();
    }
    sum / view.len() as f64
}

/// Overwrites the entropy-coded bytes of every level of some frames with nonsense.
fn damage(dir: &Path, is_damaged: impl Fn(u32) -> bool) {
    let catalog = Catalog::open(dir).unwrap();
    for (row, entry) in catalog.rows().unwrap().flat_map(Result::unwrap).enumerate() {
        if !is_damaged(row as u32) {
            continue;
        }
        // In place: a sampler may have the file mapped.
        let file = OpenOptions::new()
            .write(true)
            .open(catalog.shard_path(entry.shard))
            .unwrap();
        for level in entry.frame.levels.iter().flatten() {
            let (kept, len) = (u64::from(level.len / 5), level.len as usize);
            file.write_all_at(&vec![0xAB; len - kept as usize], level.offset + kept)
                .unwrap();
        }
    }
}

#[test]
fn a_broken_frame_is_replaced_alike_by_any_number_of_workers() {
    let dir = set();
    damage(dir.path(), |row| row == 7);
    let seen = |threads| {
        let config = SamplerConfig {
            threads,
            batch: 23,
            max_broken: 1.0,
            ..config()
        };
        run(dir.path(), config, Cursor::default(), 3)
    };
    let one = seen(1);
    let replaced: Vec<&PairMeta> = one
        .iter()
        .flat_map(|seen| &seen.2)
        .filter(|pair| pair.replaced > 0)
        .collect();
    assert_eq!(replaced.len(), 3, "once in each epoch");
    assert!(
        replaced
            .iter()
            .all(|pair| pair.frame != 7 && pair.replaced == 1)
    );
    // The stand-in is not a copy of its own appearance in the same batch.
    for (_, _, pairs, ..) in &one {
        let stand_in = pairs.iter().find(|pair| pair.replaced > 0).unwrap();
        let itself = pairs
            .iter()
            .find(|pair| pair.key == stand_in.key && pair.replaced == 0);
        assert!(itself.is_none_or(|itself| itself.crops != stand_in.crops));
    }
    assert!(one == seen(4));
}

#[test]
fn too_many_broken_frames_end_the_run_with_one_clear_error() {
    let dir = set();
    damage(dir.path(), |row| row % 2 == 0);
    let sampler = Sampler::open(dir.path(), config()).unwrap();
    let mut batches = sampler.start(Cursor::default()).unwrap();
    let error = batches.find_map(Result::err).unwrap();
    let text = error.to_string();
    assert!(matches!(error, Error::TooManyBroken { .. }), "{text}");
    assert!(
        text.contains("ingest verify") && text.contains("row "),
        "{text}"
    );
    assert!(batches.next().is_none());

    damage(dir.path(), |_| true);
    let sampler = Sampler::open(
        dir.path(),
        SamplerConfig {
            max_broken: 1.0,
            ..config()
        },
    )
    .unwrap();
    let error = sampler
        .start(Cursor::default())
        .unwrap()
        .next()
        .unwrap()
        .unwrap_err();
    assert!(matches!(error, Error::AllBroken { .. }), "{error}");
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
