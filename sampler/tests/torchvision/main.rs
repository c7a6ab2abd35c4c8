//! Against torchvision and Pillow themselves: the crop draw number by number, and whole views from
//! the JPEG file on.
//!
//! Needs the Python that `scripts/setup --tests` makes, and says so where it is missing. Bounds:
//! the crop draw is exact; of the values of views made from level 0 (`exact`), none may differ by
//! more than one grey level, and at most 0.1 % by one. With Pillow 13 not one differs; the room is
//! for other versions of its JPEG decoder.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::path::{Path, PathBuf};
use std::process::Command;

use sampler::pixels::augment::{JitterOp, ViewOps};
use sampler::random::crop::draw_pair;
use sampler::random::plan::plan;
use sampler::random::rng::{Purpose, Stream};
use sampler::{Cursor, Interpolation, PairConfig, Recipe, Sampler, SamplerConfig, ViewAugment};
use schemas::catalog::Catalog;
use schemas::geom::{Rect, Size};
use serde_json::{Value, json};
use testkit::photos;

/// Python with torchvision, if there is one.
fn python() -> Option<PathBuf> {
    testkit::python("torchvision, PIL")
}

/// What a script of this folder prints.
fn run(python: &Path, script: &str, args: &[&Path]) -> Value {
    let script = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/torchvision")).join(script);
    let output = Command::new(python)
        .arg(script)
        .args(args)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn xywh(crop: Rect) -> [u32; 4] {
    [crop.x, crop.y, crop.width, crop.height]
}

#[test]
fn crop_pairs_are_those_of_torchvision_for_the_same_random_numbers() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let default = PairConfig::default();
    let cases = [
        (
            Size::new(1920, 1280),
            PairConfig {
                min_iou: 0.5,
                ..default
            },
            2000,
            400,
        ),
        (
            Size::new(1920, 886),
            PairConfig {
                min_iou: 0.0,
                ..default
            },
            2000,
            60,
        ),
        (
            Size::new(1280, 720),
            PairConfig {
                min_iou: 0.3,
                area: [0.2, 1.0],
                ..default
            },
            1000,
            400,
        ),
        // Fallbacks: after few tries, and to the central crop of a frame of an extreme shape.
        (
            Size::new(1920, 1080),
            PairConfig {
                min_iou: 0.9,
                max_tries: 5,
                ..default
            },
            1000,
            250,
        ),
        (
            Size::new(900, 200),
            PairConfig {
                min_iou: 0.2,
                max_tries: 5,
                ..default
            },
            1000,
            250,
        ),
        (
            Size::new(100, 1000),
            PairConfig {
                min_iou: 0.0,
                ratio: [0.5, 2.0],
                ..default
            },
            500,
            60,
        ),
    ];
    let (mut described, mut draws) = (Vec::new(), Vec::new());
    for (size, config, num_pairs, draws_per_pair) in cases {
        let pairs: Vec<Value> = (0..num_pairs)
            .map(|number| {
                let mut stream = Stream::new(11, 0, Purpose::Pair, 0, number);
                let pair = draw_pair(&mut stream.clone(), size, &config);
                draws.extend((0..draws_per_pair).flat_map(|_| stream.bits().to_le_bytes()));
                json!({ "crops": [xywh(pair.a), xywh(pair.b)], "tries": pair.tries, "fell_back": pair.fell_back })
            })
            .collect();
        assert!(config.max_tries > 5 || pairs.iter().any(|pair| pair["fell_back"] == true));
        described.push(json!({
            "size": [size.width, size.height], "area": config.area, "ratio": config.ratio, "min_iou": config.min_iou,
            "max_tries": config.max_tries, "draws_per_pair": draws_per_pair, "pairs": pairs,
        }));
    }
    let (list, numbers) = (dir.path().join("cases.json"), dir.path().join("draws.bin"));
    std::fs::write(&list, Value::from(described).to_string()).unwrap();
    std::fs::write(&numbers, draws).unwrap();
    let report = run(&python, "crops.py", &[&list, &numbers]);
    assert_eq!(report["pairs"], 7500);
    assert_eq!(report["different"], json!([]));
}

/// What chain.py has to do.
fn describe(jpeg: &str, crop: Rect, augment: &ViewAugment, ops: &ViewOps) -> Value {
    let jitter = ops.jitter.map_or(Vec::new(), |jitter| {
        let step = |op| match op {
            JitterOp::Brightness => ("brightness", jitter.brightness),
            JitterOp::Contrast => ("contrast", jitter.contrast),
            JitterOp::Saturation => ("saturation", jitter.saturation),
            JitterOp::Hue => ("hue", jitter.hue),
        };
        jitter.order.map(step).to_vec()
    });
    json!({
        "jpeg": jpeg, "crop": xywh(crop), "interpolation": augment.interpolation, "flip": ops.flip, "jitter": jitter,
        "grayscale": ops.grayscale, "grayscale_first": ops.grayscale_first, "blur_sigma": ops.blur_sigma,
        "solarize": ops.solarize,
    })
}

/// Views of the sampler, and how torchvision is to make them.
#[derive(Default)]
struct Views {
    plans: Vec<Value>,
    bytes: Vec<u8>,
}

impl Views {
    /// Samples `epochs` epochs of the set in `dir` from level 0.
    fn sample(&mut self, dir: &Path, recipe: Recipe, epochs: u64) {
        let config = SamplerConfig {
            seed: 3,
            batch: 4,
            threads: 2,
            exact: true,
            views: recipe.views(),
            pair: PairConfig {
                area: recipe.area(),
                ..PairConfig::default()
            },
            ..SamplerConfig::default()
        };
        let sampler = Sampler::open(dir, config.clone()).unwrap();
        let batches = sampler.start(Cursor::default()).unwrap();
        for batch in batches.take((epochs * sampler.steps_per_epoch()) as usize) {
            let batch = batch.unwrap();
            let view_bytes = (batch.output() * batch.output() * 3) as usize;
            for (ix, pair) in batch.pairs().iter().enumerate() {
                let plan = plan(&config, batch.epoch(), pair.key, 0, pair.frame_size);
                let crops = [plan.pair.a, plan.pair.b];
                for (view_ix, (crop, ops)) in crops.into_iter().zip(&plan.views).enumerate() {
                    let jpeg = format!("{}.jpg", pair.frame);
                    self.plans
                        .push(describe(&jpeg, crop, &config.views[view_ix], ops));
                    self.bytes
                        .extend(&batch.view(view_ix)[ix * view_bytes..][..view_bytes]);
                }
            }
        }
    }

    /// Lets torchvision make the same views from the JPEG files of level 0. None of the `num_views`
    /// may differ.
    fn check(&self, python: &Path, dir: &Path, num_views: u64) {
        let catalog = Catalog::open(dir).unwrap();
        for (ix, row) in catalog.rows().unwrap().flat_map(Result::unwrap).enumerate() {
            let shard = std::fs::read(catalog.shard_path(row.shard)).unwrap();
            let level = row.frame.levels[0].as_ref().unwrap();
            let jpeg = &shard[level.offset as usize..][..level.len as usize];
            std::fs::write(dir.join(format!("{ix}.jpg")), jpeg).unwrap();
        }
        std::fs::write(
            dir.join("plans.json"),
            json!({ "side": 224, "views": self.plans }).to_string(),
        )
        .unwrap();
        std::fs::write(dir.join("views.bin"), &self.bytes).unwrap();
        let report = run(python, "chain.py", &[dir]);
        let values = num_views * 224 * 224 * 3;
        assert_eq!(
            (&report["views"], &report["values"]),
            (&num_views.into(), &values.into())
        );
        assert_eq!(report["beyond_1"], 0, "{report}");
        assert!(
            report["different"].as_u64().unwrap() <= values / 1000,
            "{report}"
        );
    }
}

#[test]
fn views_of_every_recipe_are_those_of_pillow_and_torchvision() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    photos::write(dir.path(), 8, 8);
    let mut views = Views::default();
    for recipe in [Recipe::Byol, Recipe::MocoV1, Recipe::MocoV2] {
        views.sample(dir.path(), recipe, 4);
    }
    views.check(&python, dir.path(), 3 * 4 * 8 * 2);
}

#[test]
fn views_of_street_scenes_are_those_of_pillow_and_torchvision() {
    let Some(python) = python() else { return };
    let Some(folder) = testkit::real_data("street_1080p") else {
        return;
    };
    let files = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    let dir = tempfile::tempdir().unwrap();
    let pictures = files.iter().take(4).map(|file| {
        let jpeg = std::fs::read(file).unwrap();
        let image = turbojpeg::decompress(&jpeg, turbojpeg::PixelFormat::RGB).unwrap();
        (
            Size::new(image.width as u32, image.height as u32),
            image.pixels,
        )
    });
    photos::write_pictures(dir.path(), pictures, 4);
    let mut views = Views::default();
    views.sample(dir.path(), Recipe::Byol, 6);
    views.check(&python, dir.path(), 6 * 4 * 2);
}

#[test]
fn interpolations_have_torchvisions_names() {
    assert_eq!(
        json!([Interpolation::Bicubic, Interpolation::Bilinear]),
        json!(["bicubic", "bilinear"])
    );
}
