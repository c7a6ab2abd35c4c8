//! `trainer probe`: what a frozen backbone's maps know of a street scene.
//!
//! The backbone's batch norms get the statistics of the clean training images at the probe's size,
//! its maps are cached once (as they are, and mirrored), standardised per channel, and a linear 1×1
//! classifier is trained on them: from C5 alone, and from C4 beside it. Scores are mIoU at the
//! labels' own resolution. Two bounds frame them: what the position in the image alone says, and
//! what the grid of cells can say at best. Nearest neighbours of the pooled features tell which
//! classes an image shows, without any training.

pub mod bounds;
pub mod features;
pub mod images;
pub mod linear;
pub mod neighbours;
mod report;
mod watch;

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use tch::{Device, Tensor};

use crate::cli::ProbeArgs;
use crate::device;
use crate::error::usage;
use crate::segmentation::picture::{self, Row};
use crate::segmentation::{Confusion, Dataset};
use crate::weights::Weights;
use features::Features;
use images::{Images, Shape};
pub use linear::LinearConfig;
pub use report::Report;
pub use watch::{ProbeConfig, Watch};

/// Pictures in `--pictures`.
const NUM_PICTURES: usize = 8;

/// What to measure on.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Height of the images as the backbone sees them, in pixels; widths follow.
    pub height: i64,
    /// The classifier's training.
    pub linear: LinearConfig,
}

/// Runs the command.
pub fn probe(args: &ProbeArgs) -> Result<()> {
    let device = device::select(&args.backbone.device)?;
    let (train, test) = splits(args)?;
    let mut weights = Weights::named(
        &args.weights,
        args.backbone.network,
        args.backbone.arch,
        args.seed,
    )?;
    for (stride, given) in [
        (&mut weights.model.layer3_stride, args.layer3_stride),
        (&mut weights.model.layer4_stride, args.layer4_stride),
    ] {
        *stride = given.unwrap_or(*stride);
    }
    weights.model.check()?;
    let linear = LinearConfig {
        epochs: args.epochs,
        seed: args.seed,
        ..LinearConfig::default()
    };
    let options = Options {
        height: args.height,
        linear,
    };
    let report = measure(
        &weights,
        &train,
        &test,
        options,
        device,
        args.pictures.as_deref(),
    )?;
    match args.json {
        true => println!("{}", serde_json::to_string(&report)?),
        false => println!("{report}"),
    }
    Ok(())
}

fn splits(args: &ProbeArgs) -> Result<(Dataset, Dataset)> {
    let train = Dataset::open(&args.data, "train")?;
    let (train, test) = match args.holdout {
        0 => (train, Dataset::open(&args.data, "val")?),
        held if held < train.len() => train.hold_out(held),
        held => {
            return Err(usage(format!(
                "--holdout {held}: the training split has {} images",
                train.len()
            )));
        }
    };
    let limited = |set: Dataset, limit: Option<NonZeroUsize>| {
        limit.map_or(set.clone(), |limit| set.first(limit.get()))
    };
    Ok((
        limited(train, args.limit_train),
        limited(test, args.limit_test),
    ))
}

/// Probes a backbone: trains on `train`, scores on `test`. Neither the weights nor any random state
/// of others change.
///
/// # Errors
/// If an image cannot be read, or the weights do not fit their model.
pub fn measure(
    weights: &Weights,
    train: &Dataset,
    test: &Dataset,
    options: Options,
    device: Device,
    pictures: Option<&Path>,
) -> Result<Report> {
    let started = Instant::now();
    let shape = Shape::of(train, options.height, weights.model.cell_px())?;
    let train_images = Images::load(train, shape)?;
    let test_images = Images::load(test, shape)?;
    let backbone = weights.build(&weights.model, device)?;
    features::recalibrate(&backbone, &train_images, device);

    let mut trained_on = Features::of(&backbone, &train_images, true, device);
    let mut tested_on = Features::of(&backbone, &test_images, false, device);
    let standard = trained_on.standardise();
    tested_on.apply(&standard);

    let shares = trained_on.shares(&train_images, device);
    let score = |name: &str, maps: [&Tensor; 2]| -> Result<Confusion> {
        let classifier = linear::train(maps[0], &shares, options.linear);
        let logits = classifier.logits(maps[1]);
        if let Some(path) = pictures.filter(|_| name == "c5") {
            draw(test, &logits, path)?;
        }
        bounds::score(test, &logits)
    };
    let c5 = score("c5", [&trained_on.c5(), &tested_on.c5()])?;
    let c4_c5 = score("c4+c5", [&trained_on.c4_c5(), &tested_on.c4_c5()])?;
    Ok(Report {
        weights: weights.origin.clone(),
        train_images: train.len(),
        test_images: test.len(),
        grid: [shape.rows, shape.columns],
        c5: c5.scores(),
        c4_c5: c4_c5.scores(),
        neighbours_map: neighbours::mean_average_precision(
            &trained_on,
            &train_images,
            &tested_on,
            &test_images,
        ),
        position_only_miou: bounds::position_only(test, &train_images)?.scores().miou,
        ceiling_miou: bounds::ceiling(test, &test_images)?.scores().miou,
        seconds: started.elapsed().as_secs_f64(),
    })
}

fn draw(test: &Dataset, logits: &Tensor, path: &Path) -> Result<()> {
    let count = NUM_PICTURES.min(test.len());
    let chosen = (0..count).map(|i| (2 * i + 1) * test.len() / (2 * count));
    let drawn = chosen.map(|ix| {
        let pair = test.samples()[ix].load()?;
        let predicted = bounds::predict(&logits.select(0, ix as i64), pair.image.size());
        Ok((pair, predicted))
    });
    let drawn = drawn.collect::<Result<Vec<_>>>()?;
    let rows: Vec<Row<'_>> = drawn
        .iter()
        .map(|(pair, predicted)| Row { pair, predicted })
        .collect();
    picture::save(&rows, path)
}
