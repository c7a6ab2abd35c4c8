//! Pyramids of made-up images everywhere, and of real ones where there is real data.

use std::path::PathBuf;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use schemas::geom::Rect;
use schemas::tiled::TiledJpeg;
use testkit::{coefficients, real_data};
use turbojpeg::{Image, PixelFormat, Subsamp};

use super::*;

/// Real image files: all that can become frames, with their names.
fn real_images() -> Vec<(String, Vec<u8>)> {
    let mut images = Vec::new();
    let Some(tfrecord) = real_data("waymo/pvps_data_one_frame.tfrecord") else {
        return images;
    };
    use crate::source::waymo::{
        messages::Frame,
        tfrecord::{Event, Records},
    };
    for event in Records::open(&tfrecord).unwrap() {
        let Event::Record(record) = event.unwrap() else {
            panic!("a lost record")
        };
        let frame: Frame = prost::Message::decode(record.data).unwrap();
        let jpegs = frame
            .images
            .into_iter()
            .map(|image| (format!("camera {:?}", image.name), image.image));
        images.extend(jpegs.map(|(name, jpeg)| (name, jpeg.unwrap().to_vec())));
    }
    for folder in ["odd", "street_1216p", "street_1080p"] {
        let path = real_data(folder).expect("the folder of real data is there");
        let mut files: Vec<PathBuf> = path
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        files.truncate(if folder == "odd" { usize::MAX } else { 3 });
        images.extend(
            files
                .iter()
                .map(|file| (file.display().to_string(), std::fs::read(file).unwrap())),
        );
    }
    let mut builder = Builder::new(&Settings::default());
    images.retain(|(_, bytes)| builder.build(bytes).is_ok());
    images
}

/// A picture with gradients and edges, so that a shift by one pixel shows.
fn scene(size: Size, layout: Layout) -> Vec<u8> {
    let channels = if layout == Layout::Grey { 1 } else { 3 };
    let pixel = |x: u32, y: u32, c: u32| {
        let (x, y) = (f64::from(x), f64::from(y));
        let wave = (x / 23.0).sin() * 50.0 + (y / 31.0 + f64::from(c)).cos() * 50.0;
        let checks = if (x / 40.0) as u32 % 2 == (y / 40.0) as u32 % 2 {
            30.0
        } else {
            0.0
        };
        (100.0 + wave + checks) as u8
    };
    (0..size.height)
        .flat_map(|y| (0..size.width).flat_map(move |x| (0..channels).map(move |c| pixel(x, y, c))))
        .collect()
}

/// A JPEG of [`scene`] without restart markers.
fn scene_jpeg(size: Size, layout: Layout, has_full_chroma: bool) -> Vec<u8> {
    let (format, sampling) = match layout {
        Layout::Grey => (PixelFormat::GRAY, Subsamp::Gray),
        _ if has_full_chroma => (PixelFormat::RGB, Subsamp::None),
        _ => (PixelFormat::RGB, Subsamp::Sub2x2),
    };
    let pixels = scene(size, layout);
    let (width, height) = (size.width as usize, size.height as usize);
    let image = Image {
        pixels: &pixels[..],
        width,
        pitch: width * format.size(),
        height,
        format,
    };
    turbojpeg::compress(image, 90, sampling).unwrap().to_vec()
}

fn build(bytes: &[u8]) -> Pyramid {
    Builder::new(&Settings::default()).build(bytes).unwrap()
}

fn reason(bytes: &[u8]) -> &'static str {
    Builder::new(&Settings::default())
        .build(bytes)
        .unwrap_err()
        .reason
}

/// All pixels of a JPEG, by rows without gaps, and the bytes of one.
struct Decoded {
    size: Size,
    channels: usize,
    data: Vec<u8>,
}

impl Decoded {
    fn of(jpeg: &[u8]) -> Self {
        let image = jpeg::decode(jpeg).unwrap();
        Self {
            size: Size::new(image.width(), image.height()),
            channels: usize::from(image.color().channel_count()),
            data: image.into_bytes(),
        }
    }

    fn row(&self, x: u32, y: u32, width: u32) -> &[u8] {
        let start = (y as usize * self.size.width as usize + x as usize) * self.channels;
        &self.data[start..start + width as usize * self.channels]
    }

    fn luma(&self, x: u32, y: u32) -> f64 {
        match *self.row(x, y, 1) {
            [grey] => f64::from(grey),
            [r, g, b] => 0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b),
            _ => unreachable!("one or three channels"),
        }
    }
}

#[test]
fn level_0_keeps_the_original_coefficients() {
    let mut compared = 0;
    let made_up = [
        (Layout::Rgb, false),
        (Layout::Rgb, true),
        (Layout::Grey, false),
    ]
    .map(|(layout, full)| {
        (
            format!("{layout:?}"),
            scene_jpeg(Size::new(333, 217), layout, full),
        )
    });
    for (name, bytes) in made_up.into_iter().chain(real_images()) {
        let level = build(&bytes).levels[0].clone().unwrap();
        if level.encoding == Encoding::Lossless {
            let original = coefficients(&bytes);
            assert!(original == coefficients(&level.jpeg), "{name}");
            compared += 1;
        }
    }
    assert!(compared >= 3);
    println!("compared {compared} files");
}

const CUTS_PER_LEVEL: u32 = 100;

#[test]
fn any_cut_of_any_level_equals_the_full_decode() {
    let mut runner = TestRunner::new(Config {
        cases: CUTS_PER_LEVEL,
        failure_persistence: None,
        ..Config::default()
    });
    let mut cuts = 0;
    let made_up =
        [(1936, 1000, false), (971, 643, true), (700, 460, false)].map(|(width, height, full)| {
            (
                "scene".to_owned(),
                scene_jpeg(Size::new(width, height), Layout::Rgb, full),
            )
        });
    for (name, bytes) in made_up.into_iter().chain(real_images()) {
        for level in build(&bytes).levels.into_iter().flatten() {
            let tiled = TiledJpeg::parse(&level.jpeg).unwrap();
            let full = Decoded::of(&level.jpeg);
            let rect = (
                0..full.size.width,
                0..full.size.height,
                1..600u32,
                1..600u32,
            );
            runner
                .run(&rect, |(x, y, width, height)| {
                    let rect = Rect::new(
                        x,
                        y,
                        width.min(full.size.width - x),
                        height.min(full.size.height - y),
                    );
                    let mut jpeg = Vec::new();
                    let shown = tiled.cut(rect, &mut jpeg).unwrap();
                    prop_assert!(shown.contains(rect));
                    let cut = Decoded::of(&jpeg);
                    prop_assert_eq!(cut.size, shown.size());
                    for y in rect.y..rect.bottom() {
                        let expected = full.row(rect.x, y, rect.width);
                        let found = cut.row(rect.x - shown.x, y - shown.y, rect.width);
                        prop_assert!(found == expected, "{} {:?} row {}", name, rect, y);
                    }
                    Ok(())
                })
                .unwrap();
            cuts += CUTS_PER_LEVEL;
        }
    }
    println!("{cuts} cuts compared");
}

/// Mean difference between a level and the frame averaged over 2 × 2 pixels, the level shifted by
/// (dx, dy).
fn mean_difference(frame: &Decoded, level: &Decoded, size: Size, (dx, dy): (i32, i32)) -> f64 {
    let mut sum = 0.0;
    let mut count = 0.0;
    for y in (4..frame.size.height / 2 - 4).step_by(3) {
        for x in (4..frame.size.width / 2 - 4).step_by(3) {
            let box_mean = (0..4)
                .map(|i| frame.luma(2 * x + i % 2, 2 * y + i / 2))
                .sum::<f64>()
                / 4.0;
            let (x, y) = (
                x.saturating_add_signed(dx).min(size.width - 1),
                y.saturating_add_signed(dy),
            );
            sum += (level.luma(x, y) - box_mean).abs();
            count += 1.0;
        }
    }
    sum / count
}

#[test]
fn level_1_lies_exactly_on_the_frame() {
    let sizes = [(1200, 800, false), (961, 641, false), (1031, 777, true)];
    let made_up =
        sizes.map(|(width, height, full)| scene_jpeg(Size::new(width, height), Layout::Rgb, full));
    for bytes in made_up
        .into_iter()
        .chain(real_images().into_iter().take(5).map(|(_, bytes)| bytes))
    {
        let pyramid = build(&bytes);
        let frame = Decoded::of(&pyramid.levels[0].as_ref().unwrap().jpeg);
        let level = pyramid.levels[1].as_ref().unwrap();
        assert_eq!(level.size, pyramid.size.at_level(1));
        let decoded = Decoded::of(&level.jpeg);
        let centred = mean_difference(&frame, &decoded, level.size, (0, 0));
        assert!(centred < 1.6, "{centred}");
        let shifted = [(1, 0), (-1, 0), (0, 1), (0, -1)]
            .map(|by| mean_difference(&frame, &decoded, level.size, by));
        assert!(
            shifted.iter().all(|&difference| difference > 1.2 * centred),
            "{centred} {shifted:?}"
        );
        // No drift to one side: opposite shifts hurt alike.
        assert!((shifted[0] / shifted[1] - 1.0).abs() < 0.15, "{shifted:?}");
        assert!((shifted[2] / shifted[3] - 1.0).abs() < 0.15, "{shifted:?}");
    }
}

#[test]
fn padding_repeats_the_last_column() {
    let level = build(&scene_jpeg(Size::new(1942, 900), Layout::Rgb, false)).levels[1]
        .clone()
        .unwrap();
    assert_eq!(level.size, Size::new(971, 450));
    let decoded = Decoded::of(&level.jpeg);
    assert_eq!(decoded.size, Size::new(63 * 16, 450));
    for y in 0..450 {
        let edge = decoded.luma(970, y);
        assert!(
            (975..1008).all(|x| (decoded.luma(x, y) - edge).abs() < 12.0),
            "row {y}"
        );
    }
}

#[test]
fn levels_are_stored_while_a_view_fits_into_them() {
    let stored = |width, height| {
        let levels = build(&scene_jpeg(Size::new(width, height), Layout::Rgb, false)).levels;
        levels.iter().filter(|level| level.is_some()).count()
    };
    assert_eq!(stored(896, 896), 3);
    assert_eq!(stored(896, 895), 2);
    assert_eq!(stored(448, 900), 2);
    assert_eq!(stored(447, 900), 1);
    assert_eq!(stored(20, 10), 1);
}

#[test]
fn settings_choose_levels_quality_and_chroma() {
    let jpeg = scene_jpeg(Size::new(960, 640), Layout::Rgb, true);
    let settings = Settings {
        levels: vec![1],
        quality: 80,
        chroma: Chroma::C444,
        ..Settings::default()
    };
    let mut builder = Builder::new(&settings);
    let level = builder.build(&jpeg).unwrap().levels[0].clone().unwrap();
    assert_eq!(
        (level.size, level.encoding),
        (Size::new(480, 320), Encoding::Quality(80))
    );
    assert_eq!(
        TiledJpeg::parse(&level.jpeg).unwrap().mcu(),
        Size::new(8, 8)
    );
    let small = scene_jpeg(Size::new(300, 300), Layout::Rgb, true);
    assert_eq!(builder.build(&small).unwrap_err().reason, "too-small");
    let tight = Settings {
        max_pixels: 1000,
        ..Settings::default()
    };
    assert_eq!(
        Builder::new(&tight).build(&jpeg).unwrap_err().reason,
        "too-large"
    );
}

#[test]
fn damage_is_named_and_harmless_oddities_are_not_damage() {
    let jpeg = scene_jpeg(Size::new(400, 300), Layout::Rgb, false);
    assert_eq!(reason(b""), "empty-file");
    assert_eq!(reason(b"GIF89a"), "not-an-image");
    assert_eq!(reason(&jpeg[..jpeg.len() / 2]), "truncated-jpeg");
    assert_eq!(reason(&jpeg[..jpeg.len() - 12]), "truncated-jpeg");
    assert_eq!(reason(&jpeg[..100]), "truncated-jpeg");
    assert_eq!(reason(b"\x89PNG\r\n\x1a\n broken"), "broken-png");

    // A restart marker where none belongs: the decoder would fill up with grey.
    let mut torn = jpeg.clone();
    let middle = torn.len() / 2;
    torn.splice(middle..middle, [0xFF, 0xD3]);
    assert_eq!(reason(&torn), "corrupt-jpeg");

    let mut padded = jpeg.clone();
    padded.splice(jpeg.len() - 2..jpeg.len() - 2, [0; 16]);
    assert_eq!(build(&padded), build(&jpeg));
    let mut jfif_2 = jpeg.clone();
    assert_eq!(&jfif_2[6..12], b"JFIF\0\x01");
    jfif_2[11] = 2;
    assert_eq!(build(&jfif_2).levels[1], build(&jpeg).levels[1]);
    let trailing = [&jpeg[..], &[1, 2, 3]].concat();
    assert_eq!(build(&trailing), build(&jpeg));
    assert_eq!(build(&jpeg[..jpeg.len() - 2]), build(&jpeg));
}

#[test]
fn an_image_without_tables_does_not_borrow_those_of_another() {
    let whole = scene_jpeg(Size::new(400, 300), Layout::Rgb, false);
    let mut without = whole.clone();
    while let Some(at) = without.windows(2).position(|marker| marker == [0xFF, 0xDB]) {
        let length = usize::from(u16::from_be_bytes([without[at + 2], without[at + 3]]));
        without.drain(at..at + 2 + length);
    }
    let mut builder = Builder::new(&Settings::default());
    let alone = builder.build(&without).unwrap_err();
    builder.build(&whole).unwrap();
    assert_eq!(builder.build(&without), Err(alone));
}

#[test]
fn every_mode_of_one_real_frame_shows_the_same_picture() {
    let Some(odd) = real_data("odd") else {
        return;
    };
    let decode = |name: &str| {
        let bytes = std::fs::read(odd.join(format!("{name}.jpg"))).unwrap();
        let level = build(&bytes).levels[0].clone().unwrap();
        (Decoded::of(&level.jpeg), level)
    };
    let (reference, level) = decode("progressive");
    assert_eq!(level.encoding, Encoding::Lossless);
    for (name, is_lossless) in [
        ("gray", true),
        ("s422", true),
        ("s444", true),
        ("cmyk", false),
    ] {
        let (decoded, level) = decode(name);
        assert_eq!(level.encoding == Encoding::Lossless, is_lossless, "{name}");
        assert_eq!(level.size, Size::new(960, 640), "{name}");
        let places = (0..640)
            .step_by(7)
            .flat_map(|y| (0..960).step_by(5).map(move |x| (x, y)));
        let differences = places.map(|(x, y)| (decoded.luma(x, y) - reference.luma(x, y)).abs());
        let (sum, count) = differences.fold((0.0, 0.0), |(sum, count), difference| {
            (sum + difference, count + 1.0)
        });
        assert!(sum / count < 3.0, "{name}: {}", sum / count);
    }
    let (rotated, level) = decode("exif_rotate90");
    assert_eq!(
        (level.size, level.encoding),
        (Size::new(640, 960), Encoding::Quality(93))
    );
    let places = (0..960)
        .step_by(11)
        .flat_map(|y| (0..640).step_by(7).map(move |x| (x, y)));
    // Rotated by 90° clockwise: what was at the left bottom is at the left top.
    let differences = places.map(|(x, y)| (rotated.luma(x, y) - reference.luma(y, 639 - x)).abs());
    let (sum, count) = differences.fold((0.0, 0.0), |(sum, count), difference| {
        (sum + difference, count + 1.0)
    });
    assert!(sum / count < 3.0, "{}", sum / count);
}
