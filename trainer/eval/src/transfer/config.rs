//! The recipe of a fine-tuning, as data. The defaults are those for Cityscapes, after the appendix
//! of the MoCo paper, which the paper follows; some values are second-hand (RECIPE 6).

use std::ops::Range;

use anyhow::Result;
use console::layers::{self, Override};
use console::usage;
use model::device::Precision;
use native::Ranks;
use serde::{Deserialize, Serialize};

/// The recipes inside the binary: name and text.
pub const BUILT_IN: &[(&str, &str)] = &[
    (
        "cityscapes",
        include_str!("../../../../configs/transfer/cityscapes.toml"),
    ),
    (
        "bdd100k",
        include_str!("../../../../configs/transfer/bdd100k.toml"),
    ),
    (
        "small",
        include_str!("../../../../configs/transfer/small.toml"),
    ),
];

/// How a segmentation network is fine-tuned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TransferConfig {
    /// Names the head's initial weights, the order and the crops.
    pub seed: u64,
    /// Steps of SGD.
    pub iterations: u64,
    /// Crops in a step, over all ranks.
    pub batch: u64,
    /// Side of a crop in pixels.
    pub crop_px: u32,
    /// Least and largest factor by which an image is scaled before it is cropped.
    pub scale: [f64; 2],
    /// Learning rate of every tensor.
    pub lr: f64,
    /// The rate falls to a tenth after each of these shares of the iterations.
    pub milestones: Vec<f64>,
    /// Momentum of SGD.
    pub momentum: f64,
    /// Weight decay, on every tensor.
    pub weight_decay: f64,
    /// Channels of the head.
    pub channels: i64,
    /// Dilation of the head's 3×3 filters.
    pub dilation: i64,
    /// `fp32`, `tf32`, `bf16` or `auto`: bf16 on CUDA, else fp32.
    pub precision: Precision,
    /// On a GPU, batch norms and what follows them as one operation; false: libtorch's own.
    pub fused_kernels: bool,
    /// Iterations between two rows of `metrics.jsonl`.
    pub log_every: u64,
    /// Iterations between two checkpoints.
    pub checkpoint_every: u64,
}

impl Default for TransferConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            iterations: 90_000,
            batch: 16,
            crop_px: 769,
            scale: [0.5, 2.0],
            lr: 0.01,
            milestones: vec![0.7, 0.9],
            momentum: 0.9,
            weight_decay: 1e-4,
            channels: 256,
            dilation: 6,
            precision: Precision::Auto,
            fused_kernels: true,
            log_every: 50,
            checkpoint_every: 2000,
        }
    }
}

/// Finds a recipe by file or name and lays `overrides` over it.
///
/// # Errors
/// One line that names the key.
pub fn resolve(name: &str, overrides: &[Override]) -> Result<TransferConfig> {
    let config: TransferConfig = layers::layer(&layers::find(BUILT_IN, name)?, overrides)?;
    config.check()?;
    Ok(config)
}

impl TransferConfig {
    fn check(&self) -> Result<()> {
        let least = |key: &str, value: u64, least: u64| match value >= least {
            true => Ok(()),
            false => Err(usage(format!(
                "{key} is {value}; it can be {least} or more"
            ))),
        };
        least("iterations", self.iterations, 1)?;
        // Batch norm needs more than one value a channel.
        least("batch", self.batch, 2)?;
        least("crop_px", self.crop_px.into(), 32)?;
        least("log_every", self.log_every, 1)?;
        least("checkpoint_every", self.checkpoint_every, 1)?;
        least("channels", self.channels.try_into().unwrap_or(0), 1)?;
        least("dilation", self.dilation.try_into().unwrap_or(0), 1)?;
        let [low, high] = self.scale;
        if !(low > 0.0 && low <= high && high <= 16.0) {
            return Err(usage(format!(
                "scale is [{low}, {high}]; it can be two factors above 0, the smaller first"
            )));
        }
        if self
            .milestones
            .iter()
            .any(|share| !(0.0..=1.0).contains(share))
        {
            return Err(usage(
                "milestones are shares of the iterations, between 0 and 1",
            ));
        }
        Ok(())
    }

    /// Which of the crops of a step are this rank's.
    ///
    /// # Errors
    /// If the ranks cannot have equal shares.
    pub(crate) fn share(&self, ranks: &Ranks) -> Result<Range<u64>> {
        let (rank, size) = (ranks.rank() as u64, ranks.size() as u64);
        let len = self.batch / size;
        match self.batch.is_multiple_of(size) {
            true => Ok(rank * len..(rank + 1) * len),
            false => Err(usage(format!(
                "batch is {}; {size} ranks share it, so it can be a multiple of {size}",
                self.batch
            ))),
        }
    }

    /// The learning rate of an iteration, counted from 0.
    pub(crate) fn lr_at(&self, iteration: u64) -> f64 {
        let passed = |share: &&f64| iteration as f64 >= **share * self.iterations as f64;
        self.lr * 0.1f64.powi(self.milestones.iter().filter(passed).count() as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use console::layers::parse_override;

    #[test]
    fn every_recipe_resolves_and_cityscapes_is_the_published_one() {
        for (name, text) in BUILT_IN {
            resolve(name, &[]).unwrap();
            assert!(layers::summary(text).len() > 20, "{name}");
        }
        let config = resolve("cityscapes", &[]).unwrap();
        assert_eq!(config, TransferConfig::default());
        let rates = [0, 62_999, 63_000, 80_999, 81_000]
            .map(|iteration| (config.lr_at(iteration) * 1e6).round());
        assert_eq!(rates, [10_000.0, 10_000.0, 1000.0, 1000.0, 100.0]);
    }

    #[test]
    fn nonsense_is_refused_by_key() {
        for bad in [
            "batch=1",
            "crop_px=8",
            "scale=[2.0,1.0]",
            "milestones=[2.0]",
            "dilation=0",
            "iteration=4",
        ] {
            let key = bad.split('=').next().unwrap();
            let line = resolve("small", &[parse_override(bad).unwrap()])
                .unwrap_err()
                .to_string();
            assert!(line.contains(key), "{line}");
        }
    }

    #[test]
    fn ranks_have_equal_shares_of_a_batch_or_are_refused() {
        let config = TransferConfig::default();
        let shares = Ranks::in_threads(4, |ranks| config.share(ranks).unwrap());
        assert_eq!(shares, [0..4, 4..8, 8..12, 12..16]);
        assert_eq!(config.share(&Ranks::alone()).unwrap(), 0..16);
        let lines = Ranks::in_threads(3, |ranks| config.share(ranks).unwrap_err().to_string());
        assert!(lines[0].contains("batch is 16; 3 ranks"), "{lines:?}");
    }
}
