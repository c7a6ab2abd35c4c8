//! `trainer transfer seg`: a backbone fine-tuned for semantic segmentation.

use anyhow::Result;
use console::layers::summary;
use console::{print_json, print_line, usage};
use eval::segmentation::{Dataset, Unlabelled};
use eval::transfer::{self, BUILT_IN, Request, Tuning};
use model::device;

use super::weights;
use crate::cli::TransferArgs;

/// Runs the command.
pub(super) fn transfer(args: &TransferArgs) -> Result<()> {
    if args.list_configs {
        return BUILT_IN
            .iter()
            .try_for_each(|(name, text)| print_line(format_args!("{name:20} {}", summary(text))));
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
    let result = tuning.run(args.iterations)?;
    match args.json {
        true => print_json(&result),
        false => print_line(&result),
    }
}
