//! What is in a set: counts by every metadata column, sizes, bytes by level.
//!
//! A column is read and counted at a time, several at once on as many threads as there are cores:
//! no row of the catalog is ever put together, so ten million of them are a matter of seconds, and
//! memory holds different values only.

mod bins;
mod table;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use arrow::datatypes::UInt32Type;
use rayon::prelude::*;
use schemas::catalog::Catalog;
use schemas::filter::Filter;
use schemas::geom::Size;
use schemas::selection::Selection;
use serde::Serialize;

use crate::error::Result;
pub use bins::Bin;
use bins::Lengths;

/// Frames by value of a column; a missing value counts under `(none)`.
pub type Counts = BTreeMap<String, u64>;

/// Stands for a value that the data set does not state.
pub(crate) const NO_VALUE: &str = "(none)";

/// So many of the largest segments are named.
const LARGEST_SEGMENTS: usize = 12;

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
    /// By city.
    pub by_city: Counts,
    /// By size of level 0.
    pub by_size: Counts,
    /// Number of different segments.
    pub segments: u64,
    /// How many frames a segment has.
    pub frames_per_segment: Spread,
    /// The segments with the most frames, in that order.
    pub largest_segments: Vec<SegmentFrames>,
    /// What is stored of each level.
    pub levels: Vec<LevelTotal>,
    /// JPEG bytes of all levels.
    pub bytes: u64,
}

/// Extremes and middle of some counts; all 0 if there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// The least.
    pub min: u64,
    /// The upper one of the two middle ones, if there are two.
    pub median: u64,
    /// The most.
    pub max: u64,
}

/// A segment and its frames.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentFrames {
    /// Its name.
    pub segment: String,
    /// How many frames it has.
    pub frames: u64,
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
    /// The same for one frame, in the mean.
    pub bytes_per_frame: u64,
    /// Frames by how it was made: `lossless`, `q93`.
    pub by_encoding: Counts,
    /// Frames by their JPEG bytes.
    pub histogram: Vec<Bin>,
}

/// Counts the frames of the set in `dir` that `filter` keeps.
///
/// # Errors
/// If there is no set, its catalog is stale or damaged, or the filter cannot be evaluated.
pub fn inspect(dir: &Path, filter: Option<&Filter>) -> Result<Inspection> {
    let catalog = Catalog::open(dir)?;
    let selection = catalog.select(filter)?;
    let (columns, (levels, by_size)) = rayon::join(
        || count_columns(&catalog, &selection),
        || {
            rayon::join(
                || level_totals(&catalog, &selection),
                || count_sizes(&catalog, &selection),
            )
        },
    );
    let [
        by_dataset,
        by_split,
        by_camera,
        by_time_of_day,
        by_weather,
        by_location,
        by_city,
        mut by_segment,
    ] = columns?;
    by_segment.remove(NO_VALUE);
    let levels = levels?;
    Ok(Inspection {
        frames: selection.num_rows(),
        shards: count_shards(&catalog, &selection)?,
        skipped: catalog.shards().iter().map(|shard| shard.skipped).sum(),
        by_dataset,
        by_split,
        by_camera,
        by_time_of_day,
        by_weather,
        by_location,
        by_city,
        by_size: by_size?,
        segments: by_segment.len() as u64,
        frames_per_segment: Spread::of(by_segment.values().copied().collect()),
        largest_segments: largest(by_segment),
        bytes: levels.iter().map(|level| level.bytes).sum(),
        levels,
    })
}

/// Columns of text, in the order in which they are counted.
const COLUMNS: [&str; 8] = [
    "dataset",
    "split",
    "camera",
    "time_of_day",
    "weather",
    "location",
    "city",
    "segment",
];

fn count_columns(catalog: &Catalog, selection: &Selection) -> Result<[Counts; COLUMNS.len()]> {
    let counts = COLUMNS
        .into_par_iter()
        .map(|column| count_texts(catalog, selection, column))
        .collect::<Result<Vec<Counts>>>()?;
    Ok(counts.try_into().expect("as many counts as columns"))
}

fn level_totals(catalog: &Catalog, selection: &Selection) -> Result<Vec<LevelTotal>> {
    let levels = catalog.settings().levels.par_iter();
    levels
        .map(|&level| level_total(catalog, selection, level))
        .collect()
}

fn count_texts(catalog: &Catalog, selection: &Selection, column: &str) -> Result<Counts> {
    let mut counts = Counts::new();
    for texts in catalog.texts(column, selection)? {
        let texts = texts?;
        let texts: Vec<&str> = texts.iter().map(|text| text.unwrap_or(NO_VALUE)).collect();
        // Neighbours are often alike: a run costs one look-up.
        for run in texts.chunk_by(|a, b| a == b) {
            match counts.get_mut(run[0]) {
                Some(count) => *count += run.len() as u64,
                None => drop(counts.insert(run[0].to_owned(), run.len() as u64)),
            }
        }
    }
    Ok(counts)
}

fn count_sizes(catalog: &Catalog, selection: &Selection) -> Result<Counts> {
    let widths = catalog.numbers::<UInt32Type>("width", selection)?;
    let heights = catalog.numbers::<UInt32Type>("height", selection)?;
    let mut counts: BTreeMap<(u32, u32), u64> = BTreeMap::new();
    for (widths, heights) in widths.zip(heights) {
        for (&width, &height) in widths?.values().iter().zip(heights?.values()) {
            *counts.entry((width, height)).or_default() += 1;
        }
    }
    Ok(counts
        .into_iter()
        .map(|((width, height), count)| (Size::new(width, height).to_string(), count))
        .collect())
}

fn count_shards(catalog: &Catalog, selection: &Selection) -> Result<u64> {
    // Shards of 0 frames count when nothing is filtered: they are records of inputs.
    if selection.num_rows() == catalog.num_frames() {
        return Ok(catalog.shards().len() as u64);
    }
    let mut shards = HashSet::new();
    for numbers in catalog.numbers::<UInt32Type>("shard", selection)? {
        shards.extend(numbers?.values().chunk_by(|a, b| a == b).map(|run| run[0]));
    }
    Ok(shards.len() as u64)
}

fn level_total(catalog: &Catalog, selection: &Selection, level: u8) -> Result<LevelTotal> {
    let mut by_encoding = count_texts(catalog, selection, &format!("encoding_{level}"))?;
    by_encoding.remove(NO_VALUE);
    let mut lengths = Lengths::default();
    for numbers in catalog.numbers::<UInt32Type>(&format!("len_{level}"), selection)? {
        numbers?.iter().flatten().for_each(|len| lengths.add(len));
    }
    let Lengths { frames, bytes, .. } = lengths;
    let bytes_per_frame = bytes.checked_div(frames).unwrap_or(0);
    Ok(LevelTotal {
        level,
        frames,
        bytes,
        bytes_per_frame,
        by_encoding,
        histogram: lengths.bins(),
    })
}

fn largest(by_segment: Counts) -> Vec<SegmentFrames> {
    let mut segments: Vec<SegmentFrames> = by_segment
        .into_iter()
        .map(|(segment, frames)| SegmentFrames { segment, frames })
        .collect();
    // Stable, so equal ones stay sorted by name.
    segments.sort_by_key(|segment| std::cmp::Reverse(segment.frames));
    segments.truncate(LARGEST_SEGMENTS);
    segments
}

impl Spread {
    fn of(mut counts: Vec<u64>) -> Self {
        counts.sort_unstable();
        let at = |ix: usize| counts.get(ix).copied().unwrap_or(0);
        Self {
            min: at(0),
            median: at(counts.len() / 2),
            max: at(counts.len().saturating_sub(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_minimum_middle_and_maximum() {
        assert_eq!(
            Spread::of(vec![5, 1, 9]),
            Spread {
                min: 1,
                median: 5,
                max: 9
            }
        );
        assert_eq!(
            Spread::of(vec![7, 3]),
            Spread {
                min: 3,
                median: 7,
                max: 7
            }
        );
        assert_eq!(Spread::of(Vec::new()), Spread::default());
    }

    #[test]
    fn the_largest_segments_come_first_and_equal_ones_by_name() {
        let counts = (0..20)
            .map(|ix| (format!("{ix:02}"), u64::from(ix == 7) + 3))
            .collect();
        let largest = largest(counts);
        let names: Vec<&str> = largest
            .iter()
            .map(|segment| segment.segment.as_str())
            .collect();
        assert_eq!(names[..3], ["07", "00", "01"]);
        assert_eq!((largest.len(), largest[0].frames), (LARGEST_SEGMENTS, 4));
    }
}
