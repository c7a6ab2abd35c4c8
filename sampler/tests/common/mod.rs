//! Small sets of shards with made-up pictures, for tests that run the whole pipeline.

#![allow(dead_code, reason = "every test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::path::Path;

use schemas::catalog;
use schemas::frame::{Encoding, FrameMeta, FrameRow, LevelImage};
use schemas::geom::Size;
use schemas::shard::{FRAMES_DIR, Settings, ShardId, ShardWriter};
use schemas::tiled::{embed_index, restart_interval};

/// Level 0 and 1 are stored at this size; level 2 would be smaller than a view.
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

/// A tile-addressable JPEG of `rgb`, 4:2:0.
pub fn tiled_jpeg(size: Size, rgb: &[u8]) -> Vec<u8> {
    let restart = restart_interval(size.width.div_ceil(16), 16);
    embed_index(&compress(size, rgb, restart)).unwrap()
}

#[expect(
    unsafe_code,
    reason = "the safe wrapper of libjpeg-turbo has no restart intervals"
)]
fn compress(size: Size, rgb: &[u8], restart_blocks: u32) -> Vec<u8> {
    use turbojpeg_sys as tj;
    assert_eq!(rgb.len() as u64, size.area() * 3);
    // SAFETY: the handle is checked, the pixels are as long as width, height and format say, and
    // the output belongs to the library until it is freed, after it was copied.
    unsafe {
        let handle = tj::tj3Init(tj::TJINIT_TJINIT_COMPRESS as i32);
        assert!(!handle.is_null());
        let set =
            |param: tj::TJPARAM, value: i32| assert_eq!(tj::tj3Set(handle, param as i32, value), 0);
        set(tj::TJPARAM_TJPARAM_QUALITY, 93);
        set(tj::TJPARAM_TJPARAM_SUBSAMP, tj::TJSAMP_TJSAMP_420);
        set(tj::TJPARAM_TJPARAM_RESTARTBLOCKS, restart_blocks as i32);
        let (mut jpeg, mut len) = (std::ptr::null_mut(), 0);
        let (width, height) = (size.width as i32, size.height as i32);
        let format = tj::TJPF_TJPF_RGB;
        assert_eq!(
            tj::tj3Compress8(
                handle,
                rgb.as_ptr(),
                width,
                0,
                height,
                format,
                &mut jpeg,
                &mut len
            ),
            0
        );
        let bytes = std::slice::from_raw_parts(jpeg, len as usize).to_vec();
        tj::tj3Free(jpeg.cast());
        tj::tj3Destroy(handle);
        bytes
    }
}

fn row(ix: u32, frame: Size, rgb: &[u8]) -> FrameRow {
    let half = halved(frame, rgb);
    let level = |size: Size, rgb: &[u8], encoding| {
        Some(LevelImage {
            jpeg: tiled_jpeg(size, rgb),
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
    FrameRow { meta, levels }
}

/// Writes a set of `num_frames` made-up frames in shards of `shard_frames` into `dir`.
pub fn write_set(dir: &Path, num_frames: u32, shard_frames: u32) {
    write_pictures(
        dir,
        (0..num_frames).map(|ix| (FRAME, picture(FRAME, ix))),
        shard_frames,
    );
}

/// Writes a set of pictures, RGB triples, in shards of `shard_frames` into `dir`.
pub fn write_pictures(
    dir: &Path,
    pictures: impl IntoIterator<Item = (Size, Vec<u8>)>,
    shard_frames: u32,
) {
    let frames = dir.join(FRAMES_DIR);
    std::fs::create_dir_all(&frames).unwrap();
    let mut pictures = (0..).zip(pictures).peekable();
    while let Some(&(first, _)) = pictures.peek() {
        let end = first + shard_frames;
        let id = ShardId {
            input: "made-up".to_owned(),
            first_item: first.into(),
            end_item: Some(end.into()),
        };
        let mut shard = ShardWriter::create(&frames, &id, &Settings::default()).unwrap();
        while let Some((ix, (size, rgb))) = pictures.next_if(|&(ix, _)| ix < end) {
            shard.push(row(ix, size, &rgb)).unwrap();
        }
        shard.finish(&[]).unwrap();
    }
    catalog::build(dir).unwrap();
}
