//! `trainer doctor`: whether the processes of a run are alike, and how fast they talk.

use anyhow::Result;
use console::{print, print_json, told_elsewhere, usage};
use host::Place;

use super::setup::{self, Prepared};
use crate::cli::DoctorArgs;
use crate::doctor::examine;
use crate::launch::among;

/// Runs the command.
pub(super) fn doctor(args: &DoctorArgs, place: &Place) -> Result<()> {
    let prepared = setup::prepare(&args.setup, place);
    let report = among(place, prepared, Prepared::terms, |ranks, prepared| {
        examine(ranks, place, &prepared.request, prepared.config)
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
