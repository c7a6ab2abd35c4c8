//! What became of the inputs: counts, and every skipped item with its place and reason.
//!
//! The report is read from the footers of the finished shards, so it is complete after a resumed
//! run, and equal for any number of threads or parts. What was passed over is the last run's word.
//!
//! What stands behind a damaged place of a file is estimated: its bytes over the mean bytes of a
//! frame of that file, or of the others if none of it could be read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use schemas::catalog::{Catalog, LeftOut};
use schemas::shard::ShardReader;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::plan::Part;
use crate::source::PassedOverFiles;

/// File name of the report beside the catalog.
pub(crate) const REPORT_FILE: &str = "report.json";

/// The report of some shards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Shards it covers.
    pub(crate) shards: u64,
    /// Frames in them.
    pub(crate) frames_written: u64,
    /// Items of their inputs that became no frame.
    pub(crate) frames_skipped: u64,
    /// Bytes of the inputs behind damaged places.
    pub(crate) unread_bytes: u64,
    /// About how many frames these held, by the bytes of those that were read.
    pub(crate) frames_unread: u64,
    /// How many items for which reason.
    pub(crate) skipped: BTreeMap<String, u64>,
    /// Files that were found and not read, by the run that wrote this. `ingest catalog` keeps them.
    pub(crate) passed_over: Vec<PassedOverFiles>,
    /// Their checksum: nothing else says what they were.
    pub(crate) passed_over_crc32c: u32,
    /// Each item that was skipped.
    pub(crate) skipped_items: Vec<SkippedItem>,
}

/// One item that became no frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SkippedItem {
    /// File and offset, or folder and member.
    pub(crate) source: String,
    /// Short, stable name of the reason.
    pub(crate) reason: String,
    /// What exactly was wrong.
    pub(crate) detail: String,
    /// The shard that the item would be in.
    pub(crate) shard: String,
}

impl Report {
    /// Reads the footers of `shards`.
    ///
    /// # Errors
    /// If one cannot be opened.
    pub(crate) fn of_shards(shards: &[PathBuf]) -> Result<Self> {
        let mut tally = Tally::default();
        for path in shards {
            tally.add(&ShardReader::open(path)?);
        }
        Ok(tally.finish())
    }

    /// Reads the footers of all shards of a set. Frames that the catalog leaves out are skipped
    /// items too.
    ///
    /// # Errors
    /// If a shard or the catalog cannot be read.
    pub(crate) fn of_set(catalog: &Catalog) -> Result<Self> {
        let (of_set, _) = Self::of_set_and_some(catalog, &BTreeSet::new())?;
        Ok(of_set)
    }

    /// The report of the set, and that of its shards with these file names. Each shard is opened once.
    ///
    /// # Errors
    /// As [`of_set`](Self::of_set).
    pub(crate) fn of_set_and_some(
        catalog: &Catalog,
        names: &BTreeSet<String>,
    ) -> Result<(Self, Self)> {
        let (mut all, mut some) = (Tally::default(), Tally::default());
        for (ix, info) in catalog.shards().iter().enumerate() {
            let shard = ShardReader::open(&catalog.shard_path(ix as u32))?;
            all.add(&shard);
            if names.contains(&info.name) {
                some.add(&shard);
            }
        }
        for frame in catalog.left_out()? {
            if names.contains(&frame.shard) {
                some.leave_out(&frame);
            }
            all.leave_out(&frame);
        }
        Ok((all.finish(), some.finish()))
    }

    /// The same report, with what the run passed over.
    pub(crate) fn with_passed_over(mut self, files: Vec<PassedOverFiles>) -> Self {
        let json = serde_json::to_vec(&files).expect("plain data serialises");
        self.passed_over_crc32c = crc32c::crc32c(&json);
        self.passed_over = files;
        self
    }

    /// What the report in `dir` says was passed over, if it is whole.
    pub(crate) fn passed_over_in(dir: &Path) -> Vec<PassedOverFiles> {
        let stored: Option<Self> = fs::read(dir.join(REPORT_FILE))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let Some(stored) = stored else {
            return Vec::new();
        };
        let again = Self::default().with_passed_over(stored.passed_over.clone());
        match again.passed_over_crc32c == stored.passed_over_crc32c {
            true => stored.passed_over,
            false => Vec::new(),
        }
    }

    /// What stands in the file.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain data serialises") + "\n"
    }

    /// What stood in the file of a set of format 2.
    pub(crate) fn to_json_of_format_2(&self) -> String {
        #[derive(Serialize)]
        struct OfFormat2<'a> {
            shards: u64,
            frames_written: u64,
            frames_skipped: u64,
            skipped: &'a BTreeMap<String, u64>,
            skipped_items: &'a [SkippedItem],
        }
        let report = OfFormat2 {
            shards: self.shards,
            frames_written: self.frames_written,
            frames_skipped: self.frames_skipped,
            skipped: &self.skipped,
            skipped_items: &self.skipped_items,
        };
        serde_json::to_string_pretty(&report).expect("plain data serialises") + "\n"
    }

    /// Writes the report into the set's folder, all or nothing. A part's report has its own name.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn write(&self, dir: &Path, part: Part) -> Result<PathBuf> {
        let path = dir.join(file_name(part));
        let temporary = path.with_extension("json.tmp");
        let written = File::create(&temporary).and_then(|mut file| {
            file.write_all(self.to_json().as_bytes())?;
            file.sync_all()
        });
        written.map_err(Error::io("write", &temporary))?;
        host::publish(&temporary, &path).map_err(Error::io("rename a finished file to", &path))?;
        Ok(path)
    }
}

/// Adds shards up.
#[derive(Default)]
struct Tally {
    report: Report,
    /// Bytes read of inputs that are one file, and the frames in them.
    read_bytes: u64,
    read_frames: u64,
    /// Places behind which something is unread.
    num_unread: u64,
    /// Frames behind damaged places of inputs that have others.
    frames_unread: f64,
    /// Bytes behind damaged places of inputs that have none.
    unmeasured_bytes: u64,
}

impl Tally {
    fn add(&mut self, shard: &ShardReader) {
        let name = file_name_of(shard.path());
        let report = &mut self.report;
        report.shards += 1;
        report.frames_written += shard.num_frames();
        report.frames_skipped += shard.skipped().len() as u64;
        let mut unread_bytes = 0;
        for skipped in shard.skipped() {
            *report.skipped.entry(skipped.reason.clone()).or_default() += 1;
            unread_bytes += skipped.unread_bytes;
            self.num_unread += u64::from(skipped.unread_bytes > 0);
            report.skipped_items.push(SkippedItem {
                source: skipped.source.clone(),
                reason: skipped.reason.clone(),
                detail: skipped.detail.clone(),
                shard: name.clone(),
            });
        }
        report.unread_bytes += unread_bytes;
        let bytes = shard.input().and_then(|input| input.bytes);
        let read_bytes = bytes.map_or(0, |bytes| bytes.saturating_sub(unread_bytes));
        match shard.num_frames() {
            0 => self.unmeasured_bytes += unread_bytes,
            frames => {
                self.frames_unread += unread_bytes as f64 / mean(read_bytes, frames);
                self.read_bytes += read_bytes;
                self.read_frames += frames;
            }
        }
    }

    fn leave_out(&mut self, frame: &LeftOut) {
        const REASON: &str = "duplicate-frame";
        let report = &mut self.report;
        report.frames_written -= 1;
        report.frames_skipped += 1;
        *report.skipped.entry(REASON.to_owned()).or_default() += 1;
        report.skipped_items.push(SkippedItem {
            source: frame.source.clone(),
            reason: REASON.to_owned(),
            detail: format!(
                "frame {:?} is in shard {} already",
                frame.frame_id, frame.kept_in
            ),
            shard: frame.shard.clone(),
        });
    }

    fn finish(self) -> Report {
        let of_others = match self.read_frames {
            0 => 0.0,
            frames => self.unmeasured_bytes as f64 / mean(self.read_bytes, frames),
        };
        // Each damaged place is a skipped item already.
        let frames = (self.frames_unread + of_others).round() as u64;
        Report {
            frames_unread: frames.saturating_sub(self.num_unread),
            ..self.report
        }
        .with_passed_over(Vec::new())
    }
}

/// Mean bytes of a frame.
fn mean(bytes: u64, frames: u64) -> f64 {
    bytes.max(1) as f64 / frames as f64
}

fn file_name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn file_name(part: Part) -> String {
    match part.is_whole() {
        true => REPORT_FILE.to_owned(),
        false => format!("report.part-{}-of-{}.json", part.index, part.count),
    }
}

/// Removes the reports of parts, which the joined report replaces.
///
/// # Errors
/// If the folder cannot be listed or a report not removed.
pub(crate) fn remove_part_reports(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let entry = entry.map_err(Error::io("list", dir))?;
        let name = entry.file_name();
        if name.to_string_lossy().starts_with("report.part-") {
            fs::remove_file(entry.path()).map_err(Error::io("remove", entry.path()))?;
        }
    }
    Ok(())
}
