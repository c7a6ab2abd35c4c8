//! `[model]`: backbone and heads, as data.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::arch::Arch;

/// Backbone and heads of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// `resnet18`, `resnet34`, `resnet50` (the paper), `resnet101`, `resnet152`, `wide_resnet50_2` or
    /// `wide_resnet101_2`.
    pub arch: Arch,
    /// Stride of stage 3: 2, or 1 to keep twice the cells per side.
    pub layer3_stride: i64,
    /// Stride of stage 4: 2 (224 px give 7×7 cells), or 1 for small views.
    pub layer4_stride: i64,
    /// Start each residual block as the identity: γ = 0 in its last batch norm. OpenSelfSup: off.
    pub zero_init_residual: bool,
    /// Parts of a batch, that of all ranks together, which the backbone's batch norms normalise on
    /// their own, as that many GPUs would: MoCo's keys are shuffled between them (shuffle-BN; MoCo: 8).
    /// 1 is the whole batch, as with SyncBN.
    pub bn_splits: i64,
    /// Batch norms over the batches of all ranks (SyncBN; paper, section 4.1). false: every rank
    /// normalises its own, and running statistics are averaged.
    pub sync_bn: bool,
    /// Hidden width of projectors and predictors. BYOL: 4096.
    pub hidden: i64,
    /// Width of their outputs. BYOL: 256.
    pub dim: i64,
    /// How the heads' weights start.
    pub head_init: HeadInit,
}

/// How the heads' weights start (RECIPE 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeadInit {
    /// Projectors Kaiming normal (fan-in), predictors N(0, 0.01²), biases 0; in both branches.
    OpenSelfSup,
    /// PyTorch's layer default, U(±1/√fan_in), as PixPro leaves it.
    Pytorch,
}

impl Default for ModelConfig {
    /// The paper's model, section 4.1: a standard ResNet-50 with BYOL's heads.
    fn default() -> Self {
        ModelConfig {
            arch: Arch::Resnet50,
            layer3_stride: 2,
            layer4_stride: 2,
            zero_init_residual: false,
            bn_splits: 1,
            sync_bn: true,
            hidden: 4096,
            dim: 256,
            head_init: HeadInit::OpenSelfSup,
        }
    }
}

impl ModelConfig {
    /// Refuses values that no model can be built from, naming key and value.
    pub fn check(&self) -> Result<()> {
        for (key, stride) in [
            ("layer3_stride", self.layer3_stride),
            ("layer4_stride", self.layer4_stride),
        ] {
            ensure!(
                [1, 2].contains(&stride),
                "model.{key} is {stride}; it can be 1 or 2"
            );
        }
        ensure!(
            (1..=1024).contains(&self.bn_splits),
            "model.bn_splits is {}; it can be 1 (the whole batch) to 1024",
            self.bn_splits
        );
        for (key, width) in [("hidden", self.hidden), ("dim", self.dim)] {
            ensure!(
                (1..=65_536).contains(&width),
                "model.{key} is {width}; it can be 1 to 65536"
            );
        }
        Ok(())
    }

    /// Refuses batches that do not fall into equal parts of two or more: `batch` samples on each of
    /// `ranks` ranks.
    pub fn check_batch(&self, batch: i64, ranks: i64) -> Result<()> {
        let (splits, all) = (self.norm_parts(ranks), batch * ranks);
        ensure!(
            splits % ranks == 0 || ranks % splits == 0,
            "model.bn_splits is {}, and there are {ranks} ranks; one of the two has to be a multiple of the other",
            self.bn_splits
        );
        ensure!(
            splits == 1 || (all % splits == 0 && all >= 2 * splits),
            "model.bn_splits is {}, but {} does not fall into {splits} equal parts of 2 or more",
            self.bn_splits,
            match ranks {
                1 => format!("data.batch = {batch}"),
                _ => format!("data.batch = {batch} on each of {ranks} ranks"),
            }
        );
        Ok(())
    }

    /// Parts of the batch of all `ranks` that the backbone's batch norms normalise on their own.
    pub fn norm_parts(&self, ranks: i64) -> i64 {
        match self.sync_bn {
            true => self.bn_splits,
            false => self.bn_splits.max(ranks),
        }
    }

    /// Pixels of a view per cell of the backbone's map, along one side: 32, 16 or 8.
    pub fn cell_px(&self) -> i64 {
        8 * self.layer3_stride * self.layer4_stride
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_no_model_can_be_built_from_are_refused_by_key_and_value() {
        type Change = fn(&mut ModelConfig);
        let cases: [(Change, &str); 7] = [
            (|c| c.layer3_stride = 3, "model.layer3_stride is 3"),
            (|c| c.layer4_stride = 0, "model.layer4_stride is 0"),
            (|c| c.bn_splits = 0, "model.bn_splits is 0"),
            (|c| c.bn_splits = 1025, "model.bn_splits is 1025"),
            (|c| c.hidden = 0, "model.hidden is 0"),
            (|c| c.hidden = 65_537, "model.hidden is 65537"),
            (|c| c.dim = 0, "model.dim is 0"),
        ];
        ModelConfig::default().check().unwrap();
        for (change, words) in cases {
            let mut config = ModelConfig::default();
            change(&mut config);
            let line = config.check().unwrap_err().to_string();
            assert!(line.contains(words), "{line}");
        }
    }

    #[test]
    fn a_batch_falls_into_equal_parts_of_two_or_more() {
        let config = |bn_splits| ModelConfig {
            bn_splits,
            ..ModelConfig::default()
        };
        for (splits, good) in [(1, 1), (1, 7), (4, 8), (4, 12)] {
            config(splits).check_batch(good, 1).unwrap();
        }
        for (splits, batch, ranks) in [(1, 1, 4), (4, 2, 4), (8, 4, 4), (2, 1, 4)] {
            config(splits).check_batch(batch, ranks).unwrap();
        }
        for (splits, bad) in [(4, 4), (4, 10), (8, 12), (2, 3)] {
            let line = config(splits).check_batch(bad, 1).unwrap_err().to_string();
            assert!(line.contains(&format!("data.batch = {bad}")), "{line}");
        }
        let line = config(3).check_batch(6, 2).unwrap_err().to_string();
        assert!(line.contains("there are 2 ranks"), "{line}");
        let line = config(4).check_batch(1, 4).unwrap_err().to_string();
        assert!(line.contains("data.batch = 1 on each of 4 ranks"), "{line}");
    }

    #[test]
    fn without_syncbn_every_rank_is_a_part() {
        let config = |bn_splits, sync_bn| ModelConfig {
            bn_splits,
            sync_bn,
            ..ModelConfig::default()
        };
        assert_eq!(config(1, true).norm_parts(8), 1);
        assert_eq!(config(1, false).norm_parts(8), 8);
        assert_eq!(config(16, false).norm_parts(8), 16);
        config(1, false).check_batch(2, 8).unwrap();
        config(1, false).check_batch(1, 8).unwrap_err();
    }

    #[test]
    fn cells_are_as_far_apart_as_all_strides_together() {
        for (layer3_stride, layer4_stride, px) in [(2, 2, 32), (2, 1, 16), (1, 2, 16), (1, 1, 8)] {
            let config = ModelConfig {
                layer3_stride,
                layer4_stride,
                ..ModelConfig::default()
            };
            assert_eq!(config.cell_px(), px);
        }
    }
}
