//! One ingest from beginning to end: inputs -> shards -> catalog -> report.

use std::path::{Path, PathBuf};

use schemas::catalog::{self, Catalog};
use schemas::shard::Settings;
use serde::Serialize;

use crate::cpu_time::StageTimes;
use crate::error::Result;
use crate::output::{Lock, Output};
use crate::pipeline::{Written, write_shards};
use crate::plan::{Part, of_part, plan};
use crate::progress::Progress;
use crate::report::{MaxBad, Report, remove_part_reports};
use crate::source::{Dataset, Job, expand};

/// What to ingest, and how.
#[derive(Clone, Debug)]
pub struct Request {
    /// What the inputs are.
    pub dataset: Dataset,
    /// Files, folders and patterns.
    pub inputs: Vec<PathBuf>,
    /// JSON files of tags, besides those that lie with the images.
    pub tag_files: Vec<PathBuf>,
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

/// What came of a request. Counts of the run, except the skipped ones, which cover finished shards
/// too.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Frames written now.
    pub frames_written: u64,
    /// Frames of these inputs that an earlier run wrote.
    pub frames_kept: u64,
    /// Items of these inputs that became no frame.
    pub frames_skipped: u64,
    /// How many for which reason.
    pub skipped: std::collections::BTreeMap<String, u64>,
    /// Shards written now.
    pub shards_written: u64,
    /// Shards that were there already.
    pub shards_kept: u64,
    /// Frames written a second.
    pub frames_per_s: f64,
    /// Encoded image bytes read.
    pub bytes_in: u64,
    /// Bytes of the shards written.
    pub bytes_out: u64,
    /// Duration in seconds.
    pub seconds: f64,
    /// CPU time of the process for a written frame, in milliseconds.
    pub cpu_ms_per_frame: f64,
    /// The same by stage.
    pub stages_ms: StageTimes,
    /// Where every skipped item is listed.
    pub report: PathBuf,
    /// Whether more was skipped than allowed.
    #[serde(skip)]
    pub is_over_limit: bool,
}

/// Ingests what `request` names. Shards that are finished are kept.
///
/// # Errors
/// If an input is not there or not of its kind, the output folder cannot take it, or reading or
/// writing fails.
pub fn ingest(request: &Request) -> Result<Summary> {
    let jobs = plan(find_jobs(request)?)?;
    let output = Output::open(&request.out, &request.settings, request.part)?;
    output.check_unchanged(&jobs)?;
    let jobs = of_part(jobs, request.part);
    let pending = unfinished(&output, &jobs)?;

    let progress = Progress::new(pending.iter().map(|job| job.weight).sum());
    let written = write_shards(
        &pending,
        &output.frames_dir(),
        output.settings(),
        request.threads,
        &progress,
    );
    progress.finish();
    let seconds = progress.elapsed().as_secs_f64();
    let written = written?;

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
pub fn rebuild(dir: &Path) -> Result<Catalog> {
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

fn find_jobs(request: &Request) -> Result<Vec<Job>> {
    let mut jobs = Vec::new();
    for path in expand(&request.inputs)? {
        jobs.extend(request.dataset.jobs(&path, &request.tag_files)?);
    }
    Ok(jobs)
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
