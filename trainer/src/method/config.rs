//! `[method]`: which loss, with every switch of the paper's ablations.
//!
//! Defaults are the final model of the paper (Table 4, "+ offset align") and, where the paper is
//! silent, the choice that RECIPE 3 argues for. [`MethodConfig::check`] refuses nonsense before
//! anything is built.

use anyhow::{Result, ensure};
use model::align::{CoordMode, OffsetUnit, Ruler, Sampling};
use model::attention::Attention;
use model::cluster::{Centroid, Draw, Empty, KMeans, Metric, Seeds};
use serde::{Deserialize, Serialize};

/// Which method is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MethodName {
    /// MultiSiam on BYOL: image branch and clustered 2D branch.
    Multisiam,
    /// MultiSiam on MoCo (Appendix B.2): the image branch contrasts with a queue.
    MultisiamMoco,
    /// BYOL: the image branch alone.
    Byol,
    /// MoCo v1: a linear head and a queue.
    Moco,
    /// MoCo v2: as v1 with a head of two layers.
    Mocov2,
}

impl MethodName {
    /// As papers write it.
    pub fn title(self) -> &'static str {
        match self {
            MethodName::Multisiam => "MultiSiam",
            MethodName::MultisiamMoco => "MultiSiam (MoCo)",
            MethodName::Byol => "BYOL",
            MethodName::Moco => "MoCo",
            MethodName::Mocov2 => "MoCo v2",
        }
    }

    /// Whether it has a 2D branch.
    pub fn has_cells(self) -> bool {
        matches!(self, MethodName::Multisiam | MethodName::MultisiamMoco)
    }

    /// Whether it contrasts with a queue of keys.
    pub fn has_queue(self) -> bool {
        matches!(
            self,
            MethodName::MultisiamMoco | MethodName::Moco | MethodName::Mocov2
        )
    }
}

/// How cells of the two views are brought together (paper, section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Align {
    /// Not at all (flips are still undone).
    None,
    /// Both maps resampled on the overlap.
    Roi,
    /// The online map gets two channels that say where its partner is.
    Offset,
}

/// What the similarity of equation 9 compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttentionInput {
    /// R, with the offset channels: equation 9 to the letter.
    Aligned,
    /// The projected map without them.
    Projected,
}

/// What a cell's prediction is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The centroid of its partner's cluster (equation 10).
    Centroid,
    /// Every cell of its partner's cluster (Table 3b, "dense").
    Dense,
    /// Its partner itself ("without K-means", Appendix B.1).
    Pixel,
}

/// How the two directions are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Symmetric {
    /// Their sum (BYOL, OpenSelfSup).
    Sum,
    /// Their mean.
    Mean,
    /// The first view predicts the second, and that is all (MoCo): half the passes.
    OneWay,
}

impl Symmetric {
    /// How many of the two directions are computed.
    pub(super) fn directions(self) -> usize {
        match self {
            Symmetric::Sum | Symmetric::Mean => 2,
            Symmetric::OneWay => 1,
        }
    }

    /// Factor of each direction in the total.
    pub(super) fn factor(self) -> f64 {
        match self {
            Symmetric::Sum | Symmetric::OneWay => 1.0,
            Symmetric::Mean => 0.5,
        }
    }
}

/// The projector of a contrastive branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MocoHead {
    /// MoCo v1: one linear layer.
    Linear,
    /// MoCo v2: linear, ReLU, linear; the hidden layer is as wide as the backbone's map.
    Mlp,
}

/// The loss and its switches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MethodConfig {
    /// `multisiam`, `multisiam-moco`, `byol`, `moco` or `mocov2`. Keys that a method does not speak
    /// of have no effect on it.
    pub name: MethodName,
    /// Alignment of the 2D branch.
    pub align: Align,
    /// What offsets are divided by: `view` (equation 5), or the "nonorm" ablation as `pixel`
    /// (nothing) or `image`.
    pub offset_unit: OffsetUnit,
    /// Where in its cell a cell's coordinate lies.
    pub coord_mode: CoordMode,
    /// Sample points per RoI bin and axis.
    pub roi_sampling: i64,
    /// RoI Align with half-pixel alignment.
    pub roi_aligned: bool,
    /// One projector for both branches of `multisiam`, a 1×1 filter of the same weights on maps;
    /// else each has its own.
    pub share_projector: bool,
    /// Self-attention behind the predictor (equations 8, 9).
    pub attention: bool,
    /// Exponent of the similarity.
    pub attn_gamma: f64,
    /// Lower bound of the cosine in the similarity.
    pub attn_clamp: f64,
    /// What the similarity compares.
    pub attn_input: AttentionInput,
    /// L2-normalise values before attention sums them (PixPro).
    pub attn_normalize_value: bool,
    /// What predictions are compared with.
    pub target: Target,
    /// Clusters per image.
    pub k: i64,
    /// Lloyd iterations.
    pub km_iters: i64,
    /// Seeds of the clusters.
    pub km_init: Seeds,
    /// Distance of the clustering.
    pub km_metric: Metric,
    /// Centroids of the clustering.
    pub km_centroid: Centroid,
    /// What becomes of empty clusters.
    pub km_empty: Empty,
    /// λ of equation 11: weight of the image branch; the 2D branch has 1 − λ.
    pub lambda: f64,
    /// How the two directions are joined.
    pub symmetric: Symmetric,
    /// Factor of every −cos: 2 as in OpenSelfSup and BYOL (2 − 2 cos but for a constant), 1 as
    /// printed in the paper.
    pub cos_scale: f64,
    /// MoCo: keys in the queue, two batches or more.
    pub queue: i64,
    /// MoCo: T, which similarities are divided by. v1: 0.07; v2: 0.2.
    pub temperature: f64,
    /// MoCo: width of queries and keys.
    pub moco_dim: i64,
    /// Contrastive head of `multisiam-moco`, `linear` or `mlp`; `moco` has the one, `mocov2` the
    /// other.
    pub moco_head: MocoHead,
}

impl Default for MethodConfig {
    fn default() -> Self {
        MethodConfig {
            name: MethodName::Multisiam,
            align: Align::Offset,
            offset_unit: OffsetUnit::View,
            coord_mode: CoordMode::Center,
            roi_sampling: 1,
            roi_aligned: true,
            share_projector: false,
            attention: true,
            attn_gamma: 2.0,
            attn_clamp: 0.0,
            attn_input: AttentionInput::Aligned,
            attn_normalize_value: false,
            target: Target::Centroid,
            k: 3,
            km_iters: 10,
            km_init: Seeds::Farthest,
            km_metric: Metric::Cosine,
            km_centroid: Centroid::Raw,
            km_empty: Empty::Keep,
            lambda: 0.5,
            symmetric: Symmetric::Sum,
            cos_scale: 2.0,
            queue: 65_536,
            temperature: 0.2,
            moco_dim: 128,
            moco_head: MocoHead::Mlp,
        }
    }
}

impl MethodConfig {
    /// Refuses values with which no loss is defined, naming key, value and what is allowed.
    pub fn check(&self) -> Result<()> {
        let range = |key: &str, value: f64, low: f64, high: f64| {
            ensure!(
                (low..=high).contains(&value),
                "method.{key} is {value}; it can be {low} to {high}"
            );
            Ok(())
        };
        range("k", self.k as f64, 1.0, 64.0)?;
        range("km_iters", self.km_iters as f64, 1.0, 1000.0)?;
        range("roi_sampling", self.roi_sampling as f64, 1.0, 8.0)?;
        range("attn_gamma", self.attn_gamma, 1.0, 16.0)?;
        range("attn_clamp", self.attn_clamp, 0.0, 1.0)?;
        range("lambda", self.lambda, 0.0, 1.0)?;
        range("cos_scale", self.cos_scale, 1e-3, 1e3)?;
        range("queue", self.queue as f64, 1.0, 16_777_216.0)?;
        range("temperature", self.temperature, 1e-3, 1e3)?;
        range("moco_dim", self.moco_dim as f64, 1.0, 65_536.0)?;
        ensure!(
            !self.share_projector || self.name == MethodName::Multisiam,
            "method.share_projector goes with method.name = \"multisiam\": no other has two projectors of one shape"
        );
        Ok(())
    }

    /// Refuses a queue that a step would overrun: both views' keys of a batch, that of all `ranks`
    /// together, go in.
    pub fn check_batch(&self, batch: i64, ranks: i64) -> Result<()> {
        let keys = 2 * batch * ranks;
        ensure!(
            !self.name.has_queue() || self.queue >= keys,
            "method.queue is {}; with data.batch = {batch}{} it can be {keys} or more",
            self.queue,
            match ranks {
                1 => String::new(),
                _ => format!(" on each of {ranks} ranks"),
            }
        );
        Ok(())
    }

    /// Refuses views whose maps have too few cells: K clusters need K cells, normalised offsets two
    /// cells per side.
    pub(crate) fn check_cells(&self, cells_per_side: i64) -> Result<()> {
        if !self.name.has_cells() {
            return Ok(());
        }
        let cells = cells_per_side * cells_per_side;
        ensure!(
            self.target == Target::Pixel || self.k <= cells,
            "method.k is {}, but a map has {cells_per_side} x {cells_per_side} cells: larger views, or model.layer4_stride = 1",
            self.k
        );
        ensure!(
            self.align != Align::Offset
                || self.offset_unit != OffsetUnit::View
                || cells_per_side > 1,
            "offsets in units of the view need maps of 2 x 2 cells or more: larger views, or model.layer4_stride = 1"
        );
        Ok(())
    }

    /// The clustering's knobs.
    pub fn kmeans(&self) -> KMeans {
        KMeans {
            k: self.k,
            iters: self.km_iters,
            metric: self.km_metric,
            seeds: self.km_init,
            draw: Draw::default(),
            centroid: self.km_centroid,
            empty: self.km_empty,
        }
    }

    /// The attention's knobs.
    pub(crate) fn attention_knobs(&self) -> Attention {
        Attention {
            gamma: self.attn_gamma,
            clamp: self.attn_clamp,
            normalize_value: self.attn_normalize_value,
        }
    }

    /// RoI Align's knobs.
    pub fn sampling(&self) -> Sampling {
        Sampling {
            points: self.roi_sampling,
            aligned: self.roi_aligned,
        }
    }

    /// How offsets are measured.
    pub fn ruler(&self) -> Ruler {
        Ruler {
            unit: self.offset_unit,
            mode: self.coord_mode,
        }
    }

    /// The projector of the contrastive branch.
    pub(crate) fn contrastive_head(&self) -> MocoHead {
        match self.name {
            MethodName::Moco => MocoHead::Linear,
            MethodName::Mocov2 => MocoHead::Mlp,
            MethodName::MultisiamMoco | MethodName::Multisiam | MethodName::Byol => self.moco_head,
        }
    }

    /// Channels that alignment adds to the 2D predictor's input.
    pub(crate) fn extra_channels(&self) -> i64 {
        match self.align {
            Align::Offset => 2,
            Align::None | Align::Roi => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_and_keys_are_refused_with_the_choices() {
        let error = serde_json::from_str::<MethodConfig>(r#"{"name": "swav"}"#)
            .unwrap_err()
            .to_string();
        for name in [
            "swav",
            "`multisiam`",
            "`multisiam-moco`",
            "`byol`",
            "`moco`",
            "`mocov2`",
        ] {
            assert!(error.contains(name), "{name} in {error}");
        }
        let error = serde_json::from_str::<MethodConfig>(r#"{"clusters": 3}"#)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("clusters") && error.contains("`k`"),
            "{error}"
        );
    }

    #[test]
    fn defaults_pass_and_nonsense_is_named() {
        let config = MethodConfig::default();
        config.check().unwrap();
        config.check_cells(7).unwrap();
        assert!(
            config
                .check_cells(1)
                .unwrap_err()
                .to_string()
                .contains("method.k is 3")
        );
        let many = |k| MethodConfig {
            k,
            ..MethodConfig::default()
        };
        many(49).check_cells(7).unwrap();
        many(50).check_cells(7).unwrap_err();
        let bad = MethodConfig {
            lambda: f64::NAN,
            ..config
        };
        assert!(
            bad.check()
                .unwrap_err()
                .to_string()
                .contains("method.lambda is NaN")
        );
        let shared = MethodConfig {
            name: MethodName::Byol,
            share_projector: true,
            ..MethodConfig::default()
        };
        assert!(
            shared
                .check()
                .unwrap_err()
                .to_string()
                .contains("method.share_projector")
        );
    }

    #[test]
    fn a_queue_holds_two_batches() {
        let config = MethodConfig {
            name: MethodName::Moco,
            queue: 511,
            ..MethodConfig::default()
        };
        config.check_batch(255, 1).unwrap();
        config.check_batch(85, 3).unwrap();
        config.check_batch(86, 3).unwrap_err();
        assert!(
            config
                .check_batch(256, 1)
                .unwrap_err()
                .to_string()
                .contains("it can be 512 or more")
        );
        MethodConfig {
            name: MethodName::Byol,
            ..config
        }
        .check_batch(256, 1)
        .unwrap();
    }
}
