//! Halves and coefficients against those of TurboJPEG, and against damage.

use proptest::prelude::*;
use schemas::geom::Size;
use testkit::coefficients;
use turbojpeg::{Decompressor, Image, PixelFormat, ScalingFactor, Subsamp, Transform, YuvImage};

use super::*;
use crate::decoder;

const SIZES: [(u32, u32); 7] = [
    (1, 1),
    (2, 17),
    (16, 16),
    (33, 31),
    (333, 217),
    (480, 65),
    (640, 464),
];

fn jpeg(width: u32, height: u32, sampling: Subsamp) -> Vec<u8> {
    let (width, height) = (width as usize, height as usize);
    let pixel = |x: usize, y: usize| {
        [
            ((x * 5) ^ y) as u8,
            (x / 3 + y * 2) as u8,
            (x + y / 2) as u8,
        ]
    };
    let pixels: Vec<u8> = (0..height)
        .flat_map(|y| (0..width).flat_map(move |x| pixel(x, y)))
        .collect();
    let image = Image {
        pixels: &pixels[..],
        width,
        pitch: 3 * width,
        height,
        format: PixelFormat::RGB,
    };
    turbojpeg::compress(image, 90, sampling).unwrap().to_vec()
}

fn progressive(jpeg: &[u8]) -> Vec<u8> {
    let mut transform = Transform::default();
    transform.progressive = true;
    turbojpeg::transform(&transform, jpeg).unwrap().to_vec()
}

fn half(jpeg: &[u8], size: Size, layout: Layout) -> Result<Raster> {
    let mut half = Raster::new(size.at_level(1), layout, 16);
    Transcoder::new(jpeg)?.decode_half(&mut half)?;
    Ok(half)
}

fn halving_decoder() -> Decompressor {
    let mut decoder = Decompressor::new().unwrap();
    decoder.set_scaling_factor(ScalingFactor::ONE_HALF).unwrap();
    decoder
}

/// The valid samples of a plane.
fn valid(plane: &Plane) -> Vec<u8> {
    let row_bytes = (plane.size.width * plane.channels) as usize;
    plane
        .data
        .chunks(plane.stride())
        .take(plane.size.height as usize)
        .flat_map(|row| row[..row_bytes].to_vec())
        .collect()
}

#[test]
fn planes_of_a_half_are_those_of_turbojpeg() {
    for (width, height) in SIZES {
        let baseline = jpeg(width, height, Subsamp::Sub2x2);
        for jpeg in [&baseline, &progressive(&baseline)] {
            let size = Size::new(width, height);
            let half = half(jpeg, size, Layout::Ycc420).unwrap();
            let (width, height) = (half.size.width as usize, half.size.height as usize);
            let mut theirs = YuvImage {
                pixels: vec![0; 2 * (width + 1) * (height + 1)],
                width,
                align: 1,
                height,
                subsamp: Subsamp::Sub2x2,
            };
            halving_decoder()
                .decompress_to_yuv(jpeg, theirs.as_deref_mut())
                .unwrap();
            let mut planes = theirs.pixels.as_slice();
            // TurboJPEG's luma has an even number of columns and rows.
            for (plane, multiple) in half.planes.iter().zip([2, 1, 1]) {
                let columns = (plane.size.width as usize).next_multiple_of(multiple);
                let rows = (plane.size.height as usize).next_multiple_of(multiple);
                let (theirs, rest) = planes.split_at(columns * rows);
                let ours = valid(plane);
                let (ours, theirs) = (
                    ours.chunks(plane.size.width as usize),
                    theirs.chunks(columns),
                );
                for (y, (ours, theirs)) in ours.zip(theirs).enumerate() {
                    assert_eq!(ours, &theirs[..ours.len()], "{size} row {y}");
                }
                planes = rest;
            }
        }
    }
}

#[test]
fn pixels_of_a_half_are_those_of_turbojpeg() {
    let kinds = [
        (Subsamp::None, Layout::Rgb, PixelFormat::RGB),
        (Subsamp::Sub2x1, Layout::Rgb, PixelFormat::RGB),
        (Subsamp::Sub2x2, Layout::Rgb, PixelFormat::RGB),
        (Subsamp::Gray, Layout::Grey, PixelFormat::GRAY),
    ];
    for ((width, height), (sampling, layout, format)) in SIZES
        .iter()
        .flat_map(|&size| kinds.map(|kind| (size, kind)))
    {
        let baseline = jpeg(width, height, sampling);
        for jpeg in [&baseline, &progressive(&baseline)] {
            let half = half(jpeg, Size::new(width, height), layout).unwrap();
            let (width, height) = (half.size.width as usize, half.size.height as usize);
            let pitch = width * format.size();
            let mut theirs = Image {
                pixels: vec![0; pitch * height],
                width,
                pitch,
                height,
                format,
            };
            halving_decoder()
                .decompress(jpeg, theirs.as_deref_mut())
                .unwrap();
            assert!(
                valid(&half.planes[0]) == theirs.pixels,
                "{width}x{height} {sampling:?}"
            );
        }
    }
}

#[test]
fn coefficients_are_written_unchanged_before_and_after_decoding() {
    for (width, height) in SIZES {
        let baseline = jpeg(width, height, Subsamp::Sub2x2);
        for jpeg in [&baseline, &progressive(&baseline)] {
            let written = |transcoder: Transcoder<'_>| {
                let mut out = Vec::with_capacity(2 * jpeg.len() + 1000);
                transcoder.write(Restart(1), &mut out).unwrap();
                out
            };
            let at_once = written(Transcoder::new(jpeg).unwrap());
            let mut transcoder = Transcoder::new(jpeg).unwrap();
            let mut half = Raster::new(Size::new(width, height).at_level(1), Layout::Ycc420, 16);
            transcoder.decode_half(&mut half).unwrap();
            assert!(written(transcoder) == at_once);
            assert!(coefficients(&at_once) == coefficients(jpeg));
        }
    }
}

#[test]
fn misuse_is_an_error() {
    let grey = jpeg(64, 64, Subsamp::Gray);
    assert!(
        half(&grey, Size::new(64, 64), Layout::Ycc420).is_err(),
        "no chroma"
    );
    let colour = jpeg(64, 64, Subsamp::None);
    assert!(
        half(&colour, Size::new(64, 64), Layout::Ycc420).is_err(),
        "full chroma"
    );
    let large = jpeg(640, 64, Subsamp::Sub2x2);
    assert!(
        half(&large, Size::new(64, 64), Layout::Ycc420).is_err(),
        "too narrow planes"
    );
    assert!(
        half(&large, Size::new(640, 6), Layout::Rgb).is_err(),
        "too few rows"
    );
    let twice = |transcoder: &mut Transcoder<'_>| {
        let mut half = Raster::new(Size::new(320, 32), Layout::Ycc420, 16);
        transcoder
            .decode_half(&mut half)
            .and_then(|()| transcoder.decode_half(&mut half))
    };
    assert!(
        twice(&mut Transcoder::new(&large).unwrap()).is_err(),
        "decoded twice"
    );
    assert!(
        Transcoder::new(&large)
            .unwrap()
            .write(Restart(1), &mut Vec::with_capacity(700))
            .is_err(),
        "too small a buffer"
    );
}

#[test]
fn thousands_of_scans_are_refused() {
    let one_block = jpeg(8, 8, Subsamp::None);
    let scan_at = one_block
        .windows(2)
        .position(|marker| marker == [0xFF, 0xDA])
        .unwrap();
    // A scan of one flat block, a component each: DC difference 0, end of block, ones to fill
    // up the byte.
    let scan = |component: u8, tables: u8, block: u8| {
        [0xFF, 0xDA, 0, 8, 1, component, tables, 0, 63, 0, block]
    };
    let scans = [
        scan(1, 0, 0b0010_1011),
        scan(2, 0x11, 0b0000_1111),
        scan(3, 0x11, 0b0000_1111),
    ]
    .concat();
    let file =
        |repeats: usize| [&one_block[..scan_at], &scans.repeat(repeats), &[0xFF, 0xD9]].concat();
    assert!(half(&file(1), Size::new(8, 8), Layout::Rgb).is_ok());
    assert!(
        half(&file(1000), Size::new(8, 8), Layout::Rgb)
            .unwrap_err()
            .detail
            .contains("500 scans")
    );
    let transcode =
        |jpeg: &[u8]| Transcoder::new(jpeg)?.write(Restart(1), &mut Vec::with_capacity(2000));
    assert!(transcode(&file(1)).is_ok());
    assert!(transcode(&file(1000)).is_err());
}

proptest! {
    #[test]
    fn flipped_bytes_end_without_a_crash(
        is_progressive: bool,
        cut: prop::sample::Index,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1..=255u8), 1..4),
    ) {
        let mut bytes = jpeg(96, 80, Subsamp::Sub2x2);
        if is_progressive {
            bytes = progressive(&bytes);
        }
        for (at, bits) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= bits;
        }
        // Mostly whole.
        bytes.truncate(bytes.len() - cut.index(2 * bytes.len()).saturating_sub(bytes.len()));
        let _ = decoder::check(&bytes);
        let _ = crate::decode(&bytes);
        let mut out = Vec::with_capacity(100_000);
        let mut half = Raster::new(Size::new(48, 40), Layout::Ycc420, 16);
        if let Ok(mut transcoder) = Transcoder::new(&bytes)
            && transcoder.decode_half(&mut half).is_ok()
        {
            let _ = transcoder.write(Restart(1), &mut out);
        }
    }
}
