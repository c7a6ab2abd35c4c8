//! Everything that decides what a batch contains and how it is made.
//!
//! `Default` is the paper's recipe (MultiSiam section 3.2 and BYOL's augmentation, RECIPE 1.1 and
//! 2). A config is plain data; [`SamplerConfig::validate`] is the one gate, and
//! [`Sampler::open`](crate::Sampler::open) calls it.

use serde::{Deserialize, Serialize};

use crate::error::{Result, check};
use crate::frames::fetch::Reading;
use crate::pipeline::slab::Pin;
use crate::random::order::OrderKind;
use crate::recipe::{Recipe, ViewAugment};
use crate::stages::Clock;

/// Settings of a sampler.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SamplerConfig {
    /// Seed of all random draws: the same seed, the same pairs.
    pub seed: u64,
    /// Pairs in a batch (of this rank).
    pub batch: usize,
    /// Batches in flight: being filled, waiting, or held by the consumer.
    pub depth: usize,
    /// Worker threads; 0 = one for every core this process may use, or for its part of the cores if
    /// its launcher has started several on this machine ([`host::shared_threads`]).
    pub threads: usize,
    /// How the two boxes are drawn.
    pub pair: PairConfig,
    /// Side of a view in pixels.
    pub output: u32,
    /// Augmentation of the first and of the second view.
    pub views: [ViewAugment; 2],
    /// Always decode level 0 instead of the coarsest level that suffices.
    pub exact: bool,
    /// How an epoch runs through the set.
    pub order: OrderKind,
    /// How the bytes of a frame come into memory.
    pub reading: Reading,
    /// What the pixels of a batch are.
    pub pixels: PixelFormat,
    /// This process among `world`.
    pub rank: u32,
    /// Number of processes that share each epoch.
    pub world: u32,
    /// SQL expression over the catalog: which frames there are.
    pub filter: Option<String>,
    /// Whether batches lie in page-locked memory.
    pub pin: Pin,
    /// Share of drawn frames that may turn out broken (and be replaced) before the run stops. The
    /// first 8 are free.
    pub max_broken: f64,
    /// Whether workers measure their stages.
    #[serde(skip)]
    pub clock: Clock,
}

/// Broken frames that never stop a run, however few frames it has drawn.
pub(crate) const BROKEN_GRACE: u64 = 8;

impl Default for SamplerConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            batch: 128, // 1024 over 8 devices (paper, section 4.1)
            depth: 4,
            threads: 0,
            pair: PairConfig::default(),
            output: 224,
            views: Recipe::Byol.views(),
            exact: false,
            order: OrderKind::Full,
            reading: Reading::default(),
            pixels: PixelFormat::Bytes,
            rank: 0,
            world: 1,
            filter: None,
            pin: Pin::Never,
            max_broken: 0.01,
            clock: Clock::Off,
        }
    }
}

/// How a crop pair is drawn: two RandomResizedCrops, redrawn together until they overlap enough.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PairConfig {
    /// Least intersection over union, in `0..1`; 0 takes any pair (BYOL, MoCo).
    pub min_iou: f32,
    /// Pairs drawn before the best one seen is kept.
    pub max_tries: u32,
    /// Area of a crop as a share of the frame, least and most.
    pub area: [f64; 2],
    /// Width over height, least and most; drawn log-uniformly.
    pub ratio: [f64; 2],
}

impl Default for PairConfig {
    fn default() -> Self {
        Self {
            min_iou: 0.5,
            max_tries: 100,
            area: [0.08, 1.0],
            ratio: [3.0 / 4.0, 4.0 / 3.0],
        }
    }
}

impl SamplerConfig {
    /// Refuses what cannot work, naming the field and what it may be.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for the first field outside its range.
    pub fn validate(&self) -> Result<()> {
        check(
            "batch",
            self.batch,
            (1..=65_536).contains(&self.batch),
            "1 to 65536",
        )?;
        check(
            "depth",
            self.depth,
            (1..=256).contains(&self.depth),
            "1 to 256",
        )?;
        check(
            "threads",
            self.threads,
            self.threads <= 1024,
            "0 (all cores, or this process's part of them) to 1024",
        )?;
        check(
            "output",
            self.output,
            (8..=2048).contains(&self.output),
            "8 to 2048 pixels",
        )?;
        check("world", self.world, self.world >= 1, "at least 1")?;
        check("rank", self.rank, self.rank < self.world, "below `world`")?;
        check(
            "max_broken",
            self.max_broken,
            (0.0..=1.0).contains(&self.max_broken),
            "0 to 1",
        )?;
        self.pair.validate()?;
        self.views.iter().try_for_each(ViewAugment::validate)
    }

    /// Worker threads to start.
    pub(crate) fn num_threads(&self) -> usize {
        host::shared_threads(self.threads)
    }
}

impl PairConfig {
    fn validate(&self) -> Result<()> {
        let [least, most] = self.area;
        check(
            "pair.min_iou",
            self.min_iou,
            (0.0..1.0).contains(&self.min_iou),
            "0 (any pair) to below 1",
        )?;
        check(
            "pair.max_tries",
            self.max_tries,
            (1..=60_000).contains(&self.max_tries),
            "1 to 60000",
        )?;
        let area_fits = 0.0 < least && least <= most && most <= 1.0;
        check(
            "pair.area",
            format!("{:?}", self.area),
            area_fits,
            "[least, most] with 0 < least <= most <= 1",
        )?;
        let [narrow, wide] = self.ratio;
        let ratio_fits = 0.0 < narrow && narrow <= wide && wide.is_finite();
        check(
            "pair.ratio",
            format!("{:?}", self.ratio),
            ratio_fits,
            "[least, most] with 0 < least <= most",
        )
    }
}

/// What the pixels of a batch are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PixelFormat {
    /// RGB bytes, `[n, side, side, 3]`: a quarter of the size, for consumers whose device
    /// normalises.
    #[default]
    Bytes,
    /// Normalised `f32`, `[n, 3, side, side]`: for consumers that want what torchvision's pipeline
    /// ends with.
    Floats,
}

impl PixelFormat {
    /// Bytes of one value.
    pub(crate) const fn value_bytes(self) -> usize {
        match self {
            Self::Bytes => 1,
            Self::Floats => 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_survive_serde() {
        let config = SamplerConfig::default();
        config.validate().unwrap();
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(
            serde_json::from_str::<SamplerConfig>(&text).unwrap(),
            config
        );
        assert!(serde_json::from_str::<SamplerConfig>(r#"{"seeds": 1}"#).is_err());
    }

    #[test]
    fn errors_name_the_field_and_its_range() {
        let base = SamplerConfig::default();
        let pair = |pair| SamplerConfig {
            pair,
            ..base.clone()
        };
        let view = |view| SamplerConfig {
            views: [ViewAugment::default(), view],
            ..base.clone()
        };
        let cases = [
            (
                "batch",
                SamplerConfig {
                    batch: 0,
                    ..base.clone()
                },
            ),
            (
                "depth",
                SamplerConfig {
                    depth: 0,
                    ..base.clone()
                },
            ),
            (
                "output",
                SamplerConfig {
                    output: 4,
                    ..base.clone()
                },
            ),
            (
                "rank",
                SamplerConfig {
                    rank: 2,
                    world: 2,
                    ..base.clone()
                },
            ),
            (
                "max_broken",
                SamplerConfig {
                    max_broken: f64::NAN,
                    ..base.clone()
                },
            ),
            (
                "pair.min_iou",
                pair(PairConfig {
                    min_iou: 1.0,
                    ..base.pair
                }),
            ),
            (
                "pair.min_iou",
                pair(PairConfig {
                    min_iou: f32::NAN,
                    ..base.pair
                }),
            ),
            (
                "pair.area",
                pair(PairConfig {
                    area: [0.5, 0.2],
                    ..base.pair
                }),
            ),
            (
                "pair.ratio",
                pair(PairConfig {
                    ratio: [0.0, 1.0],
                    ..base.pair
                }),
            ),
            (
                "views.hue",
                view(ViewAugment {
                    hue: 0.6,
                    ..ViewAugment::default()
                }),
            ),
            (
                "views.blur_sigma",
                view(ViewAugment {
                    blur_sigma: [2.0, 1.0],
                    ..ViewAugment::default()
                }),
            ),
        ];
        for (field, config) in cases {
            let message = config.validate().expect_err(field).to_string();
            assert!(
                message.contains(&format!("`{field}`")) && message.contains("must be"),
                "{message}"
            );
        }
    }
}
