//! Shards of made-up frames, written through `schemas` alone.

use std::path::Path;

use schemas::frame::{Encoding, FrameMeta, FrameRow, LevelImage};
use schemas::geom::Size;
use schemas::shard::{Settings, ShardId, ShardWriter};
use schemas::{catalog, tiled};
use turbojpeg::{Image, PixelFormat, Subsamp};

const SIZE: Size = Size {
    width: 320,
    height: 240,
};
/// Height of an MCU row at 4:2:0.
const STRIP: usize = 16;

/// Writes one shard of `count` different frames with level 0, and its catalog.
pub fn make(dir: &Path, count: u64) {
    make_scenes(dir, &(0..count).collect::<Vec<_>>());
}

/// The same with a frame for each of `scenes`; equal ones look alike.
pub fn make_scenes(dir: &Path, scenes: &[u64]) {
    let settings = Settings {
        levels: vec![0],
        ..Settings::default()
    };
    let id = ShardId {
        input: "made-up".into(),
        first_item: 0,
        end_item: None,
    };
    let frames = dir.join("frames");
    std::fs::create_dir_all(&frames).unwrap();
    let mut writer = ShardWriter::create(&frames, &id, &settings).unwrap();
    for (ix, scene_ix) in (0..).zip(scenes) {
        let jpeg = tiled::embed_index(&tiled_jpeg(&scene(*scene_ix))).unwrap();
        let level = LevelImage {
            jpeg,
            size: SIZE,
            encoding: Encoding::Lossless,
        };
        writer
            .push(FrameRow {
                meta: meta(ix),
                levels: vec![Some(level)],
            })
            .unwrap();
    }
    writer.finish(&[]).unwrap();
    catalog::build(dir).unwrap();
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

/// A baseline 4:2:0 JPEG with a restart after every MCU row: each row is compressed on its own with
/// the same tables, and the entropy-coded parts are joined by RST markers.
fn tiled_jpeg(rgb: &[u8]) -> Vec<u8> {
    let pitch = 3 * SIZE.width as usize;
    let strips: Vec<Vec<u8>> = rgb
        .chunks(pitch * STRIP)
        .map(|pixels| {
            let image = Image {
                pixels,
                width: SIZE.width as usize,
                pitch,
                height: pixels.len() / pitch,
                format: PixelFormat::RGB,
            };
            turbojpeg::compress(image, 90, Subsamp::Sub2x2)
                .unwrap()
                .to_vec()
        })
        .collect();
    let scan = |jpeg: &[u8]| {
        let sos = jpeg.windows(2).position(|w| w == [0xFF, 0xDA]).unwrap();
        let len = usize::from(u16::from_be_bytes([jpeg[sos + 2], jpeg[sos + 3]]));
        (sos, sos + 2 + len)
    };
    let (sos, data) = scan(&strips[0]);
    let mut out = strips[0][..sos].to_vec();
    let sof = out.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
    out[sof + 5..sof + 7].copy_from_slice(&(SIZE.height as u16).to_be_bytes());
    let mcus_per_row = SIZE.width.div_ceil(16) as u16;
    out.extend([0xFF, 0xDD, 0, 4]);
    out.extend(mcus_per_row.to_be_bytes());
    out.extend(&strips[0][sos..data]);
    for (ix, strip) in strips.iter().enumerate() {
        let (_, data) = scan(strip);
        out.extend(&strip[data..strip.len() - 2]);
        match ix + 1 == strips.len() {
            true => out.extend([0xFF, 0xD9]),
            false => out.extend([0xFF, 0xD0 + (ix % 8) as u8]),
        }
    }
    out
}

#[test]
fn a_made_up_frame_is_a_tiled_jpeg_that_decodes() {
    let rgb = scene(3);
    let jpeg = tiled::embed_index(&tiled_jpeg(&rgb)).unwrap();
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
