//! `trainer transfer seg`: a backbone fine-tuned for semantic segmentation.

use anyhow::Result;
use console::layers::summary;
use console::{print_json, print_line, say, usage};
use eval::segmentation::{Dataset, Unlabelled};
use eval::transfer::{self, BUILT_IN, Request, Tuning};
use model::device;

use super::weights;
use crate::cli::TransferArgs;
use crate::run::{EXIT_INTERRUPTED, Signals};

/// Runs the command; the value is the exit code.
pub(super) fn transfer(args: &TransferArgs) -> Result<u8> {
    if args.list_configs {
        for (name, text) in BUILT_IN {
            print_line(format_args!("{name:20} {}", summary(text)))?;
        }
        return Ok(0);
    }
    let (Some(weights), Some(data), Some(out)) = (&args.weights, &args.data, &args.out) else {
        return Err(usage(
            "transfer seg needs WEIGHTS, --data DIR and --out DIR; see --help",
        ));
    };
    let config = transfer::resolve(&args.config, &args.overrides)?;
    let device = device::select(&args.backbone.device)?;
    let open = |split| Dataset::open(data, split, Unlabelled::of(args.skip_unlabelled));
    let (train, test) = (open("train")?, open("val")?);
    let weights = weights::named(weights, &args.backbone, config.seed)?;
    let mut tuning = Tuning::prepare(Request {
        weights: &weights,
        train,
        test,
        config,
        out,
        device,
    })?;
    // While it trains, a signal means: checkpoint, then leave. Scoring has nothing to save.
    let signals = Signals::listen()?;
    let iterations = tuning.train(args.iterations, || signals.received().is_some())?;
    signals.release();
    if let Some(signal) = signals.received() {
        say(format_args!(
            "{signal}: stopped after iteration {iterations}; the same command goes on"
        ));
        return Ok(EXIT_INTERRUPTED);
    }
    let result = tuning.score()?;
    match args.json {
        true => print_json(&result)?,
        false => print_line(&result)?,
    }
    Ok(0)
}
