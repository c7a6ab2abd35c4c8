//! What became of the inputs: counts, and every skipped item with its place and reason.
//!
//! The report is read from the footers of the finished shards, so it is complete after a resumed
//! run, and equal for any number of threads or parts.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use schemas::shard::{ShardReader, publish};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::plan::Part;

/// File name of the report beside the catalog.
pub const REPORT_FILE: &str = "report.json";

/// The report of some shards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Shards it covers.
    pub shards: u64,
    /// Frames in them.
    pub frames_written: u64,
    /// Items of their inputs that became no frame.
    pub frames_skipped: u64,
    /// How many for which reason.
    pub skipped: BTreeMap<String, u64>,
    /// Each of them.
    pub skipped_items: Vec<SkippedItem>,
}

/// One item that became no frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SkippedItem {
    /// File and offset, or folder and member.
    pub source: String,
    /// Short, stable name of the reason.
    pub reason: String,
    /// What exactly was wrong.
    pub detail: String,
    /// The shard that the item would be in.
    pub shard: String,
}

impl Report {
    /// Reads the footers of `shards`.
    ///
    /// # Errors
    /// If one cannot be opened.
    pub fn of_shards(shards: &[PathBuf]) -> Result<Self> {
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
    pub fn write(&self, dir: &Path, part: Part) -> Result<PathBuf> {
        let path = dir.join(file_name(part));
        let temporary = path.with_extension("json.tmp");
        let written = File::create(&temporary).and_then(|mut file| {
            file.write_all(self.to_json().as_bytes())?;
            file.sync_all()
        });
        written.map_err(Error::io("write", &temporary))?;
        publish(&temporary, &path)?;
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
pub fn remove_part_reports(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let entry = entry.map_err(Error::io("list", dir))?;
        let name = entry.file_name();
        if name.to_string_lossy().starts_with("report.part-") {
            fs::remove_file(entry.path()).map_err(Error::io("remove", entry.path()))?;
        }
    }
    Ok(())
}

/// How many items may be skipped before the run counts as failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaxBad {
    /// So many.
    Count(u64),
    /// This share of all items, in percent.
    Percent(f64),
}

impl MaxBad {
    /// Whether `skipped` besides `written` frames are too many.
    pub fn is_exceeded(self, skipped: u64, written: u64) -> bool {
        match self {
            Self::Count(limit) => skipped > limit,
            Self::Percent(limit) => 100.0 * skipped as f64 > limit * (skipped + written) as f64,
        }
    }
}

impl FromStr for MaxBad {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent = |text: &str| {
            text.parse()
                .ok()
                .filter(|percent| (0.0..=100.0).contains(percent))
        };
        let parsed = match text.strip_suffix('%') {
            Some(number) => percent(number).map(Self::Percent),
            None => text.parse().ok().map(Self::Count),
        };
        parsed.ok_or_else(|| "give a count (`20`) or a percentage (`1%`)".to_owned())
    }
}

impl std::fmt::Display for MaxBad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_counts_or_percentages() {
        assert_eq!("20".parse(), Ok(MaxBad::Count(20)));
        assert_eq!("1.5%".parse(), Ok(MaxBad::Percent(1.5)));
        for bad in ["", "%", "-1", "101%", "NaN%", "1.5", "many"] {
            assert!(bad.parse::<MaxBad>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_limit_is_exceeded_only_beyond_it() {
        assert!(!MaxBad::Count(3).is_exceeded(3, 0));
        assert!(MaxBad::Count(3).is_exceeded(4, 1000));
        assert!(!MaxBad::Percent(1.0).is_exceeded(1, 99));
        assert!(MaxBad::Percent(1.0).is_exceeded(1, 98));
        assert!(!MaxBad::Percent(1.0).is_exceeded(0, 0));
        assert!(MaxBad::Percent(0.0).is_exceeded(1, 1_000_000));
    }
}
