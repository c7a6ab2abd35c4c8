//! What came of a run, for machines and for people.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::cpu_time::StageTimes;

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
    pub skipped: BTreeMap<String, u64>,
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
