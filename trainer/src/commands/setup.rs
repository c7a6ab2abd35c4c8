//! Which run, and which config, the arguments mean.

use std::time::Duration;

use anyhow::Result;
use console::layers::Override;
use host::Place;
use model::device;
use tch::Device;
use toml::Value;

use crate::cli::{ConfigArgs, SetupArgs};
use crate::config::{self, RunConfig};
use crate::launch::Terms;
use crate::run::Request;

/// What each rank has before it meets the others.
pub(super) struct Prepared {
    /// The run; its device is the rank's own.
    pub request: Request,
    /// Its config.
    pub config: RunConfig,
    /// Where it computes.
    pub device: Device,
}

impl Prepared {
    /// Where the ranks compute, and for how long they wait for each other.
    pub(super) fn terms(&self) -> Terms {
        Terms {
            device: self.device,
            answer_within: Duration::from_secs(self.config.run.rank_timeout_s),
        }
    }
}

/// The run that the arguments name, for the rank at `place`, and its device.
///
/// # Errors
/// As for [`resolve`]; a device that cannot be had.
pub(super) fn prepare(args: &SetupArgs, place: &Place) -> Result<Prepared> {
    let (mut request, config) = resolve(args, place.size)?;
    let device = device::select_for(&request.device, place)?;
    request.device = device::name(device);
    Ok(Prepared {
        request,
        config,
        device,
    })
}

/// The run that the arguments name, and its config, for so many ranks.
///
/// # Errors
/// One line that names the key, or the config that there is none of.
pub(super) fn resolve(args: &SetupArgs, ranks: usize) -> Result<(Request, RunConfig)> {
    let (name, config) = config_for(&args.config, ranks)?;
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
pub(super) fn resolve_config(args: &ConfigArgs) -> Result<(String, RunConfig)> {
    config_for(args, 1)
}

fn config_for(args: &ConfigArgs, ranks: usize) -> Result<(String, RunConfig)> {
    let source = config::find(&args.config)?;
    let (overrides, ranks) = (overrides(args), ranks as u64);
    let config = config::resolve_for(&source, &overrides, ranks, args.global_batch)?;
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
