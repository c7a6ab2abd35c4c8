//! `trainer transfer seg`: a backbone fine-tuned for semantic segmentation.

use anyhow::Result;
use console::layers::summary;
use console::{print_json, print_line, say, usage};
use eval::segmentation::{Dataset, Unlabelled};
use eval::transfer::{self, BUILT_IN, Request, Tuning};
use host::Place;
use model::device;
use native::Ranks;
use tch::Device;

use super::weights;
use crate::cli::TransferArgs;
use crate::launch::{Terms, among};
use crate::run::{EXIT_INTERRUPTED, Signals};

/// Runs the command; the value is the exit code.
pub(super) fn transfer(args: &TransferArgs, place: &Place) -> Result<u8> {
    if args.list_configs {
        for (name, text) in BUILT_IN {
            print_line(format_args!("{name:20} {}", summary(text)))?;
        }
        return Ok(0);
    }
    let device = device::select_for(&args.backbone.device, place);
    among(place, device, Terms::on, |ranks, device| {
        transfer_among(ranks, device, args)
    })
}

fn transfer_among(ranks: &Ranks, device: Device, args: &TransferArgs) -> Result<u8> {
    let (Some(weights), Some(data), Some(out)) = (&args.weights, &args.data, &args.out) else {
        return Err(usage(
            "transfer seg needs WEIGHTS, --data DIR and --out DIR; see --help",
        ));
    };
    let given = || -> Result<_> {
        let config = transfer::resolve(&args.config, &args.overrides)?;
        let open = |split| Dataset::open(data, split, Unlabelled::of(args.skip_unlabelled));
        let splits = [open("train")?, open("val")?];
        let weights = weights::named(weights, &args.backbone, config.seed)?;
        Ok((config, splits, weights))
    };
    let (config, [train, test], weights) = ranks.together(given())?;
    let mut tuning = Tuning::prepare(Request {
        weights: &weights,
        train,
        test,
        config,
        out,
        device,
        ranks,
    })?;
    // While it trains, a signal means: checkpoint, then leave. Scoring has nothing to save.
    let signals = Signals::listen()?;
    let iterations = tuning.train(args.iterations, || signals.received().is_some())?;
    signals.release();
    let is_interrupted = ranks.largest(i64::from(signals.received().is_some()))? > 0;
    if is_interrupted && ranks.is_first() {
        let signal = signals.received().unwrap_or("a signal to another rank");
        say(format_args!(
            "{signal}: stopped after iteration {iterations}; the same command goes on"
        ));
    }
    if is_interrupted {
        return Ok(EXIT_INTERRUPTED);
    }
    let result = tuning.score()?;
    match (ranks.is_first(), args.json) {
        (false, _) => {}
        (true, true) => print_json(&result)?,
        (true, false) => print_line(&result)?,
    }
    Ok(0)
}
