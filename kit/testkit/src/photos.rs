//! Sets of frames that look like photographs to a codec: levels 0 and 1, three cameras.

use std::path::Path;

use schemas::frame::{Encoding, FrameMeta, FrameRow, LevelImage};
use schemas::geom::Size;
use schemas::shard::Settings;
use schemas::tiled::restart_interval;

use crate::jpeg::tiled_jpeg;
use crate::set;

/// Size of the frames of [`write()`].
pub const FRAME: Size = Size::new(1024, 704);

/// RGB pixels that differ everywhere and compress like a photograph: waves, edges, and a colour of
/// its own per frame.
pub fn picture(size: Size, seed: u32) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(size.area() as usize * 3);
    let phase = seed as f32;
    for y in 0..size.height {
        for x in 0..size.width {
            let (u, v) = (x as f32 / size.width as f32, y as f32 / size.height as f32);
            let wave = (u * 37.0 + phase).sin() * 30.0
                + (v * 23.0 - phase).cos() * 30.0
                + (u * v * 90.0).sin() * 25.0;
            let edge = if (u * 7.0 + v * 5.0 + phase).fract() < 0.2 {
                60.0
            } else {
                0.0
            };
            for channel in 0..3 {
                let base =
                    90.0 + 35.0 * (phase * (channel + 1) as f32).sin() + 40.0 * v * channel as f32;
                rgb.push((base + wave + edge).clamp(0.0, 255.0) as u8);
            }
        }
    }
    rgb
}

/// Every second pixel of every second row, averaged: the next level.
pub fn halved(size: Size, rgb: &[u8]) -> Vec<u8> {
    let half = size.at_level(1);
    let at = |x: u32, y: u32, channel: usize| {
        let (x, y) = (x.min(size.width - 1), y.min(size.height - 1));
        u32::from(rgb[(y * size.width + x) as usize * 3 + channel])
    };
    let mut out = Vec::new();
    for y in 0..half.height {
        for x in 0..half.width {
            for channel in 0..3 {
                let (x, y) = (2 * x, 2 * y);
                let sum = at(x, y, channel)
                    + at(x + 1, y, channel)
                    + at(x, y + 1, channel)
                    + at(x + 1, y + 1, channel);
                out.push(((sum + 2) / 4) as u8);
            }
        }
    }
    out
}

/// A tile-addressable JPEG of `rgb` in good quality, with tiles as `ingest` makes them.
pub fn photo_jpeg(size: Size, rgb: &[u8]) -> Vec<u8> {
    tiled_jpeg(size, rgb, 93, restart_interval(size.width.div_ceil(16), 16))
}

/// Writes a set of `num_frames` frames in shards of `shard_frames` into `dir`.
///
/// # Panics
/// If it cannot be written.
pub fn write(dir: &Path, num_frames: u32, shard_frames: usize) {
    let pictures = (0..num_frames).map(|ix| (FRAME, picture(FRAME, ix)));
    write_pictures(dir, pictures, shard_frames);
}

/// Writes a set of pictures, RGB triples, in shards of `shard_frames` into `dir`.
///
/// # Panics
/// If it cannot be written.
pub fn write_pictures(
    dir: &Path,
    pictures: impl IntoIterator<Item = (Size, Vec<u8>)>,
    shard_frames: usize,
) {
    let rows = (0..)
        .zip(pictures)
        .map(|(ix, (size, rgb))| row(ix, size, &rgb));
    set::write(dir, &Settings::default(), rows, shard_frames);
}

/// Levels 0 and 1 of a picture; level 2 would be smaller than a view.
fn row(ix: u32, frame: Size, rgb: &[u8]) -> FrameRow {
    let half = halved(frame, rgb);
    let level = |size: Size, rgb: &[u8], encoding| {
        Some(LevelImage {
            jpeg: photo_jpeg(size, rgb),
            size,
            encoding,
        })
    };
    let camera = ["FRONT", "SIDE_LEFT", "SIDE_RIGHT"][ix as usize % 3];
    let meta = FrameMeta {
        frame_id: format!("drive/{ix:04}/{camera}"),
        source: format!("made-up:{ix}"),
        dataset: "test".to_owned(),
        split: None,
        segment: Some("drive".to_owned()),
        camera: Some(camera.to_owned()),
        timestamp_micros: Some(i64::from(ix)),
        size: frame,
        time_of_day: Some("Day".to_owned()),
        weather: None,
        location: None,
        city: None,
    };
    let levels = vec![
        level(frame, rgb, Encoding::Lossless),
        level(frame.at_level(1), &half, Encoding::Quality(93)),
        None,
    ];
    FrameRow {
        meta,
        origin: None,
        levels,
    }
}
