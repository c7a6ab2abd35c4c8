//! The commands: from options to results on stdout.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use anyhow::Result;
use console::{print_json, print_line, say};
use ingest::inspect::inspect;
use ingest::source::{Dataset, Input};
use ingest::{Request, fidelity, verify};
use schemas::filter::Filter;
use serde::Serialize;

use super::args::{Command, Options, threads};
use super::demo;
use super::progress::Shown;

/// Exit codes.
const SUCCESS: u8 = 0;
const FAILURE: u8 = 1;

pub(super) fn run(command: Command) -> Result<u8> {
    match command {
        Command::Waymo {
            input,
            cameras,
            options,
        } => ingest_set(options, Dataset::Waymo, input, |request| {
            request.settings.cameras = cameras.into_iter().collect();
        }),
        Command::Soda10m {
            input,
            tags,
            patterns,
            options,
        } => {
            let selection = patterns.selection()?;
            ingest_set(options, Dataset::Soda10m, input, |request| {
                request.tag_files = tags;
                request.selection = selection;
            })
        }
        Command::Images {
            input,
            patterns,
            options,
        } => {
            let selection = patterns.selection()?;
            ingest_set(options, Dataset::Images, input, |request| {
                request.selection = selection;
            })
        }
        Command::Demo(args) => print(&demo::run(&args)?, args.json),
        Command::Catalog { shards, json } => rebuild_catalog(&shards, json),
        Command::Inspect {
            shards,
            filter,
            json,
        } => {
            let filter = filter.map(|sql| Filter::parse(&sql)).transpose()?;
            print(&inspect(&shards, filter.as_ref())?, json)
        }
        Command::Fidelity {
            shards,
            input,
            crops,
            seed,
            out,
            json,
        } => {
            let request = fidelity::Request {
                shards,
                inputs: input.into_iter().map(Input::of_argument).collect(),
                crops: crops as usize,
                seed,
            };
            measure(&request, out.as_deref(), json)
        }
        Command::Verify {
            shards,
            threads: given,
            json,
        } => {
            let verdict = verify::verify(&shards, threads(given))?;
            print(&verdict, json)?;
            Ok(if verdict.bad.is_empty() {
                SUCCESS
            } else {
                FAILURE
            })
        }
    }
}

/// Prints a result for people, or as one JSON object.
fn print(result: &(impl Display + Serialize), json: bool) -> Result<u8> {
    if json {
        print_json(result)?;
    } else {
        print_line(result)?;
    }
    Ok(SUCCESS)
}

fn ingest_set(
    options: Options,
    dataset: Dataset,
    inputs: Vec<PathBuf>,
    adapt: impl FnOnce(&mut Request),
) -> Result<u8> {
    let (json, is_dry) = (options.json, options.dry_run);
    let mut request = options.into_request(dataset, inputs);
    adapt(&mut request);
    if is_dry {
        return print(&ingest::dry_run(&request)?, json);
    }
    let mut shown = Shown::new();
    let summary = ingest::run(&request, &mut |progress| shown.show(progress));
    shown.clear();
    let summary = summary?;
    print(&summary, json)?;
    for line in &summary.damaged_inputs {
        say(format_args!("ingest: {line}"));
    }
    if summary.is_over_limit {
        let (report, max_bad) = (summary.report.display(), request.max_bad);
        let skipped = summary.frames_skipped;
        let unread = match summary.frames_unread {
            0 => String::new(),
            unread => format!(" and about {unread} frames lie behind damaged places"),
        };
        say(format_args!(
            "ingest: {skipped} items were skipped{unread}, more than --max-bad {max_bad} allows; {report} lists them"
        ));
    }
    match summary.is_over_limit || !summary.damaged_inputs.is_empty() {
        true => Ok(FAILURE),
        false => Ok(SUCCESS),
    }
}

fn rebuild_catalog(shards: &Path, json: bool) -> Result<u8> {
    print(&ingest::rebuild_catalog(shards)?, json)
}

fn measure(request: &fidelity::Request, sheet: Option<&Path>, json: bool) -> Result<u8> {
    let progress = console::Progress::new("{wide_bar} {pos}/{len}", 0, request.crops as u64);
    let measured = fidelity::measure(request, &mut |crops| progress.at(crops));
    progress.clear();
    let measured = measured?;
    if let Some(path) = sheet {
        fidelity::write_contact_sheet(&measured.worst, path)?;
    }
    print(&measured.report, json)
}
