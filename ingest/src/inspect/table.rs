//! An inspection as a person reads it: tables with bars.

use std::fmt;

use super::{Counts, Inspection, NO_VALUE, SegmentFrames};

/// A table shows so many values of a column; JSON has them all.
const MAX_LINES: usize = 12;
/// Names of segments say little: a few show what they look like.
const MAX_SEGMENTS: usize = 4;
/// Bars are so many characters long at most.
const BAR_WIDTH: u64 = 30;

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            frames,
            shards,
            skipped,
            segments,
            ..
        } = self;
        writeln!(
            f,
            "{frames} frames in {shards} shards, {segments} segments; {skipped} items were skipped at ingest"
        )?;
        let columns = [
            ("dataset", &self.by_dataset),
            ("split", &self.by_split),
            ("camera", &self.by_camera),
            ("time of day", &self.by_time_of_day),
            ("weather", &self.by_weather),
            ("location", &self.by_location),
            ("city", &self.by_city),
            ("size", &self.by_size),
        ];
        for (title, counts) in columns {
            write_counts(f, title, counts, self.frames)?;
        }
        self.write_segments(f)?;
        self.write_histogram(f)?;
        self.write_levels(f)
    }
}

impl Inspection {
    fn write_segments(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.segments == 0 {
            return Ok(());
        }
        let spread = self.frames_per_segment;
        writeln!(
            f,
            "\nsegment: {} to {} frames each, median {}",
            spread.min, spread.max, spread.median
        )?;
        let shown: Vec<Line> = self
            .largest_segments
            .iter()
            .take(MAX_SEGMENTS)
            .map(Line::from)
            .collect();
        write_lines(f, &shown, self.frames)?;
        write_rest(f, self.segments as usize - shown.len())
    }

    /// Bytes of the finest stored level: what level 0 takes says what dropping it saves.
    fn write_histogram(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(level) = self.levels.first().filter(|level| level.frames > 0) else {
            return Ok(());
        };
        writeln!(f, "\nkB of a frame at level {}", level.level)?;
        let label = |bytes: u64| bytes / 1000;
        let line = |bin: &super::Bin| Line {
            label: format!("{:>5} to {:>5}", label(bin.from_bytes), label(bin.to_bytes)),
            frames: bin.frames,
        };
        write_lines(
            f,
            &level.histogram.iter().map(line).collect::<Vec<_>>(),
            level.frames,
        )
    }

    fn write_levels(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{:<12} {:>10} {:>12} {:>14}  encoding",
            "level", "frames", "MB", "bytes/frame"
        )?;
        for level in &self.levels {
            let encodings: Vec<String> = level
                .by_encoding
                .iter()
                .map(|(encoding, frames)| format!("{encoding} {frames}"))
                .collect();
            let scale = format!("{} (1/{})", level.level, 1u32 << level.level);
            let megabytes = level.bytes as f64 / 1e6;
            let (frames, mean) = (level.frames, level.bytes_per_frame);
            writeln!(
                f,
                "{scale:<12} {frames:>10} {megabytes:>12.1} {mean:>14}  {}",
                encodings.join(", ")
            )?;
        }
        let mean = self.bytes.checked_div(self.frames).unwrap_or(0);
        write!(
            f,
            "{:<12} {:>10} {:>12.1} {mean:>14}",
            "all",
            self.frames,
            self.bytes as f64 / 1e6
        )
    }
}

/// A value and how many frames have it.
struct Line {
    label: String,
    frames: u64,
}

impl From<&SegmentFrames> for Line {
    fn from(SegmentFrames { segment, frames }: &SegmentFrames) -> Self {
        Self {
            label: segment.clone(),
            frames: *frames,
        }
    }
}

/// One column, the most frequent values first. A column without any value is left out.
fn write_counts(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    counts: &Counts,
    frames: u64,
) -> fmt::Result {
    if counts.keys().all(|value| value == NO_VALUE) {
        return Ok(());
    }
    let mut lines: Vec<Line> = counts
        .iter()
        .map(|(value, &frames)| Line {
            label: value.clone(),
            frames,
        })
        .collect();
    lines.sort_by_key(|line| std::cmp::Reverse(line.frames));
    writeln!(f, "\n{title}")?;
    let shown = lines.len().min(MAX_LINES);
    write_lines(f, &lines[..shown], frames)?;
    write_rest(f, lines.len() - shown)
}

fn write_lines(f: &mut fmt::Formatter<'_>, lines: &[Line], frames: u64) -> fmt::Result {
    let width = lines
        .iter()
        .map(|line| line.label.chars().count())
        .max()
        .unwrap_or(0)
        .max(12);
    for Line {
        label,
        frames: count,
    } in lines
    {
        let bar = "█".repeat((BAR_WIDTH * count).div_ceil(frames.max(1)) as usize);
        let percent = 100.0 * *count as f64 / frames.max(1) as f64;
        writeln!(
            f,
            "{}",
            format!("  {label:<width$} {count:>10} {percent:>5.1}%  {bar}").trim_end()
        )?;
    }
    Ok(())
}

fn write_rest(f: &mut fmt::Formatter<'_>, more: usize) -> fmt::Result {
    if more > 0 {
        writeln!(f, "  … and {more} more")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::{Bin, LevelTotal, Spread};

    #[test]
    fn frequent_values_come_first_and_empty_columns_are_left_out() {
        let mut inspection = Inspection {
            frames: 3,
            ..Default::default()
        };
        inspection.by_camera = Counts::from([("REAR".into(), 1), ("FRONT".into(), 2)]);
        inspection.by_weather = Counts::from([(NO_VALUE.into(), 3)]);
        let table = inspection.to_string();
        assert!(table.find("FRONT").unwrap() < table.find("REAR").unwrap());
        assert!(!table.contains("weather") && !table.contains("segment:"));
    }

    #[test]
    fn lengths_are_drawn_as_bars() {
        let bin = |from_bytes, frames| Bin {
            from_bytes,
            to_bytes: from_bytes + 200_000,
            frames,
        };
        let histogram = vec![bin(200_000, 1), bin(400_000, 3), bin(600_000, 0)];
        let level = LevelTotal {
            frames: 4,
            histogram,
            ..Default::default()
        };
        let inspection = Inspection {
            frames: 4,
            levels: vec![level],
            ..Default::default()
        };
        let table = inspection.to_string();
        let bars: Vec<usize> = table
            .lines()
            .filter(|line| line.contains(" to "))
            .map(|line| line.matches('█').count())
            .collect();
        assert_eq!(bars, [8, 23, 0]);
    }

    #[test]
    fn segments_show_their_spread_and_the_largest() {
        let segment = |ix: u64| SegmentFrames {
            segment: format!("drive {ix}"),
            frames: 9 - ix,
        };
        let inspection = Inspection {
            frames: 30,
            segments: 7,
            frames_per_segment: Spread {
                min: 2,
                median: 5,
                max: 9,
            },
            largest_segments: (0..7).map(segment).collect(),
            ..Default::default()
        };
        let table = inspection.to_string();
        assert!(
            table.contains("segment: 2 to 9 frames each, median 5"),
            "{table}"
        );
        assert!(
            table.contains("drive 3")
                && !table.contains("drive 4")
                && table.contains("… and 3 more"),
            "{table}"
        );
    }
}
