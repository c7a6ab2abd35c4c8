//! What `sampler stats` counts, and how it is told.

use std::collections::BTreeMap;
use std::fmt::Write;

use sampler::{PairMeta, Sampler};
use schemas::geom::Size;
use serde_json::json;

use crate::cli::args::StatsArgs;
use crate::cli::numbers::{grouped, rounded};

/// Frame sizes listed one by one in the table.
const MAX_SIZES: usize = 8;

/// One number of every pair or crop, sorted.
#[derive(Debug)]
pub(crate) struct Distribution {
    sorted: Vec<f64>,
}

impl Distribution {
    fn new(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Self { sorted }
    }

    /// The values, ascending; never empty.
    pub(crate) fn values(&self) -> &[f64] {
        &self.sorted
    }

    fn mean(&self) -> f64 {
        self.sorted.iter().sum::<f64>() / self.sorted.len() as f64
    }

    /// The value below which the share `q` of all lies.
    pub(crate) fn quantile(&self, q: f64) -> f64 {
        self.sorted[((self.sorted.len() - 1) as f64 * q).round() as usize]
    }

    fn to_json(&self) -> serde_json::Value {
        let at = |q| rounded(self.quantile(q), 4);
        json!({ "mean": rounded(self.mean(), 4), "p5": at(0.05), "p50": at(0.5), "p95": at(0.95) })
    }
}

/// Everything that was counted.
#[derive(Debug)]
pub(crate) struct Counted {
    pub frames: u64,
    pub pairs: u64,
    pub min_iou: f32,
    pub fallbacks: u64,
    pub tries_sum: u64,
    /// IoU of pairs.
    pub iou: Distribution,
    /// Boxes drawn until the pair was found.
    pub tries: Distribution,
    /// Area of crops as a share of the frame.
    pub area: Distribution,
    /// Width over height of crops.
    pub ratio: Distribution,
    /// Shorter side of crops in frame pixels.
    pub short_side: Distribution,
    /// Crops decoded from each level.
    pub levels: BTreeMap<u8, u64>,
    /// Crops that are smaller than a view at level 0.
    pub upsampled: u64,
    /// Pairs and tries by frame size.
    pub sizes: BTreeMap<(u32, u32), (u64, u64)>,
}

impl Counted {
    pub(crate) fn new(sampler: &Sampler, pairs: &[PairMeta]) -> Self {
        let crops = || {
            pairs
                .iter()
                .flat_map(|pair| pair.crops.map(|crop| (pair.frame_size, crop)))
        };
        let output = sampler.config().output as f32;
        let mut levels = BTreeMap::new();
        let mut sizes = BTreeMap::<_, (u64, u64)>::new();
        for (_, crop) in crops() {
            *levels.entry(crop.level).or_default() += 1;
        }
        for pair in pairs {
            let Size { width, height } = pair.frame_size;
            let (count, tries) = sizes.entry((width, height)).or_default();
            *count += 1;
            *tries += u64::from(pair.tries);
        }
        let short =
            |crop: sampler::CropMeta| crop.crop_in_frame.width().min(crop.crop_in_frame.height());
        Self {
            frames: sampler.num_frames(),
            pairs: pairs.len() as u64,
            min_iou: sampler.config().pair.min_iou,
            fallbacks: pairs.iter().filter(|pair| pair.fell_back).count() as u64,
            tries_sum: pairs.iter().map(|pair| u64::from(pair.tries)).sum(),
            iou: Distribution::new(pairs.iter().map(|pair| f64::from(pair.iou))),
            tries: Distribution::new(pairs.iter().map(|pair| f64::from(pair.tries))),
            area: Distribution::new(
                crops().map(|(frame, crop)| crop.crop_in_frame.area() / frame.area() as f64),
            ),
            ratio: Distribution::new(crops().map(|(_, crop)| {
                f64::from(crop.crop_in_frame.width() / crop.crop_in_frame.height())
            })),
            short_side: Distribution::new(crops().map(|(_, crop)| f64::from(short(crop)))),
            levels,
            upsampled: crops().filter(|&(_, crop)| short(crop) < output).count() as u64,
            sizes,
        }
    }

    /// Share of drawn pairs of boxes that were taken.
    pub(crate) fn acceptance(&self) -> f64 {
        (self.pairs - self.fallbacks) as f64 / self.tries_sum as f64
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        let levels: serde_json::Map<_, _> = self
            .levels
            .iter()
            .map(|(level, crops)| (level.to_string(), json!(crops)))
            .collect();
        let sizes: serde_json::Map<_, _> = self
            .sizes
            .iter()
            .map(|((width, height), &(pairs, tries))| {
                let acceptance = rounded(pairs as f64 / tries as f64, 4);
                (
                    format!("{width}x{height}"),
                    json!({ "pairs": pairs, "acceptance": acceptance }),
                )
            })
            .collect();
        json!({
            "frames": self.frames,
            "pairs": self.pairs,
            "min_iou": self.min_iou,
            "acceptance": rounded(self.acceptance(), 4),
            "fallbacks": self.fallbacks,
            "iou": self.iou.to_json(),
            "tries": self.tries.to_json(),
            "area_share": self.area.to_json(),
            "aspect": self.ratio.to_json(),
            "short_side_px": self.short_side.to_json(),
            "crops_by_level": levels,
            "upsampled_crops": self.upsampled,
            "by_size": sizes,
        })
    }

    pub(crate) fn to_table(&self, args: &StatsArgs) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self
            .write_summary(&mut text, args)
            .and_then(|()| self.write_distributions(&mut text))
            .and_then(|()| self.write_levels(&mut text))
            .and_then(|()| self.write_sizes(&mut text))
            .and_then(|()| writeln!(text, "\npicture: {}", args.out.display()));
        text
    }

    fn write_summary(&self, out: &mut String, args: &StatsArgs) -> std::fmt::Result {
        let (pairs, frames) = (grouped(self.pairs), grouped(self.frames));
        writeln!(
            out,
            "{}: {pairs} pairs of {frames} frames, IoU ≥ {}",
            args.set.shards.display(),
            self.min_iou
        )?;
        writeln!(
            out,
            "{:.1} % of the boxes drawn were taken; {} pairs fell back\n",
            100.0 * self.acceptance(),
            grouped(self.fallbacks)
        )
    }

    fn write_distributions(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "{:<22}{:>9}{:>9}{:>9}{:>9}",
            "", "mean", "5 %", "median", "95 %"
        )?;
        let rows = [
            ("IoU", &self.iou, 3),
            ("tries", &self.tries, 1),
            ("area / frame", &self.area, 3),
            ("width / height", &self.ratio, 3),
            ("shorter side, pixels", &self.short_side, 0),
        ];
        for (name, of, decimals) in rows {
            let (low, middle, high) = (of.quantile(0.05), of.quantile(0.5), of.quantile(0.95));
            let mean = of.mean();
            writeln!(
                out,
                "{name:<22}{mean:>9.decimals$}{low:>9.decimals$}{middle:>9.decimals$}{high:>9.decimals$}"
            )?;
        }
        Ok(())
    }

    fn write_levels(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out)?;
        for (level, crops) in &self.levels {
            writeln!(
                out,
                "level {level} serves {:>6.2} % of the crops",
                self.crop_percent(*crops)
            )?;
        }
        if self.upsampled > 0 {
            writeln!(
                out,
                "{:.2} % of the crops are smaller than the view and enlarged",
                self.crop_percent(self.upsampled)
            )?;
        }
        Ok(())
    }

    fn write_sizes(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out)?;
        for (&(width, height), &(pairs, tries)) in self.sizes.iter().rev().take(MAX_SIZES) {
            let acceptance = 100.0 * pairs as f64 / tries as f64;
            writeln!(
                out,
                "{width} × {height}: {acceptance:.1} % taken, {} pairs",
                grouped(pairs)
            )?;
        }
        if self.sizes.len() > MAX_SIZES {
            writeln!(
                out,
                "and {} further frame sizes",
                self.sizes.len() - MAX_SIZES
            )?;
        }
        Ok(())
    }

    pub(crate) fn crop_percent(&self, crops: u64) -> f64 {
        100.0 * crops as f64 / (2 * self.pairs) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occur() {
        let of = Distribution::new([3.0, 1.0, 2.0]);
        assert_eq!([0.0, 0.5, 1.0].map(|q| of.quantile(q)), [1.0, 2.0, 3.0]);
        assert_eq!(of.mean(), 2.0);
    }
}
