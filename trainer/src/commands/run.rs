//! `trainer run`: a trained run, a dry run, or a list of configs.

use anyhow::Result;
use console::layers::summary;
use console::{print_json, print_line, say};
use host::Place;
use native::Ranks;

use super::dry_run;
use super::setup::{self, Prepared};
use crate::cli::RunArgs;
use crate::config::BUILT_IN;
use crate::launch::among;
use crate::run::{EXIT_INTERRUPTED, Outcome, Session, Signals, train};

/// Runs the command; the value is the exit code.
pub(super) fn run(args: &RunArgs, place: &Place) -> Result<u8> {
    if args.list_configs {
        for (name, text) in BUILT_IN {
            print_line(format_args!("{name:26} {}", summary(text)))?;
        }
        return Ok(0);
    }
    if args.dry_run {
        dry_run::show(&args.setup, place, args.json)?;
        return Ok(0);
    }
    let prepared = setup::prepare(&args.setup, place);
    among(place, prepared, Prepared::terms, |ranks, prepared| {
        train_among(ranks, prepared, args)
    })
}

fn train_among(ranks: &Ranks, prepared: Prepared, args: &RunArgs) -> Result<u8> {
    let Prepared {
        mut request,
        config,
        ..
    } = prepared;
    request.steps = args.steps;
    request.allow_change.clone_from(&args.allow_change);
    // From here on a signal means: checkpoint, then leave.
    let signals = Signals::listen()?;
    let session = Session::among(ranks, &request, config)?;
    let outcome = train(session, request.steps, &signals, args.profile)?;
    match args.json {
        true => print_json(&outcome)?,
        false => describe(&outcome),
    }
    Ok(if outcome.interrupted_by.is_some() {
        EXIT_INTERRUPTED
    } else {
        0
    })
}

fn describe(outcome: &Outcome) {
    if let Some(profile) = &outcome.profile {
        say(profile);
    }
    let run = outcome.run.display();
    let Outcome {
        step, total_steps, ..
    } = outcome;
    match outcome.interrupted_by {
        Some(signal) => say(format_args!(
            "{signal}: stopped after step {step}; the same command resumes"
        )),
        None if step == total_steps => say(format_args!("done: all {total_steps} steps")),
        None => say(format_args!(
            "stopped after step {step} of {total_steps}; the same command goes on"
        )),
    }
    if let (Some(first), Some(last)) = (&outcome.first, &outcome.last) {
        say(format_args!(
            "loss {:+.3} -> {:+.3}, z_std {:.2} -> {:.2} (steps {} to {})",
            first.loss, last.loss, first.z_std, last.z_std, first.step, last.step
        ));
    }
    say(format_args!(
        "in {run}: metrics.jsonl, TensorBoard events, checkpoints/"
    ));
    say(format_args!(
        "next: trainer export {run} --out backbone.safetensors"
    ));
}
