//! One ingest from beginning to end: inputs -> shards -> catalog -> report.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use schemas::catalog::{self, Catalog};

use crate::error::Result;
use crate::find::{Found, find};
use crate::output::{Compare, Lock, Noted, Output, Sorted, forget};
use crate::pipeline::write_shards;
use crate::plan::{Part, of_part};
use crate::progress::Progress;
use crate::report::{Report, remove_part_reports};
use crate::request::Request;
use crate::source::{NewIndex, PassedOverFiles};
use crate::summary::Summary;
use crate::task::Task;

/// Ingests what `request` names. Shards that are finished are kept, as long as their inputs are what
/// they were. `on_progress` hears of the others on the calling thread.
///
/// # Errors
/// If an input is not there or not of its kind, the output folder cannot take it, or reading or
/// writing fails.
pub fn run(request: &Request, on_progress: &mut dyn FnMut(&Progress)) -> Result<Summary> {
    let (found, mut output) = begin(request)?;
    let Found {
        plan,
        existing,
        mut search,
    } = found;
    for notice in &search.notices {
        tracing::warn!("{notice}");
    }
    let own = of_part(&plan, request.part);
    let shards: Vec<String> = own.iter().map(Task::file_name).collect();
    let compare = match request.recheck {
        true => Compare::Checksums,
        false => Compare::Sizes,
    };
    let sorted = Sorted::of(output.dir(), &existing, &plan, own, compare)?;
    search.new_indexes.iter().for_each(NewIndex::write);
    output.remember(&plan)?;
    output.note_replacing(&sorted.replaced)?;

    let started = Instant::now();
    let written = write_shards(&sorted.pending, &mut output, request, on_progress)?;
    let seconds = started.elapsed().as_secs_f64();
    let damaged: BTreeMap<&String, &String> = sorted
        .damaged_inputs
        .iter()
        .chain(&written.damaged_inputs)
        .collect();
    let mut obsolete = sorted.obsolete;
    obsolete.retain(|name| !damaged.contains_key(&existing.shards[name].id.input));

    let (of_inputs, report) = match request.part.is_whole() {
        true => {
            output.remove(&obsolete)?;
            let is_unchanged = written.shards == 0 && obsolete.is_empty();
            let catalog = up_to_date_catalog(output.dir(), is_unchanged)?;
            forget_replaced(&catalog, &plan, &|input| damaged.contains_key(input))?;
            let names = shards.into_iter().collect();
            let (whole, of_inputs) = Report::of_set_and_some(&catalog, &names)?;
            let whole = whole.with_passed_over(search.passed_over.files());
            (of_inputs, write_report(&whole, &catalog)?)
        }
        false => {
            search.notices.extend(notice_of_obsolete(obsolete.len()));
            let passed_over = search.passed_over.files();
            report_part(&output, &shards, passed_over, request.part)?
        }
    };
    let mut summary = Summary::of(request, &of_inputs, &written, seconds, report);
    summary.passed_over = search.passed_over.files();
    summary.frames_kept += search.num_stored;
    summary.notices = search.notices;
    summary.damaged_inputs = damaged.into_values().cloned().collect();
    Ok(summary)
}

/// Every shard of the request's inputs, and the set that they go into, locked.
fn begin(request: &Request) -> Result<(Found, Output)> {
    loop {
        let found = find(request)?;
        let output = Output::open(&request.out, request.part)?;
        // Another run may have ended meanwhile. Parts of one run change nothing for each other.
        if !request.part.is_whole() || found.existing.is_up_to_date(&request.out)? {
            return Ok((found, output));
        }
    }
}

/// The report of a part's `shards`, and where it was written.
fn report_part(
    output: &Output,
    shards: &[String],
    passed_over: Vec<PassedOverFiles>,
    part: Part,
) -> Result<(Report, PathBuf)> {
    let paths = shards.iter().map(|name| output.frames_dir().join(name));
    // Those of inputs that are damaged by now may be others than were planned.
    let paths: Vec<PathBuf> = paths.filter(|path| path.exists()).collect();
    let report = Report::of_shards(&paths)?.with_passed_over(passed_over);
    let path = report.write(output.dir(), part)?;
    Ok((report, path))
}

/// Says that a part removes no shard: another one may find that the input is damaged.
fn notice_of_obsolete(count: usize) -> Option<String> {
    let notice = (count > 0).then(|| {
        format!("{count} shards that no input has any more stay until a run without --part")
    })?;
    tracing::warn!("{notice}");
    Some(notice)
}

/// Forgets that the inputs of `plan` were being replaced, but for those that are damaged, and that
/// others were of which the catalog has no shard.
fn forget_replaced(
    catalog: &Catalog,
    plan: &[Task],
    is_damaged: &dyn Fn(&String) -> bool,
) -> Result<()> {
    let planned: BTreeSet<&str> = plan.iter().map(|task| &task.job.id.input[..]).collect();
    let shards = catalog.shards().iter();
    let left: BTreeSet<&str> = shards
        .map(|info| &info.id.input)
        .filter(|input| !planned.contains(&input[..]) || is_damaged(input))
        .map(|input| &input[..])
        .collect();
    forget(catalog.dir(), &|input| !left.contains(input))
}

/// Builds the catalog and the report of the whole set in `dir` anew.
///
/// # Errors
/// If another run is writing to it, a shard cannot be read, shards do not belong together, or
/// writing fails.
pub fn rebuild_catalog(dir: &Path) -> Result<RebuiltCatalog> {
    catalog::shard_paths(dir)?;
    let _lock = Lock::take(dir, Part::WHOLE)?;
    let before = Catalog::open_even_if_stale(dir).ok();
    let catalog = rebuild(dir)?;
    let passed_over = Report::passed_over_in(dir);
    let report = Report::of_set(&catalog)?.with_passed_over(passed_over);
    write_report(&report, &catalog)?;
    let listed: BTreeSet<&str> = catalog
        .shards()
        .iter()
        .map(|info| info.name.as_str())
        .collect();
    let gone = before.iter().flat_map(Catalog::shards);
    let gone = gone.filter(|info| !listed.contains(info.name.as_str()));
    Ok(RebuiltCatalog {
        frames: catalog.num_frames(),
        shards: catalog.shards().len() as u64,
        frames_left_out: catalog.shards().iter().map(|info| info.duplicates).sum(),
        shards_gone: gone.clone().count() as u64,
        frames_gone: gone.map(|info| info.frames).sum(),
    })
}

impl fmt::Display for RebuiltCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            frames,
            shards,
            frames_left_out,
            shards_gone,
            frames_gone,
        } = self;
        write!(f, "{frames} frames in {shards} shards")?;
        if *frames_left_out > 0 {
            write!(
                f,
                "\nleft out {frames_left_out} frames that other shards have already"
            )?;
        }
        if *shards_gone > 0 {
            write!(
                f,
                "\ngone     {frames_gone} frames in {shards_gone} shards that were listed before"
            )?;
        }
        Ok(())
    }
}

/// What the rebuilt catalog lists, and what it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RebuiltCatalog {
    /// Frames that it lists.
    pub frames: u64,
    /// Shards.
    pub shards: u64,
    /// Frames of shards that it leaves out, because another frame has their name.
    pub frames_left_out: u64,
    /// Shards that the one before listed and that are gone.
    pub shards_gone: u64,
    /// Frames of those.
    pub frames_gone: u64,
}

/// The catalog, built again unless the set `is_unchanged` and it holds. A run that was killed may
/// have left notes for it.
fn up_to_date_catalog(dir: &Path, is_unchanged: bool) -> Result<Catalog> {
    if is_unchanged
        && Noted::read(dir)?.made.is_empty()
        && let Ok(catalog) = Catalog::open(dir)
    {
        return Ok(catalog);
    }
    rebuild(dir)
}

/// The catalog, built again. Inputs that were being replaced still are.
fn rebuild(dir: &Path) -> Result<Catalog> {
    let catalog = catalog::rebuild(dir, &Noted::read(dir)?.made)?;
    forget(dir, &|_| false)?;
    Ok(catalog)
}

fn write_report(report: &Report, catalog: &Catalog) -> Result<PathBuf> {
    let path = report.write(catalog.dir(), Part::WHOLE)?;
    remove_part_reports(catalog.dir())?;
    Ok(path)
}
