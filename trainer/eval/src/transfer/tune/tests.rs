//! Several ranks fine-tune as one process does.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use model::{Arch, ModelConfig};
use tempfile::TempDir;

use super::*;
use crate::segmentation::{IGNORED, Unlabelled};

/// What is left of a fine-tuning.
struct Left {
    iterations: u64,
    losses: Vec<f64>,
    tensors: BTreeMap<String, Tensor>,
}

/// A labelled set, and folders for what comes of it.
struct Bench {
    dir: TempDir,
}

impl Bench {
    /// Stripes of classes, of which so many pixels of a hundred are labelled in each image of the
    /// training split.
    fn new(labelled: &[u32]) -> Self {
        let bench = Bench {
            dir: tempfile::tempdir().unwrap(),
        };
        bench.add("train", labelled);
        bench.add("val", &[100; 5]);
        bench
    }

    fn add(&self, split: &str, labelled: &[u32]) {
        let dir = self.path("data").join(split);
        fs::create_dir_all(&dir).unwrap();
        for (ix, percent) in (0..).zip(labelled) {
            let class = |x: u32, y: u32| ((x / 9 + y / 7 + ix) % 5) as u8;
            let rgb = |x, y| {
                let noise = (x * 31 + y * 17 + ix * 7) % 23;
                [40 * class(x, y) + noise as u8, 90, 200 - 30 * class(x, y)]
            };
            let label = |x, y| match (x + 40 * y) % 100 < *percent {
                true => class(x, y),
                false => IGNORED,
            };
            image::RgbImage::from_fn(40, 48, |x, y| image::Rgb(rgb(x, y)))
                .save(dir.join(format!("{ix}.png")))
                .unwrap();
            image::GrayImage::from_fn(40, 48, |x, y| image::Luma([label(x, y)]))
                .save(dir.join(format!("{ix}_labelTrainIds.png")))
                .unwrap();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The fine-tuning of one rank, in double precision; only rank 0's folder is `out`.
    fn prepare(&self, ranks: &Ranks, out: &str, batch: u64) -> Result<Tuning> {
        let model = ModelConfig {
            arch: Arch::Resnet18,
            ..ModelConfig::default()
        };
        let set = |split| Dataset::open(&self.path("data"), split, Unlabelled::Refuse);
        Tuning::prepare_in(
            Kind::Double,
            Request {
                weights: &Weights::random(model, 7),
                train: set("train")?,
                test: set("val")?,
                config: TransferConfig {
                    batch,
                    crop_px: 33,
                    iterations: 4,
                    channels: 8,
                    log_every: 1,
                    lr: 0.02,
                    milestones: vec![0.8],
                    ..TransferConfig::default()
                },
                out: &self.folder(ranks, out),
                device: Device::Cpu,
                ranks,
            },
        )
    }

    fn folder(&self, ranks: &Ranks, out: &str) -> PathBuf {
        match ranks.is_first() {
            true => self.path(out),
            false => self.path("nobody_makes_this"),
        }
    }

    /// Trains `size` ranks up to `stop`: what is left, by rank. Rank 0 has the losses from its folder.
    fn train(&self, size: usize, out: &str, batch: u64, stop: u64) -> Vec<Left> {
        let left = Ranks::in_threads(size, |ranks| {
            let mut tuning = self.prepare(ranks, out, batch).unwrap();
            let iterations = tuning.train(Some(stop), || false).unwrap();
            Left {
                iterations,
                losses: match ranks.is_first() {
                    true => losses(&self.path(out)),
                    false => Vec::new(),
                },
                tensors: tuning.checkpoint().unwrap().tensors,
            }
        });
        assert!(!self.path("nobody_makes_this").exists());
        left
    }
}

fn losses(run: &Path) -> Vec<f64> {
    let rows = testkit::log_rows(run);
    let loss = |row: &serde_json::Value| row["loss"].as_f64().unwrap();
    rows.iter().map(loss).collect()
}

/// Two states differ by rounding: weights in parts of what the fine-tuning has changed of them, running
/// statistics in parts of themselves.
fn assert_close(
    found: &BTreeMap<String, Tensor>,
    expected: &BTreeMap<String, Tensor>,
    start: &BTreeMap<String, Tensor>,
) {
    let largest = |x: &Tensor| x.to_kind(Kind::Double).abs().max().double_value(&[]);
    assert!(found.keys().eq(expected.keys()));
    for (name, expected) in expected {
        let scale = match start.get(name) {
            Some(start) if !name.contains("running_") => largest(&(expected - start)),
            _ => largest(expected),
        };
        let off = largest(&(&found[name] - expected)) / scale.max(1e-12);
        assert!(off < 1e-9, "{name} is off by {off}");
    }
}

fn assert_same_run(found: &[Left], expected: &Left, start: &BTreeMap<String, Tensor>) {
    assert_eq!(found[0].losses.len(), expected.losses.len());
    for (found, expected) in found[0].losses.iter().zip(&expected.losses) {
        let off = (found - expected).abs() / expected.abs().max(1e-12);
        assert!(off < 1e-9, "{found}, {expected}");
    }
    for of_rank in found {
        assert_eq!(of_rank.iterations, expected.iterations);
        assert!(of_rank.tensors == found[0].tensors, "ranks are the same");
    }
    assert_close(&found[0].tensors, &expected.tensors, start);
}

#[test]
fn several_ranks_learn_what_one_does() {
    // Of many images little is labelled, of one nothing: so ranks have different shares of the pixels.
    let bench = Bench::new(&[100, 0, 3, 100, 40, 8]);
    let start = bench.train(1, "start", 4, 0).remove(0).tensors;
    let expected = bench.train(1, "alone", 4, 4).remove(0);
    assert_eq!((expected.iterations, expected.losses.len()), (4, 4));
    for size in [2, 4] {
        let found = bench.train(size, &format!("{size}"), 4, 4);
        assert_same_run(&found, &expected, &start);
    }
}

#[test]
fn a_batch_without_labels_changes_nothing_on_any_rank() {
    // In an epoch of two batches, one has no labelled pixel.
    let bench = Bench::new(&[100, 0, 0, 0]);
    let expected = bench.train(1, "alone", 2, 4).remove(0);
    let unlabelled = expected.losses.iter().filter(|&&loss| loss == 0.0);
    assert_eq!(unlabelled.count(), 2, "{:?}", expected.losses);
    let start = bench.train(1, "start", 2, 0).remove(0).tensors;
    assert_same_run(&bench.train(2, "2", 2, 4), &expected, &start);
}

#[test]
fn any_number_of_ranks_goes_on_from_a_checkpoint() {
    let bench = Bench::new(&[100, 0, 3, 100, 40, 8]);
    let start = bench.train(1, "start", 4, 0).remove(0).tensors;
    let expected = bench.train(1, "alone", 4, 4).remove(0);
    for [first, second] in [[1, 4], [4, 2]] {
        let out = format!("{first}_then_{second}");
        bench.train(first, &out, 4, 2);
        let found = bench.train(second, &out, 4, 4);
        assert_same_run(&found, &expected, &start);
    }
}

#[test]
fn a_signal_to_one_rank_stops_all_after_the_same_iteration() {
    let bench = Bench::new(&[100; 4]);
    let done = Ranks::in_threads(2, |ranks| {
        let mut tuning = bench.prepare(ranks, "stopped", 2).unwrap();
        tuning.train(None, || ranks.rank() == 1).unwrap()
    });
    assert_eq!(done, [1, 1]);
    assert_eq!(losses(&bench.path("stopped")).len(), 1);
    assert_eq!(bench.train(1, "stopped", 2, 0)[0].iterations, 1);
}

#[test]
fn what_one_rank_finds_wrong_ends_all() {
    let bench = Bench::new(&[100; 4]);
    let refused = |size, batch| {
        Ranks::in_threads(size, |ranks| {
            let trained = bench.prepare(ranks, "x", batch);
            let trained = trained.and_then(|mut tuning| tuning.train(None, || false));
            format!("{:#}", trained.unwrap_err())
        })
    };
    let lines = refused(3, 4);
    assert!(lines[0].contains("batch is 4; 3 ranks"), "{lines:?}");
    // Of two crops in an iteration one rank has the first, another the second, and one of them this
    // image in the first epoch.
    fs::write(bench.path("data/train/2.png"), b"no picture").unwrap();
    let lines = refused(2, 2);
    assert!(lines.iter().any(|line| line.contains("2.png")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("rank")), "{lines:?}");
}

#[test]
fn ranks_that_were_given_other_weights_are_refused() {
    let bench = Bench::new(&[100; 4]);
    let lines = Ranks::in_threads(2, |ranks| {
        let model = ModelConfig {
            arch: Arch::Resnet18,
            ..ModelConfig::default()
        };
        let mut weights = Weights::random(model, ranks.rank() as u64);
        weights.origin = "the same file".to_owned();
        let set = |split| Dataset::open(&bench.path("data"), split, Unlabelled::Refuse).unwrap();
        let tuning = Tuning::prepare(Request {
            weights: &weights,
            train: set("train"),
            test: set("val"),
            config: TransferConfig::default(),
            out: &bench.folder(ranks, "x"),
            device: Device::Cpu,
            ranks,
        });
        tuning.err().map(|error| error.to_string()).unwrap()
    });
    assert!(lines[0].contains("rank 1 has other weights"), "{lines:?}");
}

#[test]
fn ranks_that_would_stop_at_different_iterations_are_refused() {
    let bench = Bench::new(&[100; 4]);
    let lines = Ranks::in_threads(2, |ranks| {
        let mut tuning = bench.prepare(ranks, "x", 2).unwrap();
        let trained = tuning.train(Some(1 + ranks.rank() as u64), || false);
        trained.unwrap_err().to_string()
    });
    assert!(
        lines[0].contains("rank 1 has other --iterations"),
        "{lines:?}"
    );
}
