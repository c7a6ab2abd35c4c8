//! `trainer doctor`: whether the processes of a run are alike, and how fast they talk.

use std::time::Duration;

use anyhow::Result;
use console::{print, print_json, told_elsewhere, usage};
use host::Place;
use model::device;

use super::setup;
use crate::cli::DoctorArgs;
use crate::doctor::examine;
use crate::launch::among;

/// Runs the command.
pub(super) fn doctor(args: &DoctorArgs, place: &Place) -> Result<()> {
    let (mut request, config) = setup::resolve(&args.setup, place.size)?;
    let device = device::select_for(&request.device, place)?;
    request.device = device::name(device);
    let patience = Duration::from_secs(config.run.rank_timeout_s);
    let report = among(place, device, patience, |ranks| {
        examine(ranks, place, &request, config)
    })?;
    match args.json {
        true => print_json(&report)?,
        false => print(&report)?,
    }
    match report.finding() {
        None => Ok(()),
        // All know; one says it.
        Some(_) if place.rank > 0 => Err(told_elsewhere(true)),
        Some(finding) => Err(usage(finding)),
    }
}
