//! One ingest from beginning to end: inputs -> shards -> catalog -> report.

use std::path::{Path, PathBuf};
use std::time::Instant;

use schemas::catalog::{self, Catalog};
use schemas::shard::Settings;

use crate::error::Result;
use crate::max_bad::MaxBad;
use crate::output::{Lock, Output};
use crate::pipeline::{Written, write_shards};
use crate::plan::{Part, of_part, plan};
use crate::progress::Progress;
use crate::report::{Report, remove_part_reports};
use crate::source::{Dataset, Job, Search, Selection, expand};
use crate::summary::Summary;

/// What to ingest, and how.
#[derive(Clone, Debug)]
pub struct Request {
    /// What the inputs are.
    pub dataset: Dataset,
    /// Files, folders and patterns.
    pub inputs: Vec<PathBuf>,
    /// JSON files of tags, besides those that lie with the images.
    pub tag_files: Vec<PathBuf>,
    /// Files that a person adds and leaves out.
    pub selection: Selection,
    /// Folder of the set.
    pub out: PathBuf,
    /// What decides the set's bytes.
    pub settings: Settings,
    /// Which shards of the inputs to write.
    pub part: Part,
    /// Threads that build pyramids.
    pub threads: usize,
    /// How many items may be skipped.
    pub max_bad: MaxBad,
}

impl Request {
    /// A request for the whole of `inputs`, with the settings of the command line, on all cores.
    pub fn new(dataset: Dataset, inputs: Vec<PathBuf>, out: impl Into<PathBuf>) -> Self {
        Self {
            dataset,
            inputs,
            tag_files: Vec::new(),
            selection: Selection::default(),
            out: out.into(),
            settings: Settings::default(),
            part: Part::WHOLE,
            threads: host::threads(0),
            max_bad: MaxBad::Percent(1.0),
        }
    }
}

/// Ingests what `request` names. Shards that are finished are kept. `on_progress` hears of the
/// others on the calling thread.
///
/// # Errors
/// If an input is not there or not of its kind, the output folder cannot take it, or reading or
/// writing fails.
pub fn run(request: &Request, on_progress: &mut dyn FnMut(&Progress)) -> Result<Summary> {
    let (jobs, _search) = find_jobs(request)?;
    let jobs = plan(jobs)?;
    let output = Output::open(&request.out, &request.settings, request.part)?;
    output.check_unchanged(&jobs)?;
    let jobs = of_part(jobs, request.part);
    let pending = unfinished(&output, &jobs)?;

    let started = Instant::now();
    let written = write_shards(
        &pending,
        &output.frames_dir(),
        output.settings(),
        request.threads,
        on_progress,
    )?;
    let seconds = started.elapsed().as_secs_f64();

    let shards: Vec<PathBuf> = jobs
        .iter()
        .map(|job| output.frames_dir().join(job.id.file_name()))
        .collect();
    let of_inputs = Report::of_shards(&shards)?;
    let report = if request.part.is_whole() {
        write_report(&up_to_date_catalog(output.dir(), &written)?)?
    } else {
        of_inputs.write(output.dir(), request.part)?
    };
    Ok(summary(request, &of_inputs, &written, seconds, report))
}

/// Builds the catalog and the report of the whole set in `dir` anew.
///
/// # Errors
/// If another run is writing to it, a shard cannot be read, shards do not belong together, or
/// writing fails.
pub fn rebuild_catalog(dir: &Path) -> Result<Catalog> {
    catalog::shard_paths(dir)?;
    let _lock = Lock::take(dir, Part::WHOLE)?;
    let catalog = catalog::build(dir)?;
    write_report(&catalog)?;
    Ok(catalog)
}

/// The catalog, built again unless nothing was written and it holds.
fn up_to_date_catalog(dir: &Path, written: &Written) -> Result<Catalog> {
    if written.shards == 0
        && let Ok(catalog) = Catalog::open(dir)
    {
        return Ok(catalog);
    }
    Ok(catalog::build(dir)?)
}

fn write_report(catalog: &Catalog) -> Result<PathBuf> {
    let shards: Vec<PathBuf> = (0..catalog.shards().len() as u32)
        .map(|shard| catalog.shard_path(shard))
        .collect();
    let report = Report::of_shards(&shards)?.write(catalog.dir(), Part::WHOLE)?;
    remove_part_reports(catalog.dir())?;
    Ok(report)
}

/// The jobs of all inputs, and what was found besides.
///
/// # Errors
/// If an input is not there, or is not of its kind.
pub(crate) fn find_jobs(request: &Request) -> Result<(Vec<Job>, Search)> {
    let mut search = Search {
        tag_files: request.tag_files.clone(),
        selection: request.selection.clone(),
        ..Search::default()
    };
    let mut jobs = Vec::new();
    for path in expand(&request.inputs)? {
        jobs.extend(request.dataset.jobs(&path, &mut search)?);
    }
    Ok((jobs, search))
}

fn unfinished(output: &Output, jobs: &[Job]) -> Result<Vec<Job>> {
    let mut pending = Vec::new();
    for job in jobs {
        if !output.is_finished(job)? {
            pending.push(job.clone());
        }
    }
    Ok(pending)
}

fn summary(
    request: &Request,
    of_inputs: &Report,
    written: &Written,
    seconds: f64,
    report: PathBuf,
) -> Summary {
    Summary {
        frames_written: written.frames,
        frames_kept: of_inputs.frames_written - written.frames,
        frames_skipped: of_inputs.frames_skipped,
        skipped: of_inputs.skipped.clone(),
        shards_written: written.shards,
        shards_kept: of_inputs.shards - written.shards,
        frames_per_s: written.frames as f64 / seconds.max(1e-9),
        bytes_in: written.image_bytes_in,
        bytes_out: written.bytes_out,
        seconds,
        cpu_ms_per_frame: written.cpu_ms / written.frames.max(1) as f64,
        stages_ms: written.stages.per_frame(written.frames),
        report,
        is_over_limit: request
            .max_bad
            .is_exceeded(of_inputs.frames_skipped, of_inputs.frames_written),
    }
}
