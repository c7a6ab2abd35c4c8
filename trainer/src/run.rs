//! `trainer run`: from arguments to a trained run, a dry run, or a list of configs.

use anyhow::{Context, Result};
use toml::Value;

use crate::cli::{ConfigArgs, RunArgs, SetupArgs};
use crate::config::RunConfig;
use crate::dry_run;
use crate::embedded::EMBEDDED;
use crate::layers::{self, Override};
use crate::session::{Request, Session};
use crate::signals::{EXIT_INTERRUPTED, Signals};
use crate::train::{self, Outcome};

/// Runs the command; the value is the exit code.
pub fn run(args: &RunArgs) -> Result<u8> {
    if args.list_configs {
        for (name, text) in EMBEDDED {
            println!("{name:26} {}", layers::summary(text));
        }
        return Ok(0);
    }
    let (mut request, config) = resolve(&args.setup)?;
    request.steps = args.steps;
    request.allow_change.clone_from(&args.allow_change);
    if args.dry_run {
        dry_run::show(&request, config, args.json)?;
        return Ok(0);
    }
    // From here on a signal means: checkpoint, then leave.
    let signals = Signals::listen()?;
    let outcome = train::train(
        Session::prepare(&request, config)?,
        request.steps,
        &signals,
        args.profile,
    )?;
    report(&outcome, args.json)?;
    Ok(if outcome.interrupted_by.is_some() {
        EXIT_INTERRUPTED
    } else {
        0
    })
}

/// The run that the arguments name, and its config.
///
/// # Errors
/// One line that names the key, or the config that there is none of.
pub fn resolve(args: &SetupArgs) -> Result<(Request, RunConfig)> {
    let (name, config) = resolve_config(&args.config)?;
    let request = Request {
        shards: args.shards.clone(),
        out: args
            .out
            .clone()
            .unwrap_or_else(|| ["runs", &name].iter().collect()),
        device: args.config.device.clone(),
        steps: None,
        fresh: args.fresh,
        allow_change: Vec::new(),
    };
    Ok((request, config))
}

/// The config that the arguments describe, and its name.
///
/// # Errors
/// As for [`resolve`].
pub fn resolve_config(args: &ConfigArgs) -> Result<(String, RunConfig)> {
    let source = layers::find(&args.config)?;
    let config = layers::resolve(&source, &overrides(args))?;
    Ok((source.name, config))
}

/// `--set`, then the flags that stand for one key.
fn overrides(args: &ConfigArgs) -> Vec<Override> {
    let number =
        |key: &str, value: Option<u64>| Some((key.to_owned(), Value::Integer(value? as i64)));
    let text =
        |key: &str, value: &Option<String>| Some((key.to_owned(), Value::String(value.clone()?)));
    let flags = [
        number("data.batch", args.batch),
        number("seed", args.seed),
        number("run.threads", args.threads),
        text("data.where", &args.filter),
    ];
    args.overrides
        .iter()
        .cloned()
        .chain(flags.into_iter().flatten())
        .collect()
}

fn report(outcome: &Outcome, json: bool) -> Result<()> {
    if json {
        println!(
            "{}",
            serde_json::to_string(outcome).context("encoding the outcome")?
        );
        return Ok(());
    }
    if let Some(profile) = &outcome.profile {
        eprintln!("{profile}");
    }
    let run = outcome.run.display();
    match (outcome.interrupted_by, outcome.step == outcome.total_steps) {
        (Some(signal), _) => eprintln!(
            "{signal}: stopped after step {}; the same command resumes",
            outcome.step
        ),
        (None, true) => eprintln!("done: all {} steps", outcome.total_steps),
        (None, false) => {
            eprintln!(
                "stopped after step {} of {}; the same command goes on",
                outcome.step, outcome.total_steps
            );
        }
    }
    if let (Some(first), Some(last)) = (&outcome.first, &outcome.last) {
        eprintln!(
            "loss {:+.3} -> {:+.3}, z_std {:.2} -> {:.2} (steps {} to {})",
            first.loss, last.loss, first.z_std, last.z_std, first.step, last.step
        );
    }
    eprintln!("in {run}: metrics.jsonl, TensorBoard events, checkpoints/");
    eprintln!("next: trainer export {run} --format torchvision --out backbone.safetensors");
    Ok(())
}
