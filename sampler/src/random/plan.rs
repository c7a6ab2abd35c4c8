//! Decides everything about a sample before a byte of it is read.
//!
//! Pure: the plan is a function of (seed, epoch, frame key, frame size, config), and of the
//! replacement number for stand-ins of broken frames. Boxes and augmentations come from two
//! streams, so one can be varied without the other.

use schemas::geom::Size;

use crate::config::SamplerConfig;
use crate::pixels::augment::{Jitter, JitterOp, ViewOps};
use crate::random::crop::{CropPair, draw_pair};
use crate::random::rng::{Purpose, Stream};
use crate::recipe::ViewAugment;

/// What to do with a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// The two crops.
    pub pair: CropPair,
    /// What happens to each view after its crop was resized.
    pub views: [ViewOps; 2],
}

/// Plans the sample of the frame `key` of size `frame` in `epoch`; `attempt` as in [`Stream::new`].
pub fn plan(config: &SamplerConfig, epoch: u64, key: u64, attempt: u32, frame: Size) -> Plan {
    let mut boxes = Stream::new(config.seed, epoch, Purpose::Pair, attempt, key);
    let pair = draw_pair(&mut boxes, frame, &config.pair);
    let mut ops = Stream::new(config.seed, epoch, Purpose::Augment, attempt, key);
    let [first, second] = &config.views;
    Plan {
        pair,
        views: [draw_ops(&mut ops, first), draw_ops(&mut ops, second)],
    }
}

/// Draws the augmentation of one view. Every decision and every parameter is drawn whether it is
/// used or not, so one probability or strength changes nothing but itself.
fn draw_ops(stream: &mut Stream, augment: &ViewAugment) -> ViewOps {
    let flip = stream.chance(augment.flip_p);
    let jitters = stream.chance(augment.jitter_p);
    let jitter = draw_jitter(stream, augment);
    let grayscale = stream.chance(augment.grayscale_p);
    let blurs = stream.chance(augment.blur_p);
    let sigma = stream.uniform(augment.blur_sigma[0], augment.blur_sigma[1]) as f32;
    let solarize = stream.chance(augment.solarize_p);
    ViewOps {
        flip,
        jitter: jitters.then_some(jitter),
        grayscale,
        grayscale_first: augment.grayscale_first,
        blur_sigma: blurs.then_some(sigma),
        solarize,
    }
}

fn draw_jitter(stream: &mut Stream, augment: &ViewAugment) -> Jitter {
    let mut factor = |strength: f64| stream.uniform(1.0 - strength, 1.0 + strength) as f32;
    let brightness = factor(augment.brightness);
    let contrast = factor(augment.contrast);
    let saturation = factor(augment.saturation);
    let hue = stream.uniform(-augment.hue, augment.hue) as f32;
    let mut order = [
        JitterOp::Brightness,
        JitterOp::Contrast,
        JitterOp::Saturation,
        JitterOp::Hue,
    ];
    stream.shuffle(&mut order);
    Jitter {
        brightness,
        contrast,
        saturation,
        hue,
        order,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PairConfig;
    use crate::random::goodness::{chi_square, ks_distance, ks_limit};
    use crate::recipe::Recipe;
    use std::collections::BTreeMap;

    const FRAME: Size = Size::new(1920, 1280);

    fn plans(config: &SamplerConfig) -> Vec<Plan> {
        (0..20_000)
            .map(|key| plan(config, 0, key, 0, FRAME))
            .collect()
    }

    /// Five standard deviations of a binomial share over 20,000 draws.
    fn close(share: f64, p: f64) -> bool {
        (share - p).abs() <= 5.0 * (p * (1.0 - p) / 20_000.0).sqrt() + 1e-12
    }

    #[test]
    fn probabilities_are_those_of_the_recipe() {
        let config = SamplerConfig::default();
        let plans = plans(&config);
        for (view_ix, augment) in config.views.iter().enumerate() {
            let share = |test: fn(&ViewOps) -> bool| {
                plans
                    .iter()
                    .filter(|plan| test(&plan.views[view_ix]))
                    .count() as f64
                    / plans.len() as f64
            };
            assert!(close(share(|ops| ops.flip), augment.flip_p));
            assert!(close(share(|ops| ops.jitter.is_some()), augment.jitter_p));
            assert!(close(share(|ops| ops.grayscale), augment.grayscale_p));
            assert!(close(share(|ops| ops.blur_sigma.is_some()), augment.blur_p));
            assert!(close(share(|ops| ops.solarize), augment.solarize_p));
        }
    }

    #[test]
    fn factors_and_sigma_are_uniform_over_their_ranges() {
        let plans = plans(&SamplerConfig::default());
        let jitters: Vec<Jitter> = plans
            .iter()
            .filter_map(|plan| plan.views[1].jitter)
            .collect();
        let of = |value: fn(&Jitter) -> f32| {
            jitters
                .iter()
                .map(|jitter| f64::from(value(jitter)))
                .collect::<Vec<_>>()
        };
        let sigmas: Vec<f64> = plans
            .iter()
            .filter_map(|plan| plan.views[0].blur_sigma)
            .map(f64::from)
            .collect();
        let cases = [
            (of(|jitter| jitter.brightness), 0.6, 1.4),
            (of(|jitter| jitter.contrast), 0.6, 1.4),
            (of(|jitter| jitter.saturation), 0.8, 1.2),
            (of(|jitter| jitter.hue), -0.1, 0.1),
            (sigmas, 0.1, 2.0),
        ];
        for (values, low, high) in cases {
            assert!(
                values
                    .iter()
                    .all(|value| (low - 1e-6..=high + 1e-6).contains(value))
            );
            let limit = ks_limit(values.len());
            assert!(ks_distance(values, low, high) < limit, "{low} to {high}");
        }
    }

    /// 24 orders, 23 degrees of freedom: 49.7 is the 99.9 % quantile.
    #[test]
    fn jitter_takes_every_order_equally_often() {
        let plans = plans(&SamplerConfig::default());
        for view_ix in 0..2 {
            let mut counts = BTreeMap::<String, u32>::new();
            for jitter in plans.iter().filter_map(|plan| plan.views[view_ix].jitter) {
                *counts.entry(format!("{:?}", jitter.order)).or_default() += 1;
            }
            assert_eq!(counts.len(), 24);
            assert!(chi_square(&counts.into_values().collect::<Vec<_>>()) < 49.7);
        }
    }

    /// Four combinations, 3 degrees of freedom: 16.3 is the 99.9 % quantile.
    #[test]
    fn the_views_of_a_pair_are_flipped_independently() {
        let mut counts = [0; 4];
        for plan in plans(&SamplerConfig::default()) {
            let [first, second] = plan.views.map(|ops| usize::from(ops.flip));
            counts[2 * first + second] += 1;
        }
        assert!(chi_square(&counts) < 16.3, "{counts:?}");
    }

    #[test]
    fn the_threshold_changes_boxes_and_nothing_else() {
        let strict = SamplerConfig {
            pair: PairConfig {
                min_iou: 0.7,
                ..Default::default()
            },
            ..Default::default()
        };
        let (loose, strict) = (
            plan(&SamplerConfig::default(), 3, 9, 0, FRAME),
            plan(&strict, 3, 9, 0, FRAME),
        );
        assert_eq!(loose.views, strict.views);
        assert!(strict.pair.iou >= 0.7);
    }

    #[test]
    fn epoch_key_seed_and_attempt_each_change_the_plan() {
        let config = SamplerConfig::default();
        let base = plan(&config, 0, 1, 0, FRAME);
        assert_eq!(base, plan(&config, 0, 1, 0, FRAME));
        let others = [
            plan(&config, 1, 1, 0, FRAME),
            plan(&config, 0, 2, 0, FRAME),
            plan(&config, 0, 1, 1, FRAME),
            plan(
                &SamplerConfig {
                    seed: 1,
                    ..config.clone()
                },
                0,
                1,
                0,
                FRAME,
            ),
        ];
        assert!(
            others
                .iter()
                .all(|other| other.pair != base.pair && other.views != base.views)
        );
    }

    #[test]
    fn moco_has_no_solarize_and_its_first_version_no_blur() {
        let config = SamplerConfig {
            views: Recipe::MocoV1.views(),
            ..Default::default()
        };
        let clean = |ops: &ViewOps| !ops.solarize && ops.blur_sigma.is_none();
        assert!(
            plans(&config)
                .iter()
                .all(|plan| plan.views.iter().all(clean))
        );
    }
}
