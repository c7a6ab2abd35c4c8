//! Sets of small street scenes: level 0 only, two cameras.

use std::path::Path;

use schemas::frame::{Encoding, FrameMeta, FrameRow, LevelImage};
use schemas::geom::Size;
use schemas::shard::Settings;

use crate::jpeg::tiled_jpeg;
use crate::set;

const SIZE: Size = Size::new(320, 240);
/// MCUs of a row at 4:2:0.
const ROW_MCUS: u32 = SIZE.width / 16;

/// Writes one shard of a frame for each of `scenes`, and its catalog, into `dir`. Equal ones look
/// alike, others differ.
///
/// # Panics
/// If it cannot be written.
pub fn write(dir: &Path, scenes: impl IntoIterator<Item = u64>) {
    let scenes: Vec<u64> = scenes.into_iter().collect();
    write_in_shards(dir, &scenes, scenes.len());
}

/// As [`write()`], in shards of `shard_frames`.
///
/// # Panics
/// If it cannot be written.
pub fn write_in_shards(dir: &Path, scenes: &[u64], shard_frames: usize) {
    let settings = Settings {
        levels: vec![0],
        ..Settings::default()
    };
    let rows = (0..).zip(scenes).map(|(ix, scene_ix)| {
        let level = LevelImage {
            jpeg: jpeg(&scene(*scene_ix)),
            size: SIZE,
            encoding: Encoding::Lossless,
        };
        FrameRow {
            meta: meta(ix),
            origin: None,
            levels: vec![Some(level)],
        }
    });
    set::write(dir, &settings, rows, shard_frames);
}

fn jpeg(rgb: &[u8]) -> Vec<u8> {
    tiled_jpeg(SIZE, rgb, 90, ROW_MCUS)
}

fn meta(ix: u64) -> FrameMeta {
    FrameMeta {
        frame_id: format!("frame/{ix}"),
        source: format!("made-up#{ix}"),
        dataset: "made-up".into(),
        split: None,
        segment: None,
        camera: Some(
            if ix.is_multiple_of(2) {
                "FRONT"
            } else {
                "SIDE"
            }
            .into(),
        ),
        timestamp_micros: None,
        size: SIZE,
        time_of_day: Some("Day".into()),
        weather: None,
        location: None,
        city: None,
    }
}

/// Sky, road and a few boxes, in colours and places of the frame's own.
fn scene(ix: u64) -> Vec<u8> {
    let mut state = ix.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let (width, height) = (SIZE.width as usize, SIZE.height as usize);
    let boxes: Vec<[usize; 4]> = (0..6)
        .map(|_| {
            [
                next(280) as usize,
                next(200) as usize,
                10 + next(60) as usize,
                10 + next(50) as usize,
            ]
        })
        .collect();
    let colors: Vec<[u8; 3]> = (0..8)
        .map(|_| [next(256) as u8, next(256) as u8, next(256) as u8])
        .collect();
    let mut rgb = Vec::with_capacity(3 * width * height);
    for y in 0..height {
        for x in 0..width {
            let inside = boxes.iter().position(|[bx, by, bw, bh]| {
                (*bx..bx + bw).contains(&x) && (*by..by + bh).contains(&y)
            });
            let background = if y < height / 2 { 6 } else { 7 };
            let grain = ((x * 7 + y * 13) % 23) as u8;
            rgb.extend(colors[inside.unwrap_or(background)].map(|c| c.saturating_add(grain)));
        }
    }
    rgb
}

#[cfg(test)]
mod tests {
    use super::*;
    use turbojpeg::PixelFormat;

    #[test]
    fn a_made_up_frame_is_a_tiled_jpeg_that_decodes() {
        let rgb = scene(3);
        let jpeg = jpeg(&rgb);
        let image = turbojpeg::decompress(&jpeg, PixelFormat::RGB).unwrap();
        assert_eq!(
            (image.width, image.height),
            (SIZE.width as usize, SIZE.height as usize)
        );
        let error: u64 = image
            .pixels
            .iter()
            .zip(&rgb)
            .map(|(a, b)| u64::from(a.abs_diff(*b)))
            .sum();
        assert!(
            error < 12 * rgb.len() as u64,
            "mean error {}",
            error / rgb.len() as u64
        );
    }
}
