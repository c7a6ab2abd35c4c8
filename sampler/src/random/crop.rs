//! Draws the two boxes of a crop pair.
//!
//! One box is torchvision's `RandomResizedCrop` draw (RECIPE 2.1). A pair is valid when
//! `iou(a, b) >= min_iou`; both boxes are redrawn together until it is (joint rejection, RECIPE
//! 2.3). After `max_tries` the best pair seen is kept and [`CropPair::fell_back`] is set; should
//! even that one be disjoint, the second box becomes the first. Boxes have whole-number corners in
//! frame pixels and lie inside the frame.
//!
//! Pure: no I/O, no clock. The same (stream, frame size, config) gives the same pair on any
//! machine: besides `libm` only the four basic operations and the square root are used, which IEEE
//! 754 fixes.

use schemas::geom::{BoxPx, Rect, Size};

use crate::config::PairConfig;
use crate::random::rng::Stream;

/// Attempts at one crop before the central one is taken, as in torchvision.
const CROP_ATTEMPTS: u32 = 10;

/// Two crops of one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CropPair {
    /// Crop of the first view, in frame pixels.
    pub a: Rect,
    /// Crop of the second view, in frame pixels.
    pub b: Rect,
    /// Their intersection over union.
    pub iou: f64,
    /// Pairs drawn, this one included.
    pub tries: u32,
    /// Whether no pair drawn reached `min_iou`.
    pub fell_back: bool,
}

/// Draws a pair of crops of a frame of size `frame` (paper, section 3.2).
pub fn draw_pair(stream: &mut Stream, frame: Size, config: &PairConfig) -> CropPair {
    let mut best = CropPair {
        a: whole(frame),
        b: whole(frame),
        iou: -1.0,
        tries: 0,
        fell_back: true,
    };
    for tries in 1..=config.max_tries {
        let (a, b) = (
            draw_crop(stream, frame, config),
            draw_crop(stream, frame, config),
        );
        let iou = box_of(a).iou(box_of(b));
        if iou >= f64::from(config.min_iou) {
            return CropPair {
                a,
                b,
                iou,
                tries,
                fell_back: false,
            };
        }
        if iou > best.iou {
            best = CropPair { a, b, iou, ..best };
        }
    }
    best.tries = config.max_tries;
    if best.iou <= 0.0 {
        (best.b, best.iou) = (best.a, 1.0);
    }
    best
}

/// Draws one crop: area uniform, ratio log-uniform, place uniform.
pub(crate) fn draw_crop(stream: &mut Stream, frame: Size, config: &PairConfig) -> Rect {
    let log_ratio = config.ratio.map(libm::log);
    for _ in 0..CROP_ATTEMPTS {
        let area = frame.area() as f64 * stream.uniform(config.area[0], config.area[1]);
        let ratio = libm::exp(stream.uniform(log_ratio[0], log_ratio[1]));
        let width = (area * ratio).sqrt().round_ties_even() as u32;
        let height = (area / ratio).sqrt().round_ties_even() as u32;
        if (1..=frame.width).contains(&width) && (1..=frame.height).contains(&height) {
            let y = stream.below(u64::from(frame.height - height) + 1) as u32;
            let x = stream.below(u64::from(frame.width - width) + 1) as u32;
            return Rect::new(x, y, width, height);
        }
    }
    central_crop(frame, config.ratio)
}

/// The largest central crop whose ratio is allowed.
fn central_crop(frame: Size, [narrow, wide]: [f64; 2]) -> Rect {
    let (width, height) = (f64::from(frame.width), f64::from(frame.height));
    let side = |value: f64, limit: u32| (value.round_ties_even() as u32).clamp(1, limit);
    let (width, height) = if width / height < narrow {
        (frame.width, side(width / narrow, frame.height))
    } else if width / height > wide {
        (side(height * wide, frame.width), frame.height)
    } else {
        (frame.width, frame.height)
    };
    Rect::new(
        (frame.width - width) / 2,
        (frame.height - height) / 2,
        width,
        height,
    )
}

fn whole(frame: Size) -> Rect {
    Rect::new(0, 0, frame.width, frame.height)
}

/// The same rectangle as a continuous box.
pub(crate) fn box_of(rect: Rect) -> BoxPx {
    BoxPx::from_xywh(
        rect.x as f32,
        rect.y as f32,
        rect.width as f32,
        rect.height as f32,
    )
}

/// What `crop` sees of the common part of a pair, in unit coordinates of `crop`'s un-flipped view
/// (paper eq. 3); all zeros when the crops are disjoint, which only happens with `min_iou = 0`.
pub(crate) fn overlap_in_view(crop: Rect, other: Rect) -> BoxPx {
    let crop = box_of(crop);
    match crop.intersection(box_of(other)) {
        Some(common) => common.relative_to(crop),
        None => BoxPx {
            x0: 0.0,
            y0: 0.0,
            x1: 0.0,
            y1: 0.0,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::goodness::{ks_distance, ks_limit};
    use crate::random::rng::Purpose;
    use proptest::prelude::*;

    fn stream(number: u64) -> Stream {
        Stream::new(0, 0, Purpose::Pair, 0, number)
    }

    proptest! {
        #[test]
        fn crops_lie_inside_and_reach_min_iou(
            width in 1u32..3000, height in 1u32..3000, number: u64, min_iou in 0.0f32..0.9, least in 0.01f64..1.0,
        ) {
            let frame = Size::new(width, height);
            let config = PairConfig { min_iou, area: [least, 1.0], ..PairConfig::default() };
            let pair = draw_pair(&mut stream(number), frame, &config);
            for crop in [pair.a, pair.b] {
                prop_assert!(crop.width > 0 && crop.height > 0 && whole(frame).contains(crop));
            }
            prop_assert!(pair.fell_back || pair.iou >= f64::from(min_iou));
            prop_assert!(pair.iou == box_of(pair.a).iou(box_of(pair.b)));
            prop_assert!((1..=config.max_tries).contains(&pair.tries));
        }

        #[test]
        fn overlap_is_the_same_region_seen_from_both_crops(number: u64) {
            let pair = draw_pair(&mut stream(number), Size::new(1920, 1280), &PairConfig::default());
            let back = |overlap: BoxPx, crop: Rect| {
                let crop = box_of(crop);
                [overlap.x0 * crop.width() + crop.x0, overlap.y0 * crop.height() + crop.y0,
                 overlap.x1 * crop.width() + crop.x0, overlap.y1 * crop.height() + crop.y0]
            };
            let from_a = back(overlap_in_view(pair.a, pair.b), pair.a);
            let from_b = back(overlap_in_view(pair.b, pair.a), pair.b);
            for (a, b) in from_a.into_iter().zip(from_b) {
                prop_assert!((a - b).abs() < 1e-3, "{a} {b}");
            }
        }
    }

    /// Pinned: the same boxes on any machine, with any compiler.
    #[test]
    fn boxes_are_what_they_always_were() {
        let boxes = [0, 1, 2].map(|number| {
            let pair = draw_pair(
                &mut stream(number),
                Size::new(1920, 1280),
                &PairConfig::default(),
            );
            let [a, b] = [pair.a, pair.b].map(|crop| [crop.x, crop.y, crop.width, crop.height]);
            (a, b, pair.tries)
        });
        let expected = [
            ([615, 167, 995, 992], [717, 292, 920, 959], 1),
            ([197, 12, 1328, 1143], [183, 43, 955, 973], 2),
            ([789, 3, 1071, 1235], [279, 4, 1485, 1180], 4),
        ];
        assert_eq!(boxes, expected);
    }

    struct Simulated {
        size: Size,
        least_area: f64,
        /// (threshold, share of pairs that reach it, mean area share, mean IoU of those that do).
        thresholds: &'static [(f32, f64, f64, f64)],
    }

    /// An independent simulation of a million pairs (0.4 million for the smaller sizes), RECIPE
    /// 2.3.
    const SIMULATIONS: &[Simulated] = &[
        Simulated {
            size: Size::new(1920, 1280),
            least_area: 0.08,
            thresholds: &[
                (0.3, 0.5509, 0.448, 0.511),
                (0.4, 0.3966, 0.471, 0.574),
                (0.5, 0.2623, 0.495, 0.638),
                (0.6, 0.1518, 0.52, 0.703),
                (0.7, 0.0676, 0.55, 0.773),
            ],
        },
        Simulated {
            size: Size::new(1920, 968),
            least_area: 0.08,
            thresholds: &[
                (0.3, 0.4217, 0.347, 0.494),
                (0.4, 0.2866, 0.36, 0.563),
                (0.5, 0.1807, 0.375, 0.631),
                (0.6, 0.0993, 0.391, 0.699),
                (0.7, 0.042, 0.41, 0.771),
            ],
        },
        Simulated {
            size: Size::new(1920, 886),
            least_area: 0.08,
            thresholds: &[
                (0.3, 0.387, 0.319, 0.492),
                (0.4, 0.2617, 0.331, 0.561),
                (0.5, 0.1632, 0.344, 0.63),
                (0.6, 0.0893, 0.358, 0.699),
                (0.7, 0.0375, 0.376, 0.771),
            ],
        },
        Simulated {
            size: Size::new(1920, 1080),
            least_area: 0.08,
            thresholds: &[
                (0.3, 0.4716, 0.384, 0.499),
                (0.4, 0.3268, 0.401, 0.565),
                (0.5, 0.2071, 0.418, 0.633),
                (0.6, 0.1159, 0.436, 0.699),
                (0.7, 0.0496, 0.457, 0.771),
            ],
        },
        Simulated {
            size: Size::new(1280, 720),
            least_area: 0.08,
            thresholds: &[
                (0.3, 0.4694, 0.384, 0.499),
                (0.4, 0.3257, 0.401, 0.565),
                (0.5, 0.2072, 0.418, 0.633),
                (0.6, 0.1162, 0.436, 0.699),
                (0.7, 0.0492, 0.458, 0.771),
            ],
        },
        Simulated {
            size: Size::new(1920, 1280),
            least_area: 0.2,
            thresholds: &[
                (0.3, 0.7638, 0.474, 0.526),
                (0.4, 0.5855, 0.488, 0.579),
                (0.5, 0.3986, 0.505, 0.64),
                (0.6, 0.2344, 0.526, 0.704),
                (0.7, 0.1054, 0.553, 0.773),
            ],
        },
    ];

    /// Tolerances: 0.01 in acceptance, as required; the means have a standard error below 0.001.
    #[test]
    fn acceptance_area_and_iou_are_those_of_the_simulation() {
        for simulated in SIMULATIONS {
            for &(min_iou, acceptance, area_mean, iou_mean) in simulated.thresholds {
                let config = PairConfig {
                    min_iou,
                    area: [simulated.least_area, 1.0],
                    max_tries: 10_000,
                    ..Default::default()
                };
                let (mut tries, mut area, mut iou) = (0, 0.0, 0.0);
                let num_pairs = 30_000u32;
                for number in 0..num_pairs {
                    let pair = draw_pair(&mut stream(number.into()), simulated.size, &config);
                    tries += pair.tries;
                    iou += pair.iou;
                    area += (pair.a.size().area() + pair.b.size().area()) as f64
                        / simulated.size.area() as f64
                        / 2.0;
                }
                let close = |found: f64, expected: f64, tolerance: f64| {
                    (found - expected).abs() <= tolerance
                };
                let what = format!("{} at {min_iou}", simulated.size);
                let num_pairs = f64::from(num_pairs);
                let found = num_pairs / f64::from(tries);
                assert!(close(found, acceptance, 0.01), "{what}: acceptance {found}");
                assert!(
                    close(area / num_pairs, area_mean, 0.005),
                    "{what}: area {}",
                    area / num_pairs
                );
                assert!(
                    close(iou / num_pairs, iou_mean, 0.005),
                    "{what}: IoU {}",
                    iou / num_pairs
                );
            }
        }
    }

    /// Of crops that are small enough for their frame, so that none was refused.
    #[test]
    fn area_is_uniform_ratio_log_uniform_and_place_uniform() {
        let frame = Size::new(1920, 1280);
        let config = PairConfig {
            area: [0.02, 0.2],
            ..PairConfig::default()
        };
        let crops: Vec<Rect> = (0..20_000)
            .map(|number| draw_crop(&mut stream(number), frame, &config))
            .collect();
        let of = |value: fn(&Rect) -> f64| crops.iter().map(value).collect::<Vec<_>>();
        let cases = [
            (
                "area",
                of(|crop| crop.size().area() as f64 / (1920.0 * 1280.0)),
                0.02,
                0.2,
            ),
            (
                "ratio",
                of(|crop| libm::log(f64::from(crop.width) / f64::from(crop.height))),
                -0.28768,
                0.28768,
            ),
            (
                "x",
                of(|crop| (f64::from(crop.x) + 0.5) / f64::from(1920 - crop.width + 1)),
                0.0,
                1.0,
            ),
            (
                "y",
                of(|crop| (f64::from(crop.y) + 0.5) / f64::from(1280 - crop.height + 1)),
                0.0,
                1.0,
            ),
        ];
        for (what, values, low, high) in cases {
            let distance = ks_distance(values, low, high);
            assert!(distance < ks_limit(crops.len()), "{what}: {distance}");
        }
    }

    #[test]
    fn the_cap_keeps_the_best_pair_seen() {
        let frame = Size::new(1920, 1280);
        let config = PairConfig {
            min_iou: 0.95,
            max_tries: 5,
            ..PairConfig::default()
        };
        for number in 0..200 {
            let pair = draw_pair(&mut stream(number), frame, &config);
            if !pair.fell_back {
                continue;
            }
            let mut replay = stream(number);
            let ious = (0..5).map(|_| {
                let (a, b) = (
                    draw_crop(&mut replay, frame, &config),
                    draw_crop(&mut replay, frame, &config),
                );
                box_of(a).iou(box_of(b))
            });
            assert_eq!(pair.tries, 5);
            assert_eq!(pair.iou, ious.fold(0.0, f64::max));
        }
    }

    #[test]
    fn a_disjoint_best_pair_becomes_one_crop_twice() {
        // Thin crops of a wide frame hardly ever overlap.
        let config = PairConfig {
            max_tries: 1,
            area: [1e-4, 1e-4],
            ..PairConfig::default()
        };
        let pair = draw_pair(&mut stream(1), Size::new(60_000, 300), &config);
        assert!(pair.fell_back);
        assert_eq!((pair.a, pair.iou), (pair.b, 1.0));
    }

    #[test]
    fn extreme_frames_take_the_central_crop() {
        let config = PairConfig::default();
        for number in 0..50 {
            let crop = draw_crop(&mut stream(number), Size::new(4000, 100), &config);
            assert_eq!((crop.width, crop.height, crop.x), (133, 100, 1933));
            let crop = draw_crop(&mut stream(number), Size::new(100, 4000), &config);
            assert_eq!((crop.width, crop.height, crop.y), (100, 133, 1933));
        }
        assert_eq!(
            draw_crop(&mut stream(0), Size::new(1, 1), &config),
            Rect::new(0, 0, 1, 1)
        );
    }
}
