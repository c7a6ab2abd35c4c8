//! `trainer transfer seg`: a backbone fine-tuned for semantic segmentation, as the paper's tables
//! measure it.
//!
//! [`config`] holds the recipe (RECIPE 6), [`fcn`] the network, [`crops`] what an image becomes in
//! training, `tune` the loop. Reads from top to bottom: weights → network → iterations → mIoU of
//! the whole split at full size.

pub mod config;
pub mod crops;
pub mod fcn;
mod tune;

use anyhow::Result;
use schemas::geom::Size;
use tch::{Kind, Tensor, no_grad};

use crate::cli::TransferArgs;
use crate::device::{self, normalised};
use crate::error::usage;
use crate::layers;
use crate::segmentation::picture::{self, Row};
use crate::segmentation::{Confusion, Dataset, Pair};
use crate::weights::Weights;
pub use config::TransferConfig;
use fcn::Fcn;
use tune::Tuning;

/// Pictures in `predictions.png`.
const NUM_PICTURES: usize = 8;

/// Runs the command.
pub fn transfer(args: &TransferArgs) -> Result<()> {
    if args.list_configs {
        for (name, text) in config::EMBEDDED {
            println!("{name:20} {}", layers::summary(text));
        }
        return Ok(());
    }
    let (Some(weights), Some(data), Some(out)) = (&args.weights, &args.data, &args.out) else {
        return Err(usage(
            "transfer seg needs WEIGHTS, --data DIR and --out DIR; see --help",
        ));
    };
    let config = config::resolve(&args.config, &args.overrides)?;
    let device = device::select(&args.backbone.device)?;
    let (train, test) = (Dataset::open(data, "train")?, Dataset::open(data, "val")?);
    let weights = Weights::named(
        weights,
        args.backbone.network,
        args.backbone.arch,
        config.seed,
    )?;
    let mut tuning = Tuning::prepare(&weights, config, out, device)?;
    let result = tuning.run(&train, &test, args.iterations)?;
    match args.json {
        true => println!("{}", serde_json::to_string(&result)?),
        false => println!("{result}"),
    }
    Ok(())
}

/// Scores a network on every image of `set`, each at its full size, and draws some of them.
///
/// # Errors
/// If an image cannot be read or the picture not written.
pub fn evaluate(fcn: &Fcn, set: &Dataset, picture: Option<&std::path::Path>) -> Result<Confusion> {
    let mut confusion = Confusion::default();
    let mut shown: Vec<(Pair, Vec<u8>)> = Vec::new();
    let every = set.len().div_ceil(NUM_PICTURES);
    for (ix, sample) in set.samples().iter().enumerate() {
        let pair = sample.load()?;
        let predicted = predict(fcn, pair.image.rgb(), pair.image.size());
        confusion.add(&pair.labels, &predicted);
        if picture.is_some() && ix % every == 0 {
            shown.push((pair, predicted));
        }
    }
    if let Some(path) = picture {
        let rows: Vec<Row<'_>> = shown
            .iter()
            .map(|(pair, predicted)| Row { pair, predicted })
            .collect();
        picture::save(&rows, path)?;
    }
    Ok(confusion)
}

fn predict(fcn: &Fcn, rgb: &[u8], size: Size) -> Vec<u8> {
    let shape = [1, i64::from(size.height), i64::from(size.width), 3];
    let classes = no_grad(|| {
        let input = normalised(&Tensor::from_slice(rgb).view(shape), fcn.device());
        fcn.forward(&input, false)
            .argmax(1, false)
            .to_kind(Kind::Uint8)
            .view([-1])
    });
    Vec::try_from(classes.to_device(tch::Device::Cpu)).expect("classes are bytes")
}
