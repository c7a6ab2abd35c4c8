//! Tile-addressable JPEGs made by libjpeg-turbo here; real frames are cut in the tests of `ingest`.

use super::*;
use crate::geom::Rect;
use proptest::prelude::*;

/// A JPEG skeleton: right markers, tiles of made-up entropy bytes. Enough for everything but
/// decoding.
pub(crate) fn skeleton(
    size: Size,
    restart: u16,
    tile_bytes: impl Fn(u32, u32) -> Vec<u8>,
) -> Vec<u8> {
    let mut jpeg = vec![0xFF, 0xD8];
    jpeg.extend_from_slice(&[0xFF, 0xC0, 0, 17, 8]);
    jpeg.extend_from_slice(&(size.height as u16).to_be_bytes());
    jpeg.extend_from_slice(&(size.width as u16).to_be_bytes());
    jpeg.extend_from_slice(&[3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1]);
    jpeg.extend_from_slice(&[0xFF, 0xDD, 0, 4]);
    jpeg.extend_from_slice(&restart.to_be_bytes());
    jpeg.extend_from_slice(&[0xFF, 0xDA, 0, 12, 3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0]);
    let (columns, rows) = (
        size.width.div_ceil(16) / u32::from(restart),
        size.height.div_ceil(16),
    );
    for tile in 0..columns * rows {
        if tile > 0 {
            jpeg.extend_from_slice(&[0xFF, 0xD0 + ((tile - 1) % 8) as u8]);
        }
        jpeg.extend(tile_bytes(tile % columns, tile / columns));
    }
    jpeg.extend_from_slice(&[0xFF, 0xD9]);
    jpeg
}

/// Bytes that name their tile, with stuffed 0xFF bytes among them.
pub(crate) fn named(column: u32, row: u32) -> Vec<u8> {
    vec![0xFF, 0, column as u8, row as u8, 0xFF, 0]
}

#[test]
fn a_cut_holds_exactly_the_tiles_it_touches() {
    let tiled = embed_index(&skeleton(Size::new(16 * 12, 80), 3, named)).unwrap();
    let tiled = TiledJpeg::parse(&tiled).unwrap();
    assert_eq!(
        (tiled.columns(), tiled.rows(), tiled.tile()),
        (4, 5, Size::new(48, 16))
    );

    // One pixel inside tile (2, 3) but at its left border: the margin pulls in tile (1, 3).
    let mut out = Vec::new();
    let shown = tiled.cut(Rect::new(96, 60, 1, 1), &mut out).unwrap();
    assert_eq!(shown, Rect::new(48, 48, 96, 16));
    let expected = [&named(1, 3)[..], &[0xFF, 0xD0], &named(2, 3), &[0xFF, 0xD9]].concat();
    assert!(out.ends_with(&expected));
}

#[test]
fn an_index_is_replaced_not_repeated() {
    let once = embed_index(&skeleton(Size::new(96, 64), 2, named)).unwrap();
    assert_eq!(embed_index(&once).unwrap(), once);
}

#[test]
fn a_whole_cut_is_the_original() {
    let plain = skeleton(Size::new(96, 64), 2, named);
    let tiled = embed_index(&plain).unwrap();
    let mut out = Vec::new();
    TiledJpeg::parse(&tiled)
        .unwrap()
        .cut(Rect::new(0, 0, 96, 64), &mut out)
        .unwrap();
    assert_eq!(out, plain);
}

#[test]
fn no_entry_of_the_index_is_trusted() {
    // Found by fuzzing: the entry of the first row led into the middle of its first tile.
    let jpeg = embed_index(&skeleton(Size::new(128, 64), 4, named)).unwrap();
    let at = jpeg
        .windows(8)
        .position(|window| window == b"MSTILES\0")
        .unwrap()
        + 9;
    let row = |jpeg: &[u8], row: u32| {
        let mut out = Vec::new();
        let tiled = TiledJpeg::parse(jpeg).unwrap();
        tiled
            .cut(Rect::new(8, row * tiled.tile().height + 4, 1, 1), &mut out)
            .map(|_| out)
    };
    let rows = TiledJpeg::parse(&jpeg).unwrap().rows();
    let mut refused = 0;
    for byte in at..at + 4 * rows as usize {
        let mut wrong = jpeg.clone();
        wrong[byte] ^= 1;
        for ix in 0..rows {
            match row(&wrong, ix) {
                Ok(cut) => assert_eq!(cut, row(&jpeg, ix).unwrap(), "byte {byte}, row {ix}"),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused >= 4 * rows, "{refused}");
}

#[test]
fn a_cut_allocates_once() {
    let tiled = embed_index(&skeleton(Size::new(960, 640), 10, named)).unwrap();
    let tiled = TiledJpeg::parse(&tiled).unwrap();
    let mut out = Vec::new();
    tiled.cut(Rect::new(0, 0, 960, 640), &mut out).unwrap();
    let (pointer, capacity) = (out.as_ptr(), out.capacity());
    tiled.cut(Rect::new(100, 100, 300, 300), &mut out).unwrap();
    assert_eq!((out.as_ptr(), out.capacity()), (pointer, capacity));
}

#[test]
fn rectangles_outside_are_refused() {
    let tiled = embed_index(&skeleton(Size::new(96, 64), 2, named)).unwrap();
    let tiled = TiledJpeg::parse(&tiled).unwrap();
    for rect in [
        Rect::new(0, 0, 97, 1),
        Rect::new(0, 0, 0, 5),
        Rect::new(90, 60, 1, 5),
    ] {
        assert!(tiled.cut(rect, &mut Vec::new()).is_err(), "{rect:?}");
    }
}

#[test]
fn what_is_no_tiled_jpeg_is_refused_by_name() {
    let good = skeleton(Size::new(96, 64), 2, named);
    let message = |jpeg: &[u8]| TiledJpeg::parse(jpeg).unwrap_err().to_string();
    assert!(message(&good).contains("no tile index"));
    assert!(message(b"hello").contains("SOI"));
    assert!(message(&good[..40]).contains("header"));
    let mut uneven = good.clone();
    uneven[26] = 5;
    assert!(
        embed_index(&uneven)
            .unwrap_err()
            .to_string()
            .contains("does not divide")
    );
    let mut progressive = good;
    progressive[3] = 0xC2;
    assert!(message(&progressive).contains("baseline"));
}

proptest! {
    /// Any damage is an error or a JPEG of the promised rectangle, never a panic.
    #[test]
    fn damage_never_panics(flips in prop::collection::vec((0usize..2000, 0u8..8), 1..20), cut_at in 0usize..2000) {
        let mut jpeg = embed_index(&skeleton(Size::new(200, 120), 13, named)).unwrap();
        for (at, bit) in flips {
            let len = jpeg.len();
            jpeg[at % len] ^= 1 << bit;
        }
        jpeg.truncate(cut_at.max(2));
        if let Ok(tiled) = TiledJpeg::parse(&jpeg) {
            let size = tiled.size();
            let _ = tiled.cut(Rect::new(0, 0, size.width.min(50), size.height.min(50)), &mut Vec::new());
        }
        let _ = embed_index(&jpeg);
    }
}
