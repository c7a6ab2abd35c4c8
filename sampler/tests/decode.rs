//! What the decoder hands to the resize: exactly the pixels of the whole level, from the level that
//! was promised.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use sampler::pixels::decode::{Decoder, Levels, Region};
use sampler::random::rng::{Purpose, Stream};
use sampler::stages::{Clock, StageTimes};
use schemas::geom::{Rect, Size, choose_level};
use schemas::index::LevelSlot;
use testkit::photos;
use turbojpeg::PixelFormat;

const OUTPUT: u32 = 224;

/// A frame in memory; the slot's offset is the level's index.
struct InMemory {
    jpegs: Vec<Vec<u8>>,
}

impl InMemory {
    fn new() -> Self {
        let rgb = photos::picture(photos::FRAME, 3);
        let half = photos::halved(photos::FRAME, &rgb);
        let jpegs = vec![
            photos::photo_jpeg(photos::FRAME, &rgb),
            photos::photo_jpeg(photos::FRAME.at_level(1), &half),
        ];
        Self { jpegs }
    }
}

impl Levels for InMemory {
    fn numbers(&self) -> &[u8] {
        &[0, 1]
    }

    fn slot(&self, level_ix: usize) -> Option<LevelSlot> {
        Some(LevelSlot {
            shard: 0,
            offset: level_ix as u64,
            len: self.jpegs[level_ix].len() as u32,
        })
    }

    fn bytes<'a>(&'a self, slot: LevelSlot, _: &'a mut Vec<u8>) -> schemas::Result<&'a [u8]> {
        Ok(&self.jpegs[slot.offset as usize])
    }
}

fn random_crop(stream: &mut Stream, frame: Size) -> Rect {
    let mut side =
        |limit: u32, least: u32| least + stream.below(u64::from(limit - least + 1)) as u32;
    let (width, height) = (side(frame.width, 8), side(frame.height, 8));
    let (x, y) = (side(frame.width - width, 0), side(frame.height - height, 0));
    Rect::new(x, y, width, height)
}

/// Compares every pixel that the crop touches with the fully decoded level.
fn check(region: &Region<'_>, crop: Rect, whole: &turbojpeg::Image<Vec<u8>>) {
    let scale = f64::from(1 << region.level);
    let [x, y, width, height] = region.crop;
    assert_eq!(
        (width * scale, height * scale),
        (f64::from(crop.width), f64::from(crop.height))
    );
    // Where the decoded rectangle lies in its level.
    let (left, top) = (f64::from(crop.x) / scale - x, f64::from(crop.y) / scale - y);
    assert!(left.fract() == 0.0 && top.fract() == 0.0 && x >= 0.0 && y >= 0.0);
    let (columns, rows) = (
        x as usize..(x + width).ceil() as usize,
        y as usize..(y + height).ceil() as usize,
    );
    assert!(columns.end <= region.size.width as usize && rows.end <= region.size.height as usize);
    for row in rows {
        let here =
            &region.rgb[row * region.size.width as usize * 3..][columns.start * 3..columns.end * 3];
        let there = &whole.pixels[(row + top as usize) * whole.pitch..];
        let there = &there[(columns.start + left as usize) * 3..(columns.end + left as usize) * 3];
        assert!(
            here == there,
            "row {row} of {crop:?} at level {}",
            region.level
        );
    }
}

#[test]
fn regions_are_the_pixels_of_the_whole_level() {
    let frame = InMemory::new();
    let whole: Vec<_> = frame
        .jpegs
        .iter()
        .map(|jpeg| turbojpeg::decompress(jpeg, PixelFormat::RGB).unwrap())
        .collect();
    let mut decoder = Decoder::new().unwrap();
    let mut times = StageTimes::new(Clock::Off);
    let mut stream = Stream::new(0, 0, Purpose::Pair, 0, 0);
    let (mut shared, mut apart, mut mixed) = (0, 0, 0);
    for round in 0..400 {
        let crops = [
            random_crop(&mut stream, photos::FRAME),
            random_crop(&mut stream, photos::FRAME),
        ];
        let exact = round % 5 == 0;
        let [a, b] = decoder
            .decode_pair(&frame, crops, OUTPUT, exact, &mut times)
            .unwrap();
        for (region, crop) in [(&a, crops[0]), (&b, crops[1])] {
            let expected = choose_level(crop.size(), OUTPUT, &[0, 1], |_| true)
                .unwrap()
                .1;
            assert_eq!(region.level, if exact { 0 } else { expected });
            check(region, crop, &whole[usize::from(region.level)]);
        }
        match (a.level == b.level, a.rgb.as_ptr() == b.rgb.as_ptr()) {
            (true, true) => shared += 1,
            (true, false) => apart += 1,
            (false, _) => mixed += 1,
        }
    }
    assert!(
        shared > 40 && apart > 40 && mixed > 40,
        "{shared} shared, {apart} apart, {mixed} of two levels"
    );
}

#[test]
fn damage_is_an_error_and_not_grey_pixels() {
    let mut decoder = Decoder::new().unwrap();
    let mut times = StageTimes::new(Clock::Off);
    let crops = [Rect::new(0, 0, 1000, 700); 2];
    let decode = |decoder: &mut Decoder, times: &mut StageTimes, frame: &InMemory| {
        decoder
            .decode_pair(frame, crops, OUTPUT, false, times)
            .map(|_| ())
    };
    let sound = InMemory::new();
    decode(&mut decoder, &mut times, &sound).unwrap();
    let damages = [
        |jpeg: &mut Vec<u8>| jpeg.truncate(jpeg.len() / 2),
        |jpeg: &mut Vec<u8>| jpeg[5000..5400].fill(0),
        |jpeg: &mut Vec<u8>| jpeg.clear(),
    ];
    for damage in damages {
        let mut frame = InMemory::new();
        damage(&mut frame.jpegs[1]);
        assert!(decode(&mut decoder, &mut times, &frame).is_err());
        // The decoder is none the worse for it.
        decode(&mut decoder, &mut times, &sound).unwrap();
    }
}
