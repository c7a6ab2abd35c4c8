//! What happens to a view after its crop, and the published recipes for it.

use serde::{Deserialize, Serialize};

use crate::error::{Result, check};
use crate::pixels::resize::Interpolation;

/// Probabilities and strengths of the augmentations of one view, applied in the order of the
/// fields.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ViewAugment {
    /// How the crop becomes the view.
    pub interpolation: Interpolation,
    /// Probability of a horizontal flip.
    pub flip_p: f64,
    /// Probability of colour jitter: its four operations in a random order.
    pub jitter_p: f64,
    /// Brightness factor is uniform in `1 ± brightness`.
    pub brightness: f64,
    /// Contrast factor is uniform in `1 ± contrast`.
    pub contrast: f64,
    /// Saturation factor is uniform in `1 ± saturation`.
    pub saturation: f64,
    /// Hue shift is uniform in `± hue` turns, at most 0.5.
    pub hue: f64,
    /// Probability of grayscale.
    pub grayscale_p: f64,
    /// Whether grayscale comes before the jitter, as in MoCo v1: brightness and contrast then act
    /// on the grey view.
    pub grayscale_first: bool,
    /// Probability of Gaussian blur.
    pub blur_p: f64,
    /// Standard deviation of the blur in view pixels, least and most.
    pub blur_sigma: [f64; 2],
    /// Probability of solarization at 128.
    pub solarize_p: f64,
}

impl Default for ViewAugment {
    fn default() -> Self {
        Self::BYOL
    }
}

impl ViewAugment {
    /// BYOL's first view (RECIPE 1.1).
    const BYOL: Self = Self {
        interpolation: Interpolation::Bicubic,
        flip_p: 0.5,
        jitter_p: 0.8,
        brightness: 0.4,
        contrast: 0.4,
        saturation: 0.2,
        hue: 0.1,
        grayscale_p: 0.2,
        grayscale_first: false,
        blur_p: 1.0,
        blur_sigma: [0.1, 2.0],
        solarize_p: 0.0,
    };

    /// No augmentation at all: the resized crop.
    pub const NONE: Self = Self {
        interpolation: Interpolation::Bicubic,
        flip_p: 0.0,
        jitter_p: 0.0,
        brightness: 0.0,
        contrast: 0.0,
        saturation: 0.0,
        hue: 0.0,
        grayscale_p: 0.0,
        grayscale_first: false,
        blur_p: 0.0,
        blur_sigma: [0.1, 2.0],
        solarize_p: 0.0,
    };

    /// Refuses the first value outside its range.
    pub(crate) fn validate(&self) -> Result<()> {
        let unit = |field, value| check(field, value, (0.0..=1.0).contains(&value), "0 to 1");
        unit("views.flip_p", self.flip_p)?;
        unit("views.jitter_p", self.jitter_p)?;
        unit("views.brightness", self.brightness)?;
        unit("views.contrast", self.contrast)?;
        unit("views.saturation", self.saturation)?;
        check(
            "views.hue",
            self.hue,
            (0.0..=0.5).contains(&self.hue),
            "0 to 0.5 turns",
        )?;
        unit("views.grayscale_p", self.grayscale_p)?;
        unit("views.blur_p", self.blur_p)?;
        let [least, most] = self.blur_sigma;
        let sigma_fits = 0.0 <= least && least <= most && most <= 64.0;
        check(
            "views.blur_sigma",
            format!("{:?}", self.blur_sigma),
            sigma_fits,
            "[least, most] with 0 <= least <= most <= 64",
        )?;
        unit("views.solarize_p", self.solarize_p)
    }
}

/// What MoCo's two versions have in common.
const MOCO: ViewAugment = ViewAugment {
    interpolation: Interpolation::Bilinear,
    saturation: 0.4,
    ..ViewAugment::BYOL
};

/// Published augmentation recipes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipe {
    /// BYOL's, which MultiSiam keeps (RECIPE 1.1).
    Byol,
    /// MoCo v1's: bilinear, grayscale before an unconditional jitter, no blur (RECIPE 5).
    MocoV1,
    /// MoCo v2's: bilinear, jitter, grayscale, blur, the same for both views (RECIPE 5).
    MocoV2,
}

impl Recipe {
    /// Augmentation of both views.
    pub fn views(self) -> [ViewAugment; 2] {
        match self {
            Self::Byol => {
                let first = ViewAugment::default();
                [
                    first,
                    ViewAugment {
                        blur_p: 0.1,
                        solarize_p: 0.2,
                        ..first
                    },
                ]
            }
            Self::MocoV1 => {
                [ViewAugment {
                    grayscale_first: true,
                    jitter_p: 1.0,
                    hue: 0.4,
                    blur_p: 0.0,
                    ..MOCO
                }; 2]
            }
            Self::MocoV2 => {
                [ViewAugment {
                    blur_p: 0.5,
                    ..MOCO
                }; 2]
            }
        }
    }

    /// Least and most area of a crop as a share of the frame.
    pub fn area(self) -> [f64; 2] {
        match self {
            Self::Byol => [0.08, 1.0],
            Self::MocoV1 | Self::MocoV2 => [0.2, 1.0],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{PairConfig, SamplerConfig};

    #[test]
    fn all_recipes_are_valid() {
        for recipe in [Recipe::Byol, Recipe::MocoV1, Recipe::MocoV2] {
            let pair = PairConfig {
                area: recipe.area(),
                ..PairConfig::default()
            };
            SamplerConfig {
                views: recipe.views(),
                pair,
                ..SamplerConfig::default()
            }
            .validate()
            .unwrap();
        }
    }

    /// The table of RECIPE 5.
    #[test]
    fn moco_differs_from_byol_as_published() {
        for (recipe, jitter_p, hue, grayscale_first, blur_p) in [
            (Recipe::MocoV1, 1.0, 0.4, true, 0.0),
            (Recipe::MocoV2, 0.8, 0.1, false, 0.5),
        ] {
            let [first, second] = recipe.views();
            assert_eq!(first, second);
            assert_eq!(
                (first.jitter_p, first.hue, first.blur_p),
                (jitter_p, hue, blur_p)
            );
            assert_eq!(
                (first.brightness, first.contrast, first.saturation),
                (0.4, 0.4, 0.4)
            );
            assert_eq!(
                (first.grayscale_p, first.grayscale_first, first.solarize_p),
                (0.2, grayscale_first, 0.0)
            );
            assert_eq!(
                (first.interpolation, recipe.area()),
                (Interpolation::Bilinear, [0.2, 1.0])
            );
        }
    }
}
