//! Broken frames: replaced alike by any number of workers, and too many end the run. A lost shard is
//! none of them.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use sampler::{Cursor, Error, PairMeta, Sampler, SamplerConfig};
use schemas::catalog::Catalog;

use super::{config, run, set};

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
fn a_shard_that_is_lost_ends_the_run_whatever_may_be_broken() {
    let config = SamplerConfig {
        max_broken: 1.0,
        ..config()
    };
    let cut = |path: &Path| {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(5000).unwrap();
    };
    let remove = |path: &Path| fs::remove_file(path).unwrap();
    let losses: [&dyn Fn(&Path); 2] = [&cut, &remove];
    // What is not open yet, and what is.
    for (begun, lose) in [(false, losses[0]), (false, losses[1]), (true, losses[0])] {
        let dir = set();
        let sampler = Sampler::open(dir.path(), config.clone()).unwrap();
        if begun {
            let batches = sampler.start(Cursor::default()).unwrap();
            batches.take(8).for_each(|batch| drop(batch.unwrap()));
        }
        let path = sampler.frames().catalog().shard_path(1);
        lose(&path);
        let mut batches = sampler.start(Cursor::default()).unwrap();
        let error = batches.find_map(Result::err).unwrap();
        let text = error.to_string();
        assert!(
            matches!(error, Error::Shards(schemas::Error::Lost { .. })),
            "{text}"
        );
        assert!(text.contains(path.to_str().unwrap()), "{text}");
    }
}
