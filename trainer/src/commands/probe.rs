//! `trainer probe`: a linear classifier on a frozen backbone.

use anyhow::Result;
use console::{print_json, print_line};
use eval::probe::{LinearConfig, Options, Request, Splits, measure};
use eval::segmentation::Unlabelled;
use host::Place;
use model::device;
use model::files::weights::Weights;
use native::Ranks;
use tch::Device;

use super::weights;
use crate::cli::ProbeArgs;
use crate::launch::{Terms, among};

/// Runs the command; the value is the exit code.
pub(super) fn probe(args: &ProbeArgs, place: &Place) -> Result<u8> {
    let device = device::select_for(&args.backbone.device, place);
    among(place, device, Terms::on, |ranks, device| {
        probe_among(ranks, device, args)?;
        Ok(0)
    })
}

fn probe_among(ranks: &Ranks, device: Device, args: &ProbeArgs) -> Result<()> {
    let given = || Ok((splits(args)?, weights_of(args)?));
    let (splits, weights) = ranks.together(given())?;
    let report = measure(&Request {
        weights: &weights,
        splits: &splits,
        options: Options {
            height: args.height,
            linear: LinearConfig {
                epochs: args.epochs,
                seed: args.seed,
                ..LinearConfig::default()
            },
        },
        device,
        pictures: args.pictures.as_deref(),
        ranks,
    })?;
    match (report, args.json) {
        (None, _) => Ok(()),
        (Some(report), true) => print_json(&report),
        (Some(report), false) => print_line(&report),
    }
}

fn splits(args: &ProbeArgs) -> Result<Splits> {
    let unlabelled = Unlabelled::of(args.skip_unlabelled);
    let splits = match args.holdout {
        0 => Splits::open(&args.data, unlabelled)?,
        held => Splits::held_out(&args.data, held, unlabelled)?,
    };
    Ok(splits.limited(args.limit_train, args.limit_test))
}

/// The weights in the form that is asked for.
fn weights_of(args: &ProbeArgs) -> Result<Weights> {
    let mut weights = weights::named(&args.weights, &args.backbone, args.seed)?;
    for (stride, given) in [
        (&mut weights.model.layer3_stride, args.layer3_stride),
        (&mut weights.model.layer4_stride, args.layer4_stride),
    ] {
        *stride = given.unwrap_or(*stride);
    }
    weights.model.check()?;
    Ok(weights)
}
