//! Crops of accepted pairs: torchvision's RandomResizedCrop, twice, until both overlap enough
//! (RECIPE 2.1, 2.3).
//!
//! The distribution is the sampler's at its default settings, its random numbers are not. Where the
//! sampler falls back to another crop than a drawn one (once in 250 frames and less), nothing is
//! drawn here.

use fastrand::Rng;
use schemas::geom::{BoxPx, Rect, Size};

/// Area of a crop as a share of the frame, least and most.
const AREA: [f64; 2] = [0.08, 1.0];
/// Width over height, least and most.
const RATIO: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0];
/// Least intersection over union of a pair.
const MIN_IOU: f64 = 0.5;
/// Draws of one crop before its pair is drawn anew.
const CROP_ATTEMPTS: usize = 10;
/// Pairs drawn before a frame is given up.
const MAX_TRIES: usize = 100;

/// Two crops of a frame, in its pixels; none if no pair of many is valid.
pub(super) fn draw_pair(rng: &mut Rng, frame: Size) -> Option<[Rect; 2]> {
    let draws = std::iter::repeat_with(|| Some([draw_crop(rng, frame)?, draw_crop(rng, frame)?]));
    let mut pairs = draws.take(MAX_TRIES).flatten();
    pairs.find(|&[a, b]| BoxPx::from(a).iou(b.into()) >= MIN_IOU)
}

/// A crop, unless none of several draws fits into the frame.
fn draw_crop(rng: &mut Rng, frame: Size) -> Option<Rect> {
    (0..CROP_ATTEMPTS).find_map(|_| try_crop(rng, frame))
}

fn try_crop(rng: &mut Rng, frame: Size) -> Option<Rect> {
    let area = frame.area() as f64 * uniform(rng, AREA);
    let ratio = libm::exp(uniform(rng, RATIO.map(libm::log)));
    let [width, height] =
        [area * ratio, area / ratio].map(|square| square.sqrt().round_ties_even() as u32);
    let fits = (1..=frame.width).contains(&width) && (1..=frame.height).contains(&height);
    fits.then(|| {
        Rect::new(
            rng.u32(0..=frame.width - width),
            rng.u32(0..=frame.height - height),
            width,
            height,
        )
    })
}

fn uniform(rng: &mut Rng, [low, high]: [f64; 2]) -> f64 {
    low + (high - low) * rng.f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_lie_inside_and_overlap_by_half() {
        let (frame, mut rng) = (Size::new(1920, 886), Rng::with_seed(1));
        for _ in 0..20_000 {
            let [a, b] = draw_pair(&mut rng, frame).unwrap();
            assert!(
                a.right().max(b.right()) <= frame.width
                    && a.bottom().max(b.bottom()) <= frame.height
            );
            assert!(BoxPx::from(a).iou(b.into()) >= 0.5);
        }
    }

    /// Mean share of the frame's area, simulated apart with a million pairs (RECIPE 2.3; standard
    /// error below 0.003).
    #[test]
    fn areas_are_those_of_accepted_pairs() {
        for (frame, expected) in [
            (Size::new(1920, 1280), 0.495),
            (Size::new(1920, 886), 0.344),
        ] {
            let mut rng = Rng::with_seed(2);
            let pairs: Vec<_> = (0..5000)
                .filter_map(|_| draw_pair(&mut rng, frame))
                .flatten()
                .collect();
            let areas = pairs
                .iter()
                .map(|crop| crop.size().area() as f64 / frame.area() as f64);
            let mean = areas.sum::<f64>() / pairs.len() as f64;
            assert!((mean - expected).abs() < 0.01, "{frame}: {mean}");
        }
    }

    #[test]
    fn a_frame_that_no_crop_fits_into_has_none() {
        assert_eq!(
            draw_pair(&mut Rng::with_seed(3), Size::new(60_000, 300)),
            None
        );
    }
}
