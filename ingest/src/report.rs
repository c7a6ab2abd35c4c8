//! What became of the inputs: counts, and every skipped item with its place and reason.
//!
//! The report is read from the footers of the finished shards, so it is complete after a resumed
//! run, and equal for any number of threads or parts.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use schemas::shard::ShardReader;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::plan::Part;

/// File name of the report beside the catalog.
pub(crate) const REPORT_FILE: &str = "report.json";

/// The report of some shards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    /// Shards it covers.
    pub(crate) shards: u64,
    /// Frames in them.
    pub(crate) frames_written: u64,
    /// Items of their inputs that became no frame.
    pub(crate) frames_skipped: u64,
    /// How many for which reason.
    pub(crate) skipped: BTreeMap<String, u64>,
    /// Each of them.
    pub(crate) skipped_items: Vec<SkippedItem>,
}

/// One item that became no frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
        let mut report = Self::default();
        for path in shards {
            report.add(&ShardReader::open(path)?);
        }
        Ok(report)
    }

    fn add(&mut self, shard: &ShardReader) {
        let name = shard
            .path()
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        self.shards += 1;
        self.frames_written += shard.num_frames();
        self.frames_skipped += shard.skipped().len() as u64;
        for skipped in shard.skipped() {
            *self.skipped.entry(skipped.reason.clone()).or_default() += 1;
            self.skipped_items.push(SkippedItem {
                source: skipped.source.clone(),
                reason: skipped.reason.clone(),
                detail: skipped.detail.clone(),
                shard: name.clone().into_owned(),
            });
        }
    }

    /// What stands in the file.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain data serialises") + "\n"
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
