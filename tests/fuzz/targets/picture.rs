//! Image files: any bytes become levels that can be cut, or a named defect; a PNG's numbers are as many
//! as its size says.
#![no_main]

use std::cell::RefCell;

use ingest::pyramid::Builder;
use jpeg::StoredPng;
use libfuzzer_sys::fuzz_target;
use schemas::geom::Rect;
use schemas::shard::Settings;
use schemas::tiled::TiledJpeg;

thread_local! {
    static BUILDER: RefCell<Builder> = RefCell::new(Builder::new(&settings()));
}

fn settings() -> Settings {
    Settings {
        max_pixels: 1 << 18,
        ..Settings::default()
    }
}

fuzz_target!(|data: &[u8]| {
    if let Ok(png) = StoredPng::read(data, settings().max_pixels) {
        assert_eq!(png.samples.len() as u64, png.size.area() * png.channels as u64);
    }
    let built = BUILDER.with_borrow_mut(|builder| builder.build(data));
    let Ok(pyramid) = built else { return };
    let mut out = Vec::new();
    for level in pyramid.levels.iter().flatten() {
        let tiled = TiledJpeg::parse(&level.jpeg).expect("a stored level is tile-addressable");
        let (all, size) = (tiled.size(), level.size);
        assert!(size.width <= all.width && size.height <= all.height && size.area() > 0);
        tiled
            .cut(Rect::new(size.width / 2, size.height / 2, 1, 1), &mut out)
            .expect("a stored level can be cut");
    }
});
