//! The figures: PSNR by level, bytes by level, the worst crops.

use std::fmt;

use schemas::geom::Rect;
use schemas::shard::FrameEntry;
use serde::Serialize;

use super::views::Comparison;

/// What came of a request.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The figures.
    pub report: Fidelity,
    /// Both views of the worst crop of each level, in the order of the levels.
    pub worst: Vec<Comparison>,
}

/// What views from stored levels lose, and what the levels cost.
#[derive(Clone, Debug, Serialize)]
pub struct Fidelity {
    /// Frames in which crops were measured.
    pub frames: u64,
    /// Crops measured.
    pub crops: u64,
    /// Crops drawn besides, for which a sampler decodes level 0.
    pub level_0_crops: u64,
    /// PSNR of all crops measured.
    pub psnr_db: Option<Distribution>,
    /// The same by level, and what is stored of it.
    pub levels: Vec<LevelFidelity>,
    /// Bytes of the frames' original files.
    pub bytes_original: u64,
    /// Bytes of all their levels.
    pub bytes_stored: u64,
    /// Stored bytes for each original one.
    pub bytes_ratio: f64,
}

/// Views from one level.
#[derive(Clone, Debug, Serialize)]
pub struct LevelFidelity {
    /// The level: 1 / 2^level of the frame.
    pub level: u8,
    /// Crops measured at it.
    pub crops: u64,
    /// Their PSNR, if there are any.
    pub psnr_db: Option<Distribution>,
    /// The worst of them.
    pub worst: Option<Sample>,
    /// Stored bytes of it for each byte of the originals.
    pub bytes_ratio: f64,
}

/// A distribution of PSNR, in decibels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Distribution {
    /// The least.
    pub min: f64,
    /// First percentile.
    pub p1: f64,
    /// Fifth percentile.
    pub p5: f64,
    /// Half of the crops are worse.
    pub median: f64,
    /// Of the decibels.
    pub mean: f64,
}

/// One measured crop.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// The frame.
    pub frame_id: String,
    /// x, y, width, height in pixels of the frame.
    pub crop: [u32; 4],
    /// Its PSNR in decibels.
    pub psnr_db: f64,
}

impl Distribution {
    /// Of `values`; none if there are none. Percentiles between two values are interpolated.
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (&min, last) = (values.first()?, values.len() - 1);
        let percentile = |percent: f64| {
            let at = percent / 100.0 * last as f64;
            let (below, above) = (values[at.floor() as usize], values[at.ceil() as usize]);
            below + (above - below) * at.fract()
        };
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        Some(Self {
            min,
            p1: percentile(1.0),
            p5: percentile(5.0),
            median: percentile(50.0),
            mean,
        })
    }
}

/// Collects crops.
pub(super) struct Tally {
    frames: u64,
    level_0_crops: u64,
    bytes_original: u64,
    levels: Vec<LevelTally>,
}

/// What was collected of a level.
struct LevelTally {
    level: u8,
    bytes: u64,
    psnr_db: Vec<f64>,
    worst: Option<(Sample, Comparison)>,
}

impl Tally {
    pub(super) fn new(levels: &[u8]) -> Self {
        let level = |&level: &u8| LevelTally {
            level,
            bytes: 0,
            psnr_db: Vec::new(),
            worst: None,
        };
        Self {
            frames: 0,
            level_0_crops: 0,
            bytes_original: 0,
            levels: levels.iter().map(level).collect(),
        }
    }

    /// Adds a frame whose original has `bytes_original` bytes.
    pub(super) fn add_frame(&mut self, row: &FrameEntry, bytes_original: u64) {
        self.frames += 1;
        self.bytes_original += bytes_original;
        for (tally, entry) in self.levels.iter_mut().zip(&row.levels) {
            tally.bytes += entry.as_ref().map_or(0, |entry| u64::from(entry.len));
        }
    }

    /// Adds a crop that needs level 0.
    pub(super) fn add_exact(&mut self) {
        self.level_0_crops += 1;
    }

    /// Adds a crop of a frame, measured at a level.
    pub(super) fn add(
        &mut self,
        frame_id: &str,
        level_ix: usize,
        crop: Rect,
        comparison: Comparison,
    ) {
        let psnr_db = comparison.psnr_db();
        let LevelTally {
            psnr_db: all,
            worst,
            ..
        } = &mut self.levels[level_ix];
        all.push(psnr_db);
        if worst
            .as_ref()
            .is_none_or(|(worst, _)| psnr_db < worst.psnr_db)
        {
            let crop = [crop.x, crop.y, crop.width, crop.height];
            *worst = Some((
                Sample {
                    frame_id: frame_id.to_owned(),
                    crop,
                    psnr_db,
                },
                comparison,
            ));
        }
    }

    pub(super) fn finish(self) -> Measured {
        let ratio = |bytes: u64| bytes as f64 / self.bytes_original.max(1) as f64;
        let all: Vec<f64> = self
            .levels
            .iter()
            .flat_map(|level| &level.psnr_db)
            .copied()
            .collect();
        let bytes_stored = self.levels.iter().map(|level| level.bytes).sum();
        let (mut levels, mut worst) = (Vec::new(), Vec::new());
        for LevelTally {
            level,
            bytes,
            psnr_db,
            worst: of_level,
        } in self.levels
        {
            let (sample, comparison) = of_level.unzip();
            worst.extend(comparison);
            levels.push(LevelFidelity {
                level,
                crops: psnr_db.len() as u64,
                psnr_db: Distribution::of(psnr_db),
                worst: sample,
                bytes_ratio: ratio(bytes),
            });
        }
        let report = Fidelity {
            frames: self.frames,
            crops: all.len() as u64,
            level_0_crops: self.level_0_crops,
            psnr_db: Distribution::of(all),
            levels,
            bytes_original: self.bytes_original,
            bytes_stored,
            bytes_ratio: ratio(bytes_stored),
        };
        Measured { report, worst }
    }
}

impl fmt::Display for Fidelity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            frames,
            crops,
            level_0_crops,
            ..
        } = self;
        writeln!(
            f,
            "{crops} crops of {frames} frames; {level_0_crops} more need level 0 and are not measured\n"
        )?;
        let header = [
            "level", "crops", "median", "mean", "min", "1 %", "5 %", "bytes",
        ];
        let [level, columns @ ..] = header;
        write!(f, "{level:<8}")?;
        columns
            .iter()
            .try_for_each(|column| write!(f, "{column:>8}"))?;
        writeln!(f, "   (PSNR in dB; bytes as multiples of the originals')")?;
        for level in &self.levels {
            let name = format!("{} (1/{})", level.level, 1u32 << level.level);
            write_line(f, &name, level.crops, level.psnr_db, level.bytes_ratio)?;
        }
        write_line(f, "all", *crops, self.psnr_db, self.bytes_ratio)?;
        for level in &self.levels {
            if let Some(Sample {
                frame_id,
                crop: [x, y, width, height],
                psnr_db,
            }) = &level.worst
            {
                let place = format!("{width}x{height} pixels at ({x}, {y})");
                write!(
                    f,
                    "\nworst of level {}: {psnr_db:.2} dB, {place} of {frame_id}",
                    level.level
                )?;
            }
        }
        Ok(())
    }
}

fn write_line(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    crops: u64,
    psnr_db: Option<Distribution>,
    bytes_ratio: f64,
) -> fmt::Result {
    write!(f, "{name:<8}{crops:>8}")?;
    let figures = psnr_db.map(
        |Distribution {
             min,
             p1,
             p5,
             median,
             mean,
         }| [median, mean, min, p1, p5],
    );
    for ix in 0..5 {
        match figures {
            Some(figures) => write!(f, "{:>8.2}", figures[ix])?,
            None => write!(f, "{:>8}", "-")?,
        }
    }
    writeln!(f, "{bytes_ratio:>8.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_interpolated_as_numpy_does() {
        let values = (0..=200)
            .rev()
            .map(|value| f64::from(value) / 2.0)
            .collect();
        let expected = Distribution {
            min: 0.0,
            p1: 1.0,
            p5: 5.0,
            median: 50.0,
            mean: 50.0,
        };
        assert_eq!(Distribution::of(values), Some(expected));
        assert_eq!(Distribution::of(vec![1.0, 2.0]).unwrap().median, 1.5);
        assert_eq!(Distribution::of(Vec::new()), None);
    }
}
