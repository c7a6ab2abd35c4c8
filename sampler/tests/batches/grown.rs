//! A set that has grown: whoever keeps to the shards that there were gets the batches that there were.

use std::fs;
use std::path::Path;

use sampler::{Cursor, Error, Sampler, SamplerConfig};
use schemas::catalog::{self, ShardStamp};
use testkit::{photos, set::add_shards};

use super::{Seen, collect, config};

/// A set of six shards; one of the second, third and fifth of them; and the stamps of those.
struct Grown {
    dir: tempfile::TempDir,
    stamps: Vec<ShardStamp>,
}

const BEFORE: [usize; 3] = [1, 2, 4];

impl Grown {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        photos::write(&dir.path().join("all"), 23, 4);
        let (all, before) = (dir.path().join("all"), dir.path().join("before"));
        add_shards(&all, &before, BEFORE);
        catalog::build(&before).unwrap();
        let sampler = Sampler::open(&before, config()).unwrap();
        let stamps = sampler.frames().stamps();
        Self { dir, stamps }
    }

    fn before(&self, config: SamplerConfig) -> Sampler {
        Sampler::open(&self.dir.path().join("before"), config).unwrap()
    }

    fn after(&self, config: SamplerConfig) -> sampler::Result<Sampler> {
        Sampler::open_for(&self.dir.path().join("all"), config, &self.stamps)
    }
}

/// What a trainer sees of batches: all but the place of a frame's row in the catalog.
fn batches(sampler: &Sampler) -> Vec<Seen> {
    let mut seen = collect(&mut sampler.start(Cursor::default()).unwrap(), 7);
    let pairs = seen.iter_mut().flat_map(|seen| &mut seen.2);
    pairs.for_each(|pair| pair.frame = 0);
    seen
}

#[test]
fn shards_before_between_and_after_change_no_batch() {
    let grown = Grown::new();
    let filtered = SamplerConfig {
        filter: Some("camera = 'FRONT' or camera = 'SIDE_LEFT'".to_owned()),
        ..config()
    };
    for (config, own, in_set) in [(config(), 12, 23), (filtered, 8, 16)] {
        let (before, after) = (
            grown.before(config.clone()),
            grown.after(config.clone()).unwrap(),
        );
        assert_eq!((before.num_frames(), after.num_frames()), (own, own));
        assert_eq!(
            (before.frames().num_in_set(), after.frames().num_in_set()),
            (own, in_set)
        );
        assert_eq!(before.fingerprint(), after.fingerprint());
        assert_ne!(before.catalog_fingerprint(), after.catalog_fingerprint());
        assert_eq!(before.frames().stamps(), after.frames().stamps());
        assert!(batches(&before) == batches(&after));
        let all = Sampler::open(&grown.dir.path().join("all"), config).unwrap();
        assert_ne!(all.fingerprint(), before.fingerprint());
        assert!(batches(&all) != batches(&before));
    }
}

#[test]
fn another_filter_keeps_to_the_same_shards() {
    let grown = Grown::new();
    let filtered = SamplerConfig {
        filter: Some("camera = 'FRONT' or camera = 'SIDE_LEFT'".to_owned()),
        ..config()
    };
    let changed = grown.after(config()).unwrap().with_config(filtered.clone());
    assert!(batches(&changed.unwrap()) == batches(&grown.before(filtered)));
}

#[test]
fn shards_that_wait_for_a_catalog_are_no_matter() {
    let grown = Grown::new();
    let expected = batches(&grown.before(config()));
    let before = grown.dir.path().join("before");
    add_shards(&grown.dir.path().join("all"), &before, [0, 3]);
    assert!(matches!(
        Sampler::open(&before, config()),
        Err(Error::Shards(schemas::Error::Stale { .. }))
    ));
    let sampler = Sampler::open_for(&before, config(), &grown.stamps).unwrap();
    assert!(batches(&sampler) == expected);
}

#[test]
fn an_open_set_stays_what_it_was_when_its_catalog_is_replaced() {
    let grown = Grown::new();
    let sampler = grown.before(config());
    let metas = |sampler: &Sampler| sampler.frames().metas(&[0, 5, 11]).unwrap();
    let (names, expected) = (metas(&sampler), batches(&sampler));
    let before = grown.dir.path().join("before");
    add_shards(&grown.dir.path().join("all"), &before, [0, 3, 5]);
    catalog::build(&before).unwrap();
    assert_eq!(metas(&sampler), names);
    assert!(batches(&sampler) == expected);
}

#[test]
fn a_shard_that_is_gone_or_another_one_is_named() {
    let grown = Grown::new();
    let all = grown.dir.path().join("all");
    let path = |ix: usize| all.join("frames").join(&grown.stamps[ix].name);
    let changed = |detail: &str, path: &Path| {
        let text = grown.after(config()).unwrap_err().to_string();
        assert!(
            text.contains(detail) && text.contains(path.to_str().unwrap()),
            "{text}"
        );
    };
    let away = grown.dir.path().join("away");
    fs::rename(path(1), &away).unwrap();
    changed("is gone", &path(1));
    catalog::build(&all).unwrap();
    changed("is gone", &path(1));
    // Another one under its name.
    fs::rename(path(2), path(1)).unwrap();
    fs::copy(&away, path(2)).unwrap();
    fs::remove_file(all.join("catalog.parquet")).unwrap();
    catalog::build(&all).unwrap();
    changed("has changed (4 frames, ", &path(1));
}
