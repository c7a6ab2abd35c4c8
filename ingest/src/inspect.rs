//! What is in a set: counts by every metadata column, sizes, bytes by level.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::Path;

use schemas::catalog::{Catalog, CatalogRow};
use schemas::filter::Filter;
use schemas::frame::FrameMeta;
use serde::Serialize;

use crate::error::Result;

/// Frames by value of a column; a missing value counts under [`NO_VALUE`].
pub type Counts = BTreeMap<String, u64>;

/// Stands for a value that the data set does not state.
pub const NO_VALUE: &str = "(none)";

/// A table shows so many values of a column; JSON has them all.
const MAX_TABLE_LINES: usize = 12;

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// Frames, after the filter.
    pub frames: u64,
    /// Shards that hold them.
    pub shards: u64,
    /// Items of the set's inputs that became no frame, whatever the filter.
    pub skipped: u64,
    /// By data set.
    pub by_dataset: Counts,
    /// By split.
    pub by_split: Counts,
    /// By camera.
    pub by_camera: Counts,
    /// By time of day.
    pub by_time_of_day: Counts,
    /// By weather.
    pub by_weather: Counts,
    /// By location.
    pub by_location: Counts,
    /// By size of level 0.
    pub by_size: Counts,
    /// Number of different segments.
    pub segments: u64,
    /// What is stored of each level.
    pub levels: Vec<LevelTotal>,
    /// JPEG bytes of all levels.
    pub bytes: u64,
}

/// What is stored of one level.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LevelTotal {
    /// The level: 1 / 2^level of the frame.
    pub level: u8,
    /// Frames that have it.
    pub frames: u64,
    /// Their JPEG bytes.
    pub bytes: u64,
    /// Frames by how it was made: `lossless`, `q93`.
    pub by_encoding: Counts,
}

/// Counts the frames of the set in `dir` that `filter` keeps.
///
/// # Errors
/// If there is no set, its catalog is stale or damaged, or the filter cannot be evaluated.
pub fn inspect(dir: &Path, filter: Option<&Filter>) -> Result<Inspection> {
    let catalog = Catalog::open(dir)?;
    let mut inspection =
        Inspection { skipped: catalog.shards().iter().map(|shard| shard.skipped).sum(), ..Default::default() };
    let level = |&level: &u8| LevelTotal { level, ..Default::default() };
    inspection.levels = catalog.settings().levels.iter().map(level).collect();

    let kept = filter.map(|filter| kept_rows(&catalog, filter)).transpose()?;
    let (mut shards, mut segments) = (HashSet::new(), HashSet::new());
    let mut row_ix = 0;
    for batch in catalog.rows()? {
        for row in batch? {
            if kept.as_ref().is_none_or(|kept| kept.binary_search(&row_ix).is_ok()) {
                inspection.add(&row);
                shards.insert(row.shard);
                segments.extend(row.frame.meta.segment);
            }
            row_ix += 1;
        }
    }
    inspection.shards = if filter.is_none() { catalog.shards().len() as u64 } else { shards.len() as u64 };
    inspection.segments = segments.len() as u64;
    Ok(inspection)
}

/// Rows of the catalog that `filter` keeps, ascending.
fn kept_rows(catalog: &Catalog, filter: &Filter) -> Result<Vec<u32>> {
    let index = catalog.index(Some(filter))?;
    Ok((0..index.len()).map(|frame| index.row(frame)).collect())
}

impl Inspection {
    fn add(&mut self, row: &CatalogRow) {
        let FrameMeta { dataset, split, camera, time_of_day, weather, location, size, .. } = &row.frame.meta;
        self.frames += 1;
        count(&mut self.by_dataset, Some(dataset));
        count(&mut self.by_size, Some(&size.to_string()));
        let columns = [
            (&mut self.by_split, split),
            (&mut self.by_camera, camera),
            (&mut self.by_time_of_day, time_of_day),
            (&mut self.by_weather, weather),
            (&mut self.by_location, location),
        ];
        for (counts, value) in columns {
            count(counts, value.as_ref());
        }
        for (total, entry) in self.levels.iter_mut().zip(&row.frame.levels) {
            if let Some(entry) = entry {
                total.frames += 1;
                total.bytes += u64::from(entry.len);
                self.bytes += u64::from(entry.len);
                count(&mut total.by_encoding, Some(&entry.encoding.to_string()));
            }
        }
    }
}

fn count(counts: &mut Counts, value: Option<&String>) {
    let value = value.map_or(NO_VALUE, String::as_str);
    match counts.get_mut(value) {
        Some(count) => *count += 1,
        None => drop(counts.insert(value.to_owned(), 1)),
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { frames, shards, skipped, segments, .. } = self;
        writeln!(f, "{frames} frames in {shards} shards, {segments} segments; {skipped} items were skipped at ingest")?;
        let columns = [
            ("dataset", &self.by_dataset),
            ("split", &self.by_split),
            ("camera", &self.by_camera),
            ("time of day", &self.by_time_of_day),
            ("weather", &self.by_weather),
            ("location", &self.by_location),
            ("size", &self.by_size),
        ];
        for (title, counts) in columns {
            write_counts(f, title, counts, self.frames)?;
        }
        writeln!(f, "\n{:<12} {:>10} {:>12} {:>14}  encoding", "level", "frames", "MB", "bytes/frame")?;
        for level in &self.levels {
            let encodings: Vec<String> =
                level.by_encoding.iter().map(|(encoding, frames)| format!("{encoding} {frames}")).collect();
            let scale = format!("{} (1/{})", level.level, 1u32 << level.level);
            let mean = level.bytes.checked_div(level.frames).unwrap_or(0);
            let megabytes = level.bytes as f64 / 1e6;
            writeln!(f, "{scale:<12} {:>10} {megabytes:>12.1} {mean:>14}  {}", level.frames, encodings.join(", "))?;
        }
        write!(f, "{:<12} {:>10} {:>12.1}", "all", "", self.bytes as f64 / 1e6)
    }
}

/// One column as a table with bars, the most frequent values first. A column without any value is left out.
fn write_counts(f: &mut fmt::Formatter<'_>, title: &str, counts: &Counts, frames: u64) -> fmt::Result {
    const BAR_WIDTH: u64 = 30;
    if counts.keys().all(|value| value == NO_VALUE) {
        return Ok(());
    }
    let mut sorted: Vec<(&String, u64)> = counts.iter().map(|(value, &count)| (value, count)).collect();
    sorted.sort_by_key(|&(value, count)| (std::cmp::Reverse(count), value));
    let width = sorted.iter().take(MAX_TABLE_LINES).map(|(value, _)| value.len()).max().unwrap_or(0).max(12);
    writeln!(f, "\n{title}")?;
    for &(value, count) in sorted.iter().take(MAX_TABLE_LINES) {
        let bar = "█".repeat((BAR_WIDTH * count).div_ceil(frames.max(1)) as usize);
        let percent = 100.0 * count as f64 / frames.max(1) as f64;
        writeln!(f, "  {value:<width$} {count:>10} {percent:>5.1}%  {bar}")?;
    }
    if sorted.len() > MAX_TABLE_LINES {
        writeln!(f, "  … and {} more values", sorted.len() - MAX_TABLE_LINES)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_values_come_first_and_empty_columns_are_left_out() {
        let mut inspection = Inspection { frames: 3, ..Default::default() };
        inspection.by_camera = Counts::from([("REAR".into(), 1), ("FRONT".into(), 2)]);
        inspection.by_weather = Counts::from([(NO_VALUE.into(), 3)]);
        let table = inspection.to_string();
        assert!(table.find("FRONT").unwrap() < table.find("REAR").unwrap());
        assert!(!table.contains("weather"));
    }
}
