//! Files that cameras and editors write beside the standard, without losing a coefficient: each is
//! stored as its clean original is.

use std::fs;
use std::path::Path;

use jpeg::{Encoder, Layout, Raster, Restart};
use schemas::geom::Size;

use crate::support::{frames_of, ingest, ingest_json, jpeg};

const SIZE: Size = Size {
    width: 480,
    height: 464,
};

/// Position of the first marker of this code, which no byte in front of it looks like.
fn marker(jpeg: &[u8], code: u8) -> usize {
    jpeg.windows(2)
        .position(|pair| pair == [0xFF, code])
        .unwrap()
}

fn with(jpeg: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    [&jpeg[..at], bytes, &jpeg[at..]].concat()
}

/// An ICC profile's chunk of this number, of so many.
fn profile(number: u8, of: u8) -> Vec<u8> {
    let body = [b"ICC_PROFILE\0", &[number, of][..], &[0; 128]].concat();
    let length = (body.len() as u16 + 2).to_be_bytes();
    [&[0xFF, 0xE2], &length[..], &body].concat()
}

/// A grey ramp with restart markers.
fn with_restarts() -> Vec<u8> {
    let pixels: Vec<u8> = (0..SIZE.area()).map(|ix| (ix % 251) as u8).collect();
    let raster = Raster::from_pixels(SIZE, Layout::Grey, 8, &pixels);
    let mut encoder = Encoder::new();
    encoder
        .encode(&raster, 90, false, Restart(8))
        .unwrap()
        .to_vec()
}

/// Odd files and the clean one that each was made from.
fn odd_files() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let (plain, restarts) = (jpeg(SIZE, 1), with_restarts());
    let (end, tables) = (plain.len() - 2, marker(&plain, 0xC4));
    let mut zeros = plain.clone();
    let scan = marker(&plain, 0xDA);
    zeros[scan + 11..scan + 14].fill(0);
    let of_plain = [
        ("profile_incomplete", with(&plain, 2, &profile(1, 2))),
        ("profile_twice", with(&plain, 2, &profile(1, 1).repeat(2))),
        ("profile_number_0", with(&plain, 2, &profile(0, 1))),
        ("junk_between_segments", with(&plain, tables, &[0, 0, 7, 0])),
        ("padding_before_end", with(&plain, end, &[0; 16])),
        ("scan_header_of_zeros", zeros),
        ("no_end", plain[..end].to_vec()),
        ("half_an_end", plain[..end + 1].to_vec()),
    ];
    let restart = marker(&restarts, 0xD0);
    let of_restarts = [
        ("zeros_before_restart", with(&restarts, restart, &[0, 0])),
        (
            "fill_before_restart",
            with(&restarts, restart, &[0xFF, 0xFF]),
        ),
    ];
    let of_plain = of_plain.map(|(name, odd)| (name, odd, plain.clone()));
    let of_restarts = of_restarts.map(|(name, odd)| (name, odd, restarts.clone()));
    of_plain.into_iter().chain(of_restarts).collect()
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join(format!("{name}.jpg")), bytes).unwrap();
}

#[test]
fn odd_files_are_stored_as_their_clean_originals() {
    let dir = tempfile::tempdir().unwrap();
    // The folder's own name is part of every frame's.
    let (odd, clean) = (dir.path().join("odd/in"), dir.path().join("clean/in"));
    for (name, bytes, original) in odd_files() {
        write(&odd, name, &bytes);
        write(&clean, name, &original);
    }
    let (odd_set, clean_set) = (dir.path().join("a"), dir.path().join("b"));
    let summary = ingest_json("images", &odd, &odd_set, &[]);
    assert_eq!(summary["frames_skipped"], 0, "{summary}");
    ingest_json("images", &clean, &clean_set, &[]);
    let (stored, expected) = (frames_of(&odd_set), frames_of(&clean_set));
    assert_eq!((stored.len(), expected.len()), (10, 10));
    for (name, (_, levels)) in stored {
        assert!(levels == expected[&name].1, "{name}");
    }
    let verified = ingest(["verify".as_ref(), odd_set.as_os_str()]);
    assert!(verified.status.success());
}
