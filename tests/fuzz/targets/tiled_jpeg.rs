//! Tile-addressable JPEGs: parsing and cutting take any bytes; where a cut-out and the whole decode
//! without a warning, their pixels are the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use schemas::geom::Rect;
use schemas::tiled::{TiledJpeg, embed_index};
use turbojpeg::{Image, PixelFormat};

/// Larger pictures cost time and find nothing more.
const MOST_PIXELS: u64 = 1 << 18;

fuzz_target!(|data: &[u8]| {
    let Some((place, jpeg)) = data.split_first_chunk::<4>() else {
        return;
    };
    let _ = embed_index(jpeg);
    let Ok(tiled) = TiledJpeg::parse(jpeg) else {
        return;
    };
    let size = tiled.size();
    if size.area() > MOST_PIXELS {
        return;
    }
    // Any rectangle of the image, from four bytes.
    let [x, y, w, h] = place.map(u32::from);
    let (x, y) = (x * size.width / 256, y * size.height / 256);
    let rect = Rect::new(
        x,
        y,
        1 + w * (size.width - x - 1) / 255,
        1 + h * (size.height - y - 1) / 255,
    );
    let mut out = Vec::new();
    let Ok(shown) = tiled.cut(rect, &mut out) else {
        return;
    };
    assert!(shown.contains(rect) && shown.right() <= size.width && shown.bottom() <= size.height);
    let decode = |jpeg: &[u8]| turbojpeg::decompress(jpeg, PixelFormat::RGB).ok();
    let (Some(whole), Some(part)) = (decode(jpeg), decode(&out)) else {
        return;
    };
    assert_eq!(
        (part.width as u32, part.height as u32),
        (shown.width, shown.height)
    );
    for row in 0..rect.height as usize {
        let whole = pixels(&whole, rect.x, rect.y as usize + row, rect.width);
        let part = pixels(
            &part,
            rect.x - shown.x,
            (rect.y - shown.y) as usize + row,
            rect.width,
        );
        assert_eq!(whole, part, "row {row} of {rect:?}");
    }
});

fn pixels(image: &Image<Vec<u8>>, x: u32, y: usize, width: u32) -> &[u8] {
    let start = y * image.pitch + 3 * x as usize;
    &image.pixels[start..start + 3 * width as usize]
}
