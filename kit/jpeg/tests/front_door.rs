//! The pixels of whole files are those of the libraries behind, byte by byte.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Cursor;

use image::{DynamicImage, ImageFormat};
use jpeg::Defect;
use testkit::real_data;
use turbojpeg::{Image, PixelFormat, Subsamp};

const SIZES: [(u32, u32); 5] = [(1, 1), (2, 17), (33, 31), (333, 217), (480, 65)];

/// Interleaved samples that no two places share.
fn samples(count: u32) -> Vec<u8> {
    (0..count)
        .map(|ix| (ix ^ (ix >> 7) ^ (ix >> 3)) as u8)
        .collect()
}

fn jpeg_of((width, height): (u32, u32), format: PixelFormat, sampling: Subsamp) -> Vec<u8> {
    let pitch = width as usize * format.size();
    let image = Image {
        pixels: &samples(pitch as u32 * height)[..],
        width: width as usize,
        pitch,
        height: height as usize,
        format,
    };
    turbojpeg::compress(image, 85, sampling).unwrap().to_vec()
}

fn png_of(image: &DynamicImage) -> Vec<u8> {
    let mut png = Cursor::new(Vec::new());
    image.write_to(&mut png, ImageFormat::Png).unwrap();
    png.into_inner()
}

/// TurboJPEG's pixels of a whole file, by rows without gaps.
fn turbojpeg_rgb(jpeg: &[u8]) -> Vec<u8> {
    let image = turbojpeg::decompress(jpeg, PixelFormat::RGB).unwrap();
    assert_eq!(image.pitch, 3 * image.width);
    image.pixels
}

#[test]
fn plain_jpegs_are_decoded_as_turbojpeg_decodes_them() {
    let kinds = [
        (PixelFormat::RGB, Subsamp::Sub2x2),
        (PixelFormat::RGB, Subsamp::Sub2x1),
        (PixelFormat::RGB, Subsamp::None),
        (PixelFormat::GRAY, Subsamp::Gray),
    ];
    for (size, (format, sampling)) in SIZES
        .into_iter()
        .flat_map(|size| kinds.map(|kind| (size, kind)))
    {
        let jpeg = jpeg_of(size, format, sampling);
        let ours = jpeg::decode_rgb(&jpeg).unwrap();
        assert_eq!(ours.dimensions(), size);
        assert!(
            ours.into_raw() == turbojpeg_rgb(&jpeg),
            "{size:?} {sampling:?}"
        );
        let is_grey = matches!(jpeg::decode(&jpeg).unwrap(), DynamicImage::ImageLuma8(_));
        assert_eq!(is_grey, format == PixelFormat::GRAY);
    }
}

#[test]
fn pngs_of_any_kind_are_decoded_as_the_image_crate_decodes_them() {
    for (width, height) in SIZES {
        let grey = image::GrayImage::from_raw(width, height, samples(width * height)).unwrap();
        let rgba = image::RgbaImage::from_raw(width, height, samples(4 * width * height)).unwrap();
        let deep = samples(8 * width * height)
            .chunks_exact(2)
            .map(|pair| u16::from_ne_bytes([pair[0], pair[1]]))
            .collect();
        let rgba = DynamicImage::from(rgba);
        let deep = image::ImageBuffer::<image::Rgba<u16>, _>::from_raw(width, height, deep);
        let deep = DynamicImage::from(deep.unwrap());
        for image in [
            DynamicImage::from(rgba.to_rgb8()),
            DynamicImage::from(rgba.to_luma_alpha8()),
            DynamicImage::from(deep.to_luma16()),
            DynamicImage::from(deep.to_luma_alpha16()),
            DynamicImage::from(deep.to_rgb16()),
            rgba,
            deep,
            DynamicImage::from(grey),
        ] {
            let png = png_of(&image);
            let theirs = image::load_from_memory(&png).unwrap().into_rgb8();
            let kind = image.color();
            assert!(jpeg::decode_rgb(&png).unwrap() == theirs, "{kind:?}");
        }
    }
}

#[test]
fn exif_turns_a_picture_upright() {
    let plain = jpeg_of((48, 32), PixelFormat::RGB, Subsamp::None);
    // Big-endian TIFF, one entry: orientation (0x0112), one SHORT, 6: turn by 90° clockwise.
    let exif = b"Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let length = (exif.len() as u16 + 2).to_be_bytes();
    let turned = [&plain[..2], &[0xFF, 0xE1], &length, exif, &plain[2..]].concat();
    let plain = jpeg::decode(&plain).unwrap();
    assert!(jpeg::decode(&turned).unwrap() == plain.rotate90());
}

#[test]
fn a_png_without_its_last_chunk_is_whole_if_its_pixels_are() {
    const END_BYTES: usize = 12;
    let image = image::GrayImage::from_raw(33, 31, samples(33 * 31)).unwrap();
    let png = png_of(&image.into());
    let without_end = &png[..png.len() - END_BYTES];
    assert!(jpeg::decode(without_end) == jpeg::decode(&png));
    for len in 0..without_end.len() {
        assert!(jpeg::decode(&png[..len]).is_err(), "{len} bytes");
    }
}

/// Big-endian TIFF, one entry: orientation (0x0112), one LONG, 6: turn by 90° clockwise.
const TURNING: &[u8] = b"MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x04\0\0\0\x01\0\0\0\x06\0\0\0\0";

#[test]
fn xmp_turns_a_picture_upright() {
    let plain = jpeg_of((48, 32), PixelFormat::RGB, Subsamp::None);
    let xmp = b"http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation=\"6\"/>";
    let length = (xmp.len() as u16 + 2).to_be_bytes();
    let turned = [&plain[..2], &[0xFF, 0xE1], &length, xmp, &plain[2..]].concat();
    let plain = jpeg::decode(&plain).unwrap();
    assert!(jpeg::decode(&turned).unwrap() == plain.rotate90());
}

#[test]
fn pngs_are_turned_upright_whatever_says_so() {
    type Write = fn(&mut png::Encoder<'_, &mut Vec<u8>>);
    let digits = || {
        TURNING
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let written = |write: &dyn Fn(&mut png::Encoder<'_, &mut Vec<u8>>)| {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 6, 4);
        encoder.set_color(png::ColorType::Rgb);
        write(&mut encoder);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&samples(72)).unwrap();
        writer.finish().unwrap();
        jpeg::decode(&bytes).unwrap()
    };
    let plain = written(&|_| {});
    let profile = format!("\nexif\n{:8}\n{}\n", TURNING.len(), digits());
    let raw = |encoder: &mut png::Encoder<'_, &mut Vec<u8>>| {
        let name = "Raw profile type exif".to_owned();
        encoder.add_ztxt_chunk(name, profile.clone()).unwrap();
    };
    let xmp: Write = |encoder| {
        let text = "<tiff:Orientation>6</tiff:Orientation>".to_owned();
        encoder
            .add_itxt_chunk("XML:com.adobe.xmp".to_owned(), text)
            .unwrap();
    };
    assert!(written(&raw) == plain.rotate90());
    assert!(written(&xmp) == plain.rotate90());
}

#[test]
fn damage_is_named() {
    let jpeg = jpeg_of((64, 64), PixelFormat::RGB, Subsamp::Sub2x2);
    assert_eq!(jpeg::check(&jpeg), Ok(()));
    let half = &jpeg[..jpeg.len() / 2];
    let reason = |result: Result<(), Defect>| result.unwrap_err().reason;
    assert_eq!(reason(jpeg::check(half)), "truncated-jpeg");
    assert_eq!(reason(jpeg::decode(half).map(drop)), "truncated-jpeg");
    assert_eq!(reason(jpeg::decode(b"GIF89a").map(drop)), "not-an-image");
}

#[test]
fn real_files_are_decoded_as_turbojpeg_decodes_them() {
    let Some(folder) = real_data("street_1080p") else {
        return;
    };
    let mut files: Vec<_> = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "jpg"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files.iter().take(5) {
        let jpeg = std::fs::read(file).unwrap();
        assert!(
            jpeg::decode_rgb(&jpeg).unwrap().into_raw() == turbojpeg_rgb(&jpeg),
            "{file:?}"
        );
    }
}
