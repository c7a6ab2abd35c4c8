//! What a batch holds: boxes, bytes, floats.

use sampler::{Cursor, PairConfig, PixelFormat, Sampler, SamplerConfig, ViewAugment};
use schemas::catalog::Catalog;
use schemas::geom::BoxPx;
use schemas::imagenet::{MEAN, STD};
use testkit::photos;

use super::{config, run, set};

#[test]
fn crops_lie_in_their_frames_and_overlap_as_asked() {
    let dir = set();
    for min_iou in [0.0, 0.5, 0.8] {
        let pair = PairConfig {
            min_iou,
            ..PairConfig::default()
        };
        for (_, _, pairs, ..) in run(
            dir.path(),
            SamplerConfig { pair, ..config() },
            Cursor::default(),
            4,
        ) {
            for pair in pairs {
                let frame = BoxPx::from_xywh(
                    0.0,
                    0.0,
                    pair.frame_size.width as f32,
                    pair.frame_size.height as f32,
                );
                let [a, b] = pair.crops.map(|crop| crop.crop_in_frame);
                for crop in [a, b] {
                    assert_eq!(crop.intersection(frame), Some(crop));
                }
                assert!(pair.fell_back || pair.iou >= min_iou);
                assert!((a.iou(b) - f64::from(pair.iou)).abs() < 1e-6);
            }
        }
    }
}

#[test]
fn floats_are_the_normalised_bytes() {
    let dir = set();
    let bytes = run(dir.path(), config(), Cursor::default(), 3);
    let config = SamplerConfig {
        pixels: PixelFormat::Floats,
        ..config()
    };
    let area = (config.output * config.output) as usize;
    let mut batches = Sampler::open(dir.path(), config)
        .unwrap()
        .start(Cursor::default())
        .unwrap();
    for (.., pairs, first, second) in bytes {
        let batch = batches.next().unwrap().unwrap();
        assert_eq!(batch.pairs(), pairs);
        for (view_ix, view) in [first, second].iter().enumerate() {
            assert_eq!(batch.floats(view_ix).len(), view.len());
            for (ix, &value) in batch.floats(view_ix).iter().enumerate() {
                let (sample, channel, pixel) = (ix / (3 * area), ix / area % 3, ix % area);
                let byte = view[(sample * area + pixel) * 3 + channel];
                assert!(
                    (value - (f32::from(byte) / 255.0 - MEAN[channel]) / STD[channel]).abs() < 1e-6
                );
            }
        }
    }
}

/// Without augmentation, a view is the crop: compared with the made-up picture itself,
/// area-averaged.
#[test]
fn views_show_their_crops_from_whichever_level() {
    let dir = set();
    let mut levels_seen = [0; 3];
    for exact in [false, true] {
        let config = SamplerConfig {
            views: [ViewAugment::NONE; 2],
            exact,
            ..config()
        };
        let side = config.output as usize;
        let rows: Vec<_> = Catalog::open(dir.path())
            .unwrap()
            .rows()
            .unwrap()
            .flat_map(Result::unwrap)
            .collect();
        for (_, _, pairs, first, second) in run(dir.path(), config, Cursor::default(), 4) {
            for (ix, pair) in pairs.iter().enumerate() {
                let source = &rows[pair.frame as usize].frame.meta;
                assert_eq!(source.key(), pair.key);
                let picture =
                    photos::picture(photos::FRAME, source.timestamp_micros.unwrap() as u32);
                for (crop, view) in pair.crops.iter().zip([&first, &second]) {
                    levels_seen[usize::from(crop.level)] += 1;
                    assert!(!exact || crop.level == 0);
                    let view = &view[ix * side * side * 3..][..side * side * 3];
                    let error = mean_error(&picture, crop.crop_in_frame, view, side);
                    assert!(
                        error < 6.0,
                        "frame {}: {crop:?}: mean error {error}",
                        pair.frame
                    );
                }
            }
        }
    }
    assert!(
        levels_seen[0] > 0 && levels_seen[1] > 0 && levels_seen[2] == 0,
        "{levels_seen:?}"
    );
}

/// Mean absolute difference between a view and the averages of the pixels its pixels cover.
fn mean_error(picture: &[u8], crop: BoxPx, view: &[u8], side: usize) -> f64 {
    let width = photos::FRAME.width as usize;
    let (step_x, step_y) = (crop.width() / side as f32, crop.height() / side as f32);
    let mut sum = 0.0;
    for (ix, &value) in view.iter().enumerate() {
        let (x, y, channel) = (ix / 3 % side, ix / 3 / side, ix % 3);
        let span = |start: f32, step: f32, at: usize| {
            let from = (start + at as f32 * step) as usize;
            from..((start + (at + 1) as f32 * step) as usize).max(from + 1)
        };
        let (mut total, mut count) = (0u32, 0u32);
        for row in span(crop.y0, step_y, y) {
            for column in span(crop.x0, step_x, x) {
                total += u32::from(picture[(row * width + column) * 3 + channel]);
                count += 1;
            }
        }
        sum += (f64::from(value) - f64::from(total) / f64::from(count)).abs();
    }
    sum / view.len() as f64
}
