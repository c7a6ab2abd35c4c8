//! What a decoder warns about and what costs no coefficient: such a file is as good as the clean one
//! that it was made from, for whoever checks, decodes, or transcodes it. Damage beside it is named.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use jpeg::{Defect, Encoder, Jpeg, Layout, Raster, Restart};
use schemas::geom::Size;
use testkit::coefficients;
use turbojpeg::Transform;

const SIZE: Size = Size {
    width: 96,
    height: 64,
};

/// A baseline JPEG, without restart markers or with one every four MCUs.
fn baseline(restart: Restart) -> Vec<u8> {
    let pixel = |x: u32, y: u32| [((x * 5) ^ y) as u8, (x / 3 + y * 2) as u8, (x * y) as u8];
    let pixels: Vec<u8> = (0..SIZE.height)
        .flat_map(|y| (0..SIZE.width).flat_map(move |x| pixel(x, y)))
        .collect();
    let raster = Raster::from_pixels(SIZE, Layout::Rgb, 16, &pixels);
    let mut encoder = Encoder::new();
    encoder
        .encode(&raster, 90, false, restart)
        .unwrap()
        .to_vec()
}

fn progressive() -> Vec<u8> {
    let mut transform = Transform::default();
    transform.progressive = true;
    turbojpeg::transform(&transform, &baseline(Restart(0)))
        .unwrap()
        .to_vec()
}

/// The positions of all markers, the SOI marker aside.
fn markers(jpeg: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut at = 2;
    while at + 1 < jpeg.len() {
        match (jpeg[at], jpeg[at + 1]) {
            (0xFF, 0xD0..=0xD9) => {
                found.push(at);
                at += 2;
            }
            (0xFF, 0xC0..=0xFE) => {
                found.push(at);
                at += 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
            }
            _ => at += 1,
        }
    }
    found
}

fn marker(jpeg: &[u8], code: u8) -> usize {
    let mut found = markers(jpeg).into_iter();
    found.find(|&at| jpeg[at + 1] == code).unwrap()
}

fn with(jpeg: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    [&jpeg[..at], bytes, &jpeg[at..]].concat()
}

/// `bytes` in front of every marker for which `is_wanted`.
fn with_before(jpeg: &[u8], bytes: &[u8], is_wanted: impl Fn(u8) -> bool) -> Vec<u8> {
    let places = markers(jpeg).into_iter().rev();
    let places = places.filter(|&at| is_wanted(jpeg[at + 1]));
    places.fold(jpeg.to_vec(), |jpeg, at| with(&jpeg, at, bytes))
}

fn without_segments(jpeg: &[u8], code: u8) -> Vec<u8> {
    let mut jpeg = jpeg.to_vec();
    while let Some(at) = markers(&jpeg).into_iter().find(|&at| jpeg[at + 1] == code) {
        let length = usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
        jpeg.drain(at..at + 2 + length);
    }
    jpeg
}

fn segment(code: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16 + 2).to_be_bytes();
    [&[0xFF, code][..], &length, body].concat()
}

fn transcoded(jpeg: &[u8]) -> Result<Vec<u8>, Defect> {
    let jpeg = Jpeg::open(jpeg, u64::MAX)?;
    let mut encoder = Encoder::new();
    let transcoded = encoder.transcode(jpeg.transcoder()?, jpeg.size(), Restart(1))?;
    Ok(transcoded.to_vec())
}

/// What checking, decoding and transcoding say; they never disagree.
#[track_caller]
fn verdict(jpeg: &[u8]) -> Result<Vec<u8>, Defect> {
    let transcoded = transcoded(jpeg);
    let reason = |defect: Defect| defect.reason;
    let expected = transcoded
        .as_ref()
        .map(drop)
        .map_err(|defect| defect.reason);
    assert_eq!(jpeg::check(jpeg).map_err(reason), expected);
    assert_eq!(jpeg::decode(jpeg).map(drop).map_err(reason), expected);
    transcoded
}

#[track_caller]
fn assert_as_good_as(clean: &[u8], odd: &[u8], name: &str) {
    assert!(odd != clean, "{name}");
    let stored = verdict(odd).unwrap_or_else(|defect| panic!("{name}: {defect:?}"));
    // Reading coefficients panics on warnings: what is stored is clean.
    assert!(coefficients(&stored) == coefficients(clean), "{name}");
    assert!(jpeg::decode(odd) == jpeg::decode(clean), "{name}");
}

#[track_caller]
fn reason(jpeg: &[u8]) -> &'static str {
    verdict(jpeg).unwrap_err().reason
}

#[test]
fn bad_colour_profiles_cost_nothing() {
    let clean = baseline(Restart(0));
    let chunk = |number: u8, of: u8| {
        segment(
            0xE2,
            &[b"ICC_PROFILE\0", &[number, of][..], &[0; 128]].concat(),
        )
    };
    let frame = marker(&clean, 0xC0);
    for (name, odd) in [
        ("whole", with(&clean, 2, &chunk(1, 1))),
        ("chunk missing", with(&clean, 2, &chunk(1, 2))),
        ("chunk twice", with(&clean, 2, &chunk(1, 1).repeat(2))),
        ("chunk 0", with(&clean, 2, &chunk(0, 1))),
        (
            "counts differ",
            with(&clean, 2, &[chunk(1, 2), chunk(2, 3)].concat()),
        ),
        (
            "empty",
            with(&clean, 2, &segment(0xE2, b"ICC_PROFILE\0\x01\x01")),
        ),
        (
            "two",
            with(&with(&clean, frame, &chunk(1, 1)), 2, &chunk(1, 1)),
        ),
    ] {
        assert_as_good_as(&clean, &odd, name);
    }
}

#[test]
fn padding_before_any_marker_costs_nothing() {
    for clean in [baseline(Restart(0)), baseline(Restart(4)), progressive()] {
        for count in [1, 2, 7, 8, 9, 100] {
            for byte in [0, 0xFF] {
                let padding = vec![byte; count];
                let odd = with_before(&clean, &padding, |_| true);
                assert_as_good_as(&clean, &odd, &format!("{count} times {byte} everywhere"));
                let at = *markers(&clean).last().unwrap();
                let odd = with(&clean, at, &padding);
                assert_as_good_as(
                    &clean,
                    &odd,
                    &format!("{count} times {byte} before the end"),
                );
            }
        }
    }
}

#[test]
fn one_padded_interval_of_many_costs_nothing() {
    let clean = baseline(Restart(1));
    let restarts = markers(&clean).into_iter();
    let restarts = restarts.filter(|&at| matches!(clean[at + 1], 0xD0..=0xD7));
    for at in restarts {
        for count in [1, 2, 6, 20] {
            let odd = with(&clean, at, &vec![0; count]);
            assert_as_good_as(&clean, &odd, &format!("{count} at {at}"));
        }
    }
}

#[test]
fn junk_between_segments_and_what_an_encoder_leaves_behind_an_interval_cost_nothing() {
    let clean = baseline(Restart(4));
    let junk = [1, 2, 0xFF, 0, 3];
    let odd = with_before(&clean, &junk, |code| !matches!(code, 0xD0..=0xD9));
    assert_as_good_as(&clean, &odd, "between segments");
    let odd = with_before(&clean, &junk, |code| matches!(code, 0xD0..=0xD9));
    assert_as_good_as(&clean, &odd, "behind intervals");
    let clean = progressive();
    let tables = marker(&clean, 0xC4);
    let scan = markers(&clean).into_iter().find(|&at| at > tables).unwrap();
    assert_as_good_as(&clean, &with(&clean, scan, &junk), "between scans");
}

#[test]
fn headers_of_zeros_and_unknown_versions_cost_nothing() {
    let clean = baseline(Restart(0));
    let scan = marker(&clean, 0xDA);
    let mut zeros = clean.clone();
    zeros[scan + 11..scan + 14].fill(0);
    assert_as_good_as(&clean, &zeros, "scan header of zeros");
    let mut jfif = clean.clone();
    assert_eq!(&jfif[6..12], b"JFIF\0\x01");
    jfif[11] = 2;
    assert_as_good_as(&clean, &jfif, "JFIF 2");
    let adobe = segment(0xEE, b"Adobe\0\x64\0\0\0\0\x07");
    assert_as_good_as(&clean, &with(&clean, 2, &adobe), "Adobe transform 7");
}

#[test]
fn a_frame_of_a_video_camera_has_the_usual_tables() {
    let clean = baseline(Restart(4));
    let bare = without_segments(&clean, 0xC4);
    let bare = with(&bare, 2, &segment(0xE0, b"AVI1\0\0\0\0\0\0\0\0"));
    assert_as_good_as(&clean, &bare, "without tables");
    let padded = with_before(&bare, &[0, 0], |_| true);
    assert_as_good_as(&clean, &padded, "without tables, with padding");
    // Junk may be what is left of the tables.
    let junk = with(&bare, marker(&bare, 0xDA), &[1, 2, 3]);
    assert_eq!(reason(&junk), "undecodable-jpeg");
}

#[test]
fn a_missing_end_costs_nothing_behind_whole_scans() {
    for clean in [baseline(Restart(0)), baseline(Restart(4)), progressive()] {
        for cut in [1, 2] {
            let odd = &clean[..clean.len() - cut];
            assert_as_good_as(&clean, odd, &format!("{cut} bytes"));
        }
        let other = [
            &clean[..clean.len() - 2],
            b"what another program wrote here",
        ]
        .concat();
        assert_as_good_as(&clean, &other, "other bytes instead");
    }
}

#[test]
fn a_truncated_file_is_damaged_or_loses_nothing() {
    for clean in [baseline(Restart(0)), baseline(Restart(4)), progressive()] {
        let expected = coefficients(&clean);
        let whole = (3..clean.len()).filter(|&len| match verdict(&clean[..len]) {
            Ok(stored) => {
                assert!(coefficients(&stored) == expected, "{len} bytes");
                true
            }
            Err(_) => false,
        });
        // The end marker in two pieces, and bits that only fill up the last byte.
        let count = whole.count();
        assert!((2..=4).contains(&count), "{count}");
    }
}

#[test]
fn missing_scans_are_named() {
    let clean = progressive();
    let last_scan = markers(&clean).into_iter().rev();
    let last_scan = last_scan.skip(1).find(|&at| clean[at + 1] == 0xC4).unwrap();
    assert_eq!(reason(&clean[..last_scan]), "truncated-jpeg");
    // With an end marker of its own the file means it so: decoders smooth what is missing.
    let first_scan = marker(&clean, 0xDA);
    let second = markers(&clean)
        .into_iter()
        .find(|&at| at > first_scan)
        .unwrap();
    let ended = [&clean[..second], &[0xFF, 0xD9]].concat();
    assert!(jpeg::decode(&ended).is_ok());
    assert_eq!(transcoded(&ended).unwrap_err().reason, jpeg::UNFINISHED);
}

#[test]
fn lost_data_are_named() {
    let clean = baseline(Restart(4));
    let restarts: Vec<usize> = markers(&clean)
        .into_iter()
        .filter(|&at| matches!(clean[at + 1], 0xD0..=0xD7))
        .collect();
    let interval = restarts[3]..restarts[4];
    let mut lost = clean.clone();
    lost.drain(interval.clone());
    assert_eq!(reason(&lost), "corrupt-jpeg", "a lost interval");
    let mut zeroed = clean.clone();
    zeroed[interval].fill(0);
    assert_eq!(reason(&zeroed), "corrupt-jpeg", "an interval of zeros");
    let mut swapped = clean.clone();
    swapped[restarts[3] + 1] = 0xD5;
    assert_eq!(reason(&swapped), "corrupt-jpeg", "a wrong restart marker");
    let junk = with(&clean, restarts[3], &[0x55; 300]);
    assert_eq!(reason(&junk), "corrupt-jpeg", "a whole interval too much");
    let clean = progressive();
    let scan = markers(&clean).into_iter().rev().nth(1).unwrap();
    let tables = markers(&clean)
        .into_iter()
        .rfind(|&at| at < scan && clean[at + 1] == 0xC4)
        .unwrap();
    let junk = with(&clean, tables, &[0x55; 20]);
    assert_eq!(reason(&junk), "corrupt-jpeg", "junk behind a scan");
}
