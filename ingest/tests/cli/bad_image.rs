//! Broken images are skipped, counted and listed one by one; those beside them are not touched.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use schemas::geom::Size;

use crate::support::{frames_of, ingest, ingest_json, ingest_to, jpeg, skipped_in, stderr};

const SIZE: Size = Size {
    width: 480,
    height: 464,
};

/// Position of the first segment of this marker, at its 0xFF.
fn segment(jpeg: &[u8], marker: u8) -> usize {
    let mut at = 2;
    while jpeg[at + 1] != marker {
        at += 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
    }
    at
}

fn start_of_scan(jpeg: &[u8]) -> usize {
    let header = segment(jpeg, 0xDA);
    header + 2 + usize::from(u16::from_be_bytes([jpeg[header + 2], jpeg[header + 3]]))
}

fn patched(bytes: &[u8], at: usize, patch: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + patch.len()].copy_from_slice(patch);
    bytes
}

/// `jpeg` with another size in its header.
fn sized(jpeg: &[u8], width: u16, height: u16) -> Vec<u8> {
    let sides = [height.to_be_bytes(), width.to_be_bytes()].concat();
    patched(jpeg, segment(jpeg, 0xC0) + 5, &sides)
}

/// `jpeg` without its third component.
fn two_components(jpeg: &[u8]) -> Vec<u8> {
    let (frame, scan) = (segment(jpeg, 0xC0), segment(jpeg, 0xDA));
    let mut bytes = jpeg[..frame].to_vec();
    bytes.extend([0xFF, 0xC0, 0, 14]);
    bytes.extend(&jpeg[frame + 4..frame + 9]);
    bytes.push(2);
    bytes.extend(&jpeg[frame + 10..frame + 16]);
    bytes.extend(&jpeg[frame + 19..scan]);
    bytes.extend([0xFF, 0xDA, 0, 10, 2]);
    bytes.extend(&jpeg[scan + 5..scan + 9]);
    bytes.extend(&jpeg[scan + 11..]);
    bytes
}

/// Encoded by another process of the standard than Huffman coding of DCT coefficients.
fn exotic(set_up: fn(&mut turbojpeg::Compressor) -> turbojpeg::Result<()>) -> Vec<u8> {
    let (width, height) = (SIZE.width as usize, SIZE.height as usize);
    let pixels: Vec<u8> = (0..3 * width * height)
        .map(|ix| (ix / 7 % 251) as u8)
        .collect();
    let image = turbojpeg::Image {
        pixels: &pixels[..],
        width,
        pitch: 3 * width,
        height,
        format: turbojpeg::PixelFormat::RGB,
    };
    let mut compressor = turbojpeg::Compressor::new().unwrap();
    set_up(&mut compressor).unwrap();
    compressor.compress_to_vec(image).unwrap()
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let image = image::RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([x as u8, y as u8, (x * y) as u8])
    });
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// `png` with another size in its header, whose checksum is made to hold.
fn resized_png(png: &[u8], width: u32, height: u32) -> Vec<u8> {
    let bytes = patched(
        png,
        16,
        &[width.to_be_bytes(), height.to_be_bytes()].concat(),
    );
    let crc = crc32(&bytes[12..29]);
    patched(&bytes, 29, &crc.to_be_bytes())
}

/// CRC-32 of PNG chunks (ISO 3309), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0xEDB8_8320
            } else {
                crc >> 1
            }
        })
    })
}

/// Broken files: name, content, reason of the skip.
fn broken() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = jpeg(SIZE, 1);
    let (scan, frame) = (start_of_scan(&good), segment(&good, 0xC0));
    let cut = |at: usize| good[..at].to_vec();
    let process = |marker: u8| patched(&good, frame + 1, &[marker]);
    let png = png(300, 200);
    let middle = (scan + good.len()) / 2;
    vec![
        ("empty.jpg", cut(0), "empty-file"),
        ("one_byte.jpg", cut(1), "not-an-image"),
        ("soi.jpg", cut(2), "truncated-jpeg"),
        (
            "cut_in_tables.jpg",
            cut(segment(&good, 0xDB) + 10),
            "truncated-jpeg",
        ),
        ("cut_in_frame_header.jpg", cut(frame + 5), "truncated-jpeg"),
        (
            "cut_in_huffman_table.jpg",
            cut(segment(&good, 0xC4) + 9),
            "truncated-jpeg",
        ),
        ("cut_before_scan.jpg", cut(scan), "truncated-jpeg"),
        ("cut_in_scan.jpg", cut(middle), "truncated-jpeg"),
        ("cut_near_end.jpg", cut(good.len() - 4), "truncated-jpeg"),
        (
            "no_image.jpg",
            [cut(2), vec![0xFF, 0xD9]].concat(),
            "truncated-jpeg",
        ),
        (
            "stray_restart.jpg",
            patched(&good, middle, &[0xFF, 0xD3]),
            "corrupt-jpeg",
        ),
        (
            "early_end.jpg",
            patched(&good, middle, &[0xFF, 0xD9]),
            "corrupt-jpeg",
        ),
        ("too_tall.jpg", sized(&good, 480, 900), "corrupt-jpeg"),
        ("too_wide.jpg", sized(&good, 960, 464), "corrupt-jpeg"),
        ("no_rows.jpg", sized(&good, 480, 0), "undecodable-jpeg"),
        ("no_columns.jpg", sized(&good, 0, 464), "undecodable-jpeg"),
        ("gigapixels.jpg", sized(&good, 65_500, 65_500), "too-large"),
        ("beyond_jpeg.jpg", sized(&good, 65_535, 65_535), "too-large"),
        (
            "two_components.jpg",
            two_components(&good),
            "undecodable-jpeg",
        ),
        (
            "junk_and_hierarchical.jpg",
            [&good[..frame], &[7, 7], &process(0xC5)[frame..]].concat(),
            "undecodable-jpeg",
        ),
        ("claimed_progressive.jpg", process(0xC2), "undecodable-jpeg"),
        ("claimed_lossless.jpg", process(0xC3), "undecodable-jpeg"),
        ("claimed_arithmetic.jpg", process(0xC9), "undecodable-jpeg"),
        (
            "claimed_hierarchical.jpg",
            process(0xC5),
            "undecodable-jpeg",
        ),
        (
            "wrong_table.jpg",
            patched(&good, segment(&good, 0xC4) + 5, &[0xFF; 16]),
            "undecodable-jpeg",
        ),
        (
            "bytes_before.jpg",
            [vec![0, 0], good.clone()].concat(),
            "not-an-image",
        ),
        ("cut.png", png[..png.len() / 2].to_vec(), "broken-png"),
        ("signature.png", png[..8].to_vec(), "broken-png"),
        ("flipped.png", patched(&png, 60, &[!png[60]]), "broken-png"),
        ("no_rows.png", resized_png(&png, 300, 0), "broken-png"),
        (
            "too_few_rows.png",
            resized_png(&png, 300, 2000),
            "broken-png",
        ),
        // Found by fuzzing: a palette that ends in the middle of a colour.
        (
            "cut_palette.png",
            include_bytes!("../fixtures/cut_palette.png").to_vec(),
            "broken-png",
        ),
        ("bomb.png", resized_png(&png, 60_000, 60_000), "too-large"),
        (
            "largest_bomb.png",
            resized_png(&png, i32::MAX as u32, i32::MAX as u32),
            "too-large",
        ),
        (
            "animation.gif",
            b"GIF87a and so on".to_vec(),
            "not-an-image",
        ),
        ("bitmap.bmp", b"BM and so on".to_vec(), "not-an-image"),
        ("scan.tiff", b"II*\0 and so on".to_vec(), "not-an-image"),
        ("page.webp", b"RIFF\x10\0\0\0WEBP".to_vec(), "not-an-image"),
    ]
}

fn write_good(input: &Path) {
    fs::create_dir_all(input).unwrap();
    let arithmetic = exotic(|compressor| compressor.set_arithmetic(true));
    let lossless = exotic(|compressor| compressor.set_lossless(true));
    for (name, bytes) in [
        ("a_good.jpg", jpeg(SIZE, 1)),
        ("good.png", png(300, 200)),
        ("good_arithmetic.jpg", arithmetic),
        ("good_lossless.jpg", lossless),
        (
            "good_trailing_bytes.jpg",
            [jpeg(SIZE, 2), b"and more".to_vec()].concat(),
        ),
        ("z_good.jpg", jpeg(SIZE, 3)),
    ] {
        fs::write(input.join(name), bytes).unwrap();
    }
}

#[track_caller]
fn assert_verified(set: &Path) {
    let output = ingest(["verify".as_ref(), set.as_os_str()]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
fn broken_images_are_skipped_by_name_and_the_others_stay_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    // The folder's own name is part of every frame's.
    let (clean, mixed) = (dir.path().join("clean/in"), dir.path().join("mixed/in"));
    write_good(&clean);
    write_good(&mixed);
    let broken = broken();
    for (name, bytes, _) in &broken {
        fs::write(mixed.join(name), bytes).unwrap();
    }
    let (undisturbed, out) = (dir.path().join("undisturbed"), dir.path().join("out"));
    ingest_json("images", &clean, &undisturbed, &[]);
    let output = ingest_to(
        "images",
        &mixed,
        &out,
        &["--max-bad", &broken.len().to_string()],
    );
    assert!(output.status.success(), "{}", stderr(&output));

    let found: BTreeMap<String, String> = skipped_in(&out).into_iter().collect();
    let expected = broken
        .iter()
        .map(|(name, _, reason)| (format!("in/{name}"), (*reason).to_owned()));
    assert_eq!(found, expected.collect());
    assert_eq!(frames_of(&out), frames_of(&undisturbed));
    assert_verified(&out);
}

#[test]
fn the_limit_decides_the_exit_code_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in");
    write_good(&input);
    for ix in 0..2 {
        fs::write(input.join(format!("broken_{ix}.jpg")), b"").unwrap();
    }
    // Two of eight.
    for (limit, code) in [
        ("1", 1),
        ("2", 0),
        ("24.9%", 1),
        ("25%", 0),
        ("0", 1),
        ("100%", 0),
    ] {
        let out = dir.path().join(limit);
        let output = ingest_to("images", &input, &out, &["--max-bad", limit]);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{limit}: {}",
            stderr(&output)
        );
        assert_eq!(skipped_in(&out).len(), 2, "{limit}");
        assert_eq!(
            stderr(&output).contains(&format!("more than --max-bad {limit} allows")),
            code == 1
        );
        crate::support::assert_same_tree(&dir.path().join("1"), &out);
    }
}

#[test]
fn an_image_with_any_flipped_bit_is_a_sound_row_or_a_named_skip() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (dir.path().join("in"), dir.path().join("out"));
    fs::create_dir_all(&input).unwrap();
    let good = jpeg(Size::new(320, 240), 5);
    let scan = start_of_scan(&good);
    // Half of them in the header, which decides most.
    let in_header = (0..100).map(|ix| ix * scan / 100);
    let in_scan = (0..100).map(|ix| scan + ix * (good.len() - scan) / 100);
    for (ix, position) in in_header.chain(in_scan).enumerate() {
        let flipped = good[position] ^ 1 << (ix * 5 % 8);
        fs::write(
            input.join(format!("{ix:03}.jpg")),
            patched(&good, position, &[flipped]),
        )
        .unwrap();
    }
    let summary = ingest_json("images", &input, &out, &["--max-bad", "100%"]);
    let (written, skipped) = (
        summary["frames_written"].as_u64().unwrap(),
        summary["frames_skipped"].as_u64().unwrap(),
    );
    assert_eq!(written + skipped, 200);
    assert!(written > 0 && skipped > 0, "{summary}");
    // What was stored decodes without a warning.
    assert_verified(&out);
}
