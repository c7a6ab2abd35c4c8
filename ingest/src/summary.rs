//! What came of a run, for machines and for people.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::cpu_time::StageTimes;
use crate::pipeline::Written;
use crate::report::Report;
use crate::request::Request;
use crate::source::{PassedOverFiles, count_of};

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
    /// About how many frames lie behind damaged places of these inputs, besides.
    pub frames_unread: u64,
    /// How many items for which reason.
    pub skipped: BTreeMap<String, u64>,
    /// Files that were found and not read.
    pub passed_over: Vec<PassedOverFiles>,
    /// What a person should know.
    pub notices: Vec<String>,
    /// Inputs that lack something by now, whose shards of before are kept; a line each.
    pub damaged_inputs: Vec<String>,
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

impl Summary {
    /// What came of `request`: `of_inputs` is the report of its inputs' shards, `written` what was
    /// added to them in `seconds`.
    pub(crate) fn of(
        request: &Request,
        of_inputs: &Report,
        written: &Written,
        seconds: f64,
        report: PathBuf,
    ) -> Self {
        let lost = of_inputs.frames_skipped + of_inputs.frames_unread;
        Self {
            frames_written: written.frames,
            frames_kept: of_inputs.frames_written.saturating_sub(written.frames),
            frames_skipped: of_inputs.frames_skipped,
            frames_unread: of_inputs.frames_unread,
            skipped: of_inputs.skipped.clone(),
            passed_over: Vec::new(),
            notices: Vec::new(),
            damaged_inputs: Vec::new(),
            shards_written: written.shards,
            shards_kept: of_inputs.shards - written.shards,
            frames_per_s: written.frames as f64 / seconds.max(1e-9),
            bytes_in: written.image_bytes_in,
            bytes_out: written.bytes_out,
            seconds,
            cpu_ms_per_frame: written.cpu_ms / written.frames.max(1) as f64,
            stages_ms: written.stages.per_frame(written.frames),
            report,
            is_over_limit: request.max_bad.is_exceeded(lost, of_inputs.frames_written),
        }
    }
}

/// Kinds of passed-over files that are shown, the most frequent first; the report has all.
const SHOWN_KINDS: usize = 12;

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            frames_written,
            frames_kept,
            frames_skipped,
            shards_written,
            shards_kept,
            ..
        } = self;
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        let (bytes_in, bytes_out) = (megabytes(self.bytes_in), megabytes(self.bytes_out));
        let megabytes_per_s = bytes_in / self.seconds.max(1e-9);
        writeln!(
            f,
            "written  {frames_written} frames in {shards_written} shards"
        )?;
        if *shards_kept > 0 {
            writeln!(
                f,
                "kept     {frames_kept} frames in {shards_kept} shards, finished before"
            )?;
        }
        writeln!(f, "skipped  {frames_skipped} items")?;
        for (reason, count) in &self.skipped {
            writeln!(f, "         {count} {reason}")?;
        }
        if self.frames_unread > 0 {
            writeln!(
                f,
                "unread   about {} frames behind damaged places",
                self.frames_unread
            )?;
        }
        self.write_passed_over(f)?;
        writeln!(
            f,
            "bytes    {bytes_in:.1} MB of images in, {bytes_out:.1} MB of shards out"
        )?;
        writeln!(
            f,
            "speed    {:.1} frames/s, {megabytes_per_s:.1} MB/s in, {:.1} s",
            self.frames_per_s, self.seconds
        )?;
        if *frames_written > 0 {
            writeln!(
                f,
                "CPU      {:.2} ms a frame, by stage",
                self.cpu_ms_per_frame
            )?;
            for (name, ms) in self.stages_ms.iter() {
                writeln!(f, "         {ms:>6.2}  {name}")?;
            }
        }
        write!(f, "report   {}", self.report.display())
    }
}

impl Summary {
    fn write_passed_over(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.passed_over.is_empty() {
            return Ok(());
        }
        let count = count_of(&self.passed_over);
        writeln!(f, "not read {count} files")?;
        let mut kinds: Vec<&PassedOverFiles> = self.passed_over.iter().collect();
        kinds.sort_by_key(|files| std::cmp::Reverse(files.count));
        for files in kinds.iter().take(SHOWN_KINDS) {
            writeln!(f, "{files}")?;
        }
        match kinds.len().checked_sub(SHOWN_KINDS) {
            Some(more) if more > 0 => writeln!(f, "         and {more} other kinds"),
            _ => Ok(()),
        }
    }
}
