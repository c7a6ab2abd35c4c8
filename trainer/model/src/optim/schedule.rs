//! Learning rate and EMA coefficient as functions of the optimizer step, counted from 0 (RECIPE 4).
//!
//! Pure arithmetic, with `libm`'s cosine: the same on any machine.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// Rate at the start of OpenSelfSup's warm-up, as a part of the regular one.
const OPENSELFSUP_WARMUP_RATIO: f64 = 1e-4;
/// PixPro's warm-up starts at the peak over this.
const PIXPRO_WARMUP_DIVISOR: f64 = 100.0;
/// PixPro's cosine ends here.
const PIXPRO_FLOOR: f64 = 1e-6;

/// Shape of the learning rate over time; all warm up linearly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LrShape {
    /// From 0 to the peak, then a cosine over the remaining steps to 0.
    Byol,
    /// A cosine over all epochs, constant within an epoch of the loader; warm-up multiplies it, from
    /// 1e-4.
    OpenSelfSup,
    /// From a hundredth of the peak, then a cosine over the remaining steps to 1e-6.
    Pixpro,
    /// From 0 to the peak, then stairs: a tenth after each of the drops (MoCo v1).
    Step,
}

/// Shape of the EMA coefficient over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TauShape {
    /// Rises to 1 along a cosine: [`tau`].
    Cosine,
    /// Stays as it is.
    Constant,
}

/// A run's epochs, as the loader counts them: in batches, of which a step takes several.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epochs {
    /// Batches in an epoch; at least 1.
    pub batches: u64,
    /// Batches in an optimizer step; at least 1.
    pub accumulate: u64,
    /// Epochs of the whole run; more than 0.
    pub total: f64,
}

impl Epochs {
    /// The epoch of a step's last batch, with which the optimizer takes the step; both counted from
    /// 0. In integers: no rounding adds up over a long run.
    pub fn of(&self, step: u64) -> u64 {
        ((step + 1) * self.accumulate - 1) / self.batches
    }
}

/// A run's learning rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LrConfig {
    /// Shape over time.
    pub shape: LrShape,
    /// Highest rate: [`scaled_lr`] of the base rate.
    pub peak: f64,
    /// Steps of warm-up; may be 0.
    pub warmup_steps: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// The epochs, for OpenSelfSup's stairs.
    pub epochs: Epochs,
    /// Shares of the run after which `Step` takes a tenth of the rate.
    pub drops: [f64; 2],
}

/// The rate for `batch` pairs per optimizer step, from the rate per 256 (paper, section 4.1).
pub fn scaled_lr(base: f64, batch: u64) -> f64 {
    base * batch as f64 / 256.0
}

/// (1 + cos πx) / 2: from 1 at 0 to 0 at 1.
pub fn half_cosine(x: f64) -> f64 {
    0.5 * (1.0 + libm::cos(PI * x))
}

/// The learning rate of a step. After the last step it stays where it ended.
pub fn lr(step: u64, config: &LrConfig) -> f64 {
    let LrConfig {
        shape,
        peak,
        warmup_steps,
        total_steps,
        epochs,
        drops,
    } = *config;
    let warm = step as f64 / warmup_steps as f64; // used only when warmup_steps > 0
    let after = step.saturating_sub(warmup_steps);
    let rest = total_steps.saturating_sub(warmup_steps).max(1);
    let done = after.min(rest) as f64 / rest as f64;
    match shape {
        LrShape::Byol | LrShape::Step if step < warmup_steps => peak * warm,
        LrShape::Byol => peak * half_cosine(done),
        LrShape::OpenSelfSup => {
            let passed = epochs.of(step) as f64 / epochs.total;
            let regular = peak * half_cosine(passed.min(1.0));
            match step < warmup_steps {
                true => regular * (1.0 - (1.0 - warm) * (1.0 - OPENSELFSUP_WARMUP_RATIO)),
                false => regular,
            }
        }
        LrShape::Pixpro if step <= warmup_steps && warmup_steps > 0 => {
            peak / PIXPRO_WARMUP_DIVISOR * ((PIXPRO_WARMUP_DIVISOR - 1.0) * warm + 1.0)
        }
        LrShape::Step => {
            // Rounded: 0.6 of 200 epochs is 120 of them, whatever the product's last bit.
            let passed = drops
                .iter()
                .filter(|share| step >= (*share * total_steps as f64).round() as u64);
            peak * passed.fold(1.0, |factor, _| factor * 0.1)
        }
        LrShape::Pixpro => PIXPRO_FLOOR + (peak - PIXPRO_FLOOR) * half_cosine(done),
    }
}

/// The EMA coefficient of step `step` of `total`, from `base` at 0 to 1 at the end (paper, section
/// 3.1; BYOL).
pub fn tau(step: u64, total: u64, base: f64) -> f64 {
    1.0 - (1.0 - base) * half_cosine(step.min(total) as f64 / total.max(1) as f64)
}

/// [`tau`] when each optimizer step accumulates `accumulate` micro-batches: OpenSelfSup counts
/// micro-batches and updates at the last one of a step.
pub fn tau_accumulated(step: u64, total: u64, accumulate: u64, base: f64) -> f64 {
    tau(step * accumulate + accumulate - 1, total * accumulate, base)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPES: [LrShape; 4] = [
        LrShape::Byol,
        LrShape::OpenSelfSup,
        LrShape::Pixpro,
        LrShape::Step,
    ];

    #[test]
    fn rates_stay_between_zero_and_the_peak_for_any_lengths() {
        for shape in SHAPES {
            for (warmup_steps, total_steps, batches) in
                [(0, 1, 1), (0, 10, 3), (5, 5, 2), (9, 4, 1), (3, 30, 7)]
            {
                let drops = [0.6, 0.8];
                let epochs = Epochs {
                    batches,
                    accumulate: 1,
                    total: total_steps as f64 / batches as f64,
                };
                let config = LrConfig {
                    shape,
                    peak: 4.0,
                    warmup_steps,
                    total_steps,
                    epochs,
                    drops,
                };
                for step in 0..2 * total_steps {
                    let rate = lr(step, &config);
                    assert!(
                        (0.0..=4.0).contains(&rate),
                        "{config:?} step {step}: {rate}"
                    );
                }
            }
        }
    }

    #[test]
    fn stairs_lie_where_the_loaders_epochs_end_over_thousands_of_them() {
        for (batches, accumulate, total) in
            [(771, 4, 3250), (3, 4, 5000), (7, 5, 4001), (64, 63, 2000)]
        {
            let epochs = Epochs {
                batches,
                accumulate,
                total: total as f64,
            };
            // A loader that goes from batch to batch, and from epoch to epoch.
            let (mut step, mut in_step) = (0, 0);
            for epoch in 0..total {
                for _ in 0..batches {
                    in_step += 1;
                    if in_step == accumulate {
                        assert_eq!(epochs.of(step), epoch, "{epochs:?} step {step}");
                        (step, in_step) = (step + 1, 0);
                    }
                }
            }
        }
    }

    #[test]
    fn tau_rises_from_its_base_to_one() {
        assert_eq!(tau(0, 100, 0.996), 0.996);
        assert_eq!(tau(100, 100, 0.996), 1.0);
        assert_eq!(tau(500, 100, 0.996), 1.0);
        assert!((1..=100).all(|k| tau(k, 100, 0.996) > tau(k - 1, 100, 0.996)));
        assert_eq!(tau_accumulated(3, 10, 1, 0.99), tau(3, 10, 0.99));
    }
}
