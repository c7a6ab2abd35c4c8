//! Zips as programs write them, byte by byte.

use std::io::Write;

use super::*;
use crate::source::choice::Choice;
use crate::source::image_files::choose;

const UNIX: u16 = 3 << 8;
const WINDOWS: u16 = 0;

struct Entry<'a> {
    name: &'a [u8],
    contents: Vec<u8>,
    stated_bytes: u32,
    crc: u32,
    flags: u16,
    method: u16,
    made_by: u16,
    mode: u32,
    extra: Vec<u8>,
}

fn entry<'a>(name: &'a [u8], contents: &[u8]) -> Entry<'a> {
    Entry {
        name,
        contents: contents.to_vec(),
        stated_bytes: contents.len() as u32,
        crc: rawzip::crc32(contents),
        flags: 0,
        method: 0,
        made_by: UNIX,
        mode: 0o100_644,
        extra: Vec::new(),
    }
}

fn bytes(numbers: &[(u64, usize)]) -> Vec<u8> {
    let number = |&(number, len): &(u64, usize)| number.to_le_bytes()[..len].to_vec();
    numbers.iter().flat_map(number).collect()
}

/// Members, directory, number of members, and where the directory begins.
fn body(entries: &[Entry<'_>]) -> (Vec<u8>, Vec<u8>) {
    let (mut members, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let common = bytes(&[
            (20, 2),
            (entry.flags.into(), 2),
            (entry.method.into(), 2),
            (0, 4),
            (entry.crc.into(), 4),
            (entry.contents.len() as u64, 4),
            (entry.stated_bytes.into(), 4),
            (entry.name.len() as u64, 2),
            (entry.extra.len() as u64, 2),
        ]);
        directory.extend(b"PK\x01\x02");
        directory.extend(bytes(&[(u64::from(entry.made_by) | 20, 2)]));
        directory.extend(&common);
        let offset = members.len() as u64;
        directory.extend(bytes(&[
            (0, 6),
            (u64::from(entry.mode) << 16, 4),
            (offset, 4),
        ]));
        directory.extend([entry.name, &entry.extra].concat());
        members.extend(b"PK\x03\x04");
        members.extend(common);
        members.extend([entry.name, &entry.extra, &entry.contents].concat());
    }
    (members, directory)
}

fn end(num_entries: u64, directory: (u64, u64), comment: &[u8]) -> Vec<u8> {
    let (at, len) = directory;
    let numbers = [
        (0, 4),
        (num_entries, 2),
        (num_entries, 2),
        (len, 4),
        (at, 4),
        (comment.len() as u64, 2),
    ];
    [b"PK\x05\x06", &bytes(&numbers)[..], comment].concat()
}

fn zip_of(entries: &[Entry<'_>]) -> Vec<u8> {
    let (members, directory) = body(entries);
    let place = (members.len() as u64, directory.len() as u64);
    let end = end(entries.len() as u64, place, b"");
    [members, directory, end].concat()
}

fn joined(bytes: &[u8]) -> Arc<Joined> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    Arc::new(Joined::open(&[file.path().to_owned()]).unwrap())
}

/// The image members and what is lost of a zip.
fn indexed(bytes: &[u8]) -> Vec<String> {
    let bytes = joined(bytes);
    let mut gather = Gather::default();
    index(&bytes, &mut gather).unwrap();
    let found = gather.finish();
    let describe = |ix| {
        let path = found.names.get(ix);
        match found.places.get(ix) {
            Err(lost) => format!("{path}: {} {}", lost.defect.reason, lost.defect.detail),
            Ok(Place::Zipped(zipped)) => {
                let zip = open(&bytes).unwrap().unwrap();
                let mut read = String::new();
                let contents = contents(&zip, zipped);
                match contents.and_then(|mut contents| contents.read_to_string(&mut read)) {
                    Ok(_) => format!("{path} = {read}"),
                    Err(error) => format!("{path}: {error}"),
                }
            }
            Ok(other) => panic!("{other:?} in a zip"),
        }
    };
    let is_wanted = |ix: &u64| found.is_lost(*ix) || choose(&found.names.get(*ix)) == Choice::Item;
    (0..found.len()).filter(is_wanted).map(describe).collect()
}

fn unicode_path(stored: &[u8], path: &str) -> Vec<u8> {
    let mut field = bytes(&[
        (0x7075, 2),
        (5 + path.len() as u64, 2),
        (1, 1),
        (rawzip::crc32(stored).into(), 4),
    ]);
    field.extend(path.as_bytes());
    field
}

#[test]
fn names_of_any_encoding_are_told_apart() {
    let utf8 = "街/é.jpg";
    let mut right = entry(b"right\x81.jpg", b"3");
    right.extra = unicode_path(right.name, "right/ü.jpg");
    let mut wrong = entry(b"wrong\x81.jpg", b"4");
    wrong.extra = unicode_path(b"another name", "wrong/ü.jpg");
    let entries = [
        entry(b"\xBD\xD6/\xC0\xB6.jpg", b"1"),
        entry(b"\xBD\xD6/\xBA\xEC.jpg", b"2"),
        entry(utf8.as_bytes(), b"5"),
        right,
        wrong,
    ];
    assert_eq!(
        indexed(&zip_of(&entries)),
        [
            "\\xBD\\xD6/\\xC0\\xB6.jpg = 1",
            "\\xBD\\xD6/\\xBA\\xEC.jpg = 2",
            "街/é.jpg = 5",
            "right/ü.jpg = 3",
            "wrong\\x81.jpg = 4",
        ]
    );
}

#[test]
fn zips_of_windows_have_folders_and_no_waste() {
    let windows = |name: &'static [u8]| Entry {
        made_by: WINDOWS,
        ..entry(name, b"w")
    };
    let entries = [
        windows(b"train\\a\\1.jpg"),
        windows(b"train\\a\\"),
        windows(b"train/b\\2.jpg"),
        windows(b"__MACOSX\\train\\3.jpg"),
        windows(b"train\\._4.jpg"),
        windows(b"train\\@eaDir\\5.jpg"),
        windows(b"..\\6.jpg"),
        // The second half of the first letter is a backslash.
        windows(b"\x95\x5C/7.jpg"),
        // As other programs write them, wherever they run; and what is a letter of Unix.
        entry(b"train\\c\\8.jpg", b"u"),
        entry(b"d/9\\9.jpg", b"u"),
    ];
    assert_eq!(
        indexed(&zip_of(&entries)),
        [
            "train/a/1.jpg = w",
            "train/b/2.jpg = w",
            "6.jpg = w",
            "\\x95\\/7.jpg = w",
            "train/c/8.jpg = u",
            "d/9\\9.jpg = u",
        ]
    );
}

#[test]
fn the_last_of_one_path_wins_and_links_are_followed() {
    let link = |name: &'static [u8], target: &[u8]| Entry {
        mode: 0o120_777,
        ..entry(name, target)
    };
    let entries = [
        entry(b"a.jpg", b"old"),
        entry(b"b.jpg", b"b"),
        link(b"d/l.jpg", b"../a.jpg"),
        entry(b"a.jpg", b"new"),
        link(b"hole.jpg", b"c.jpg"),
    ];
    assert_eq!(
        indexed(&zip_of(&entries)),
        [
            "b.jpg = b",
            "d/l.jpg = new",
            "a.jpg = new",
            "hole.jpg: broken-link it is a link: \"c.jpg\" is not in the archive"
        ]
    );
}

#[test]
fn what_cannot_be_unpacked_says_how_it_is_packed() {
    let method = |name: &'static [u8], method| Entry {
        method,
        ..entry(name, b"x")
    };
    let secret = Entry {
        flags: 1,
        ..entry(b"secret.jpg", b"x")
    };
    let entries = [
        method(b"9.jpg", 9),
        method(b"12.jpg", 12),
        method(b"14.jpg", 14),
        method(b"93.jpg", 93),
        method(b"77.jpg", 77),
        secret,
    ];
    let found = indexed(&zip_of(&entries));
    for (found, expected) in found.iter().zip([
        "method 9 (deflate64)",
        "method 12 (bzip2)",
        "method 14 (lzma)",
        "method 93 (zst",
        "method 77 (unknown)",
        "encrypted",
    ]) {
        assert!(
            found.contains("unsupported-member") && found.contains(expected),
            "{found}"
        );
    }
}

#[test]
fn programs_in_front_and_comments_behind_change_nothing() {
    let (members, directory) = body(&[entry(b"a.jpg", b"a"), entry(b"b.jpg", b"b")]);
    let place = (members.len() as u64, directory.len() as u64);
    let false_end = end(9, (7, 0xFFFF_FFF0), b"not all of it");
    for front in [&b""[..], b"#!/bin/sh\nexit\n"] {
        for comment in [&b""[..], b"a comment", &false_end[..false_end.len() - 4]] {
            let end = end(2, place, comment);
            let zip = [front, &members, &directory, &end].concat();
            assert_eq!(indexed(&zip), ["a.jpg = a", "b.jpg = b"], "{comment:?}");
        }
        let record = bytes(&[
            (44, 8),
            (45, 2),
            (45, 2),
            (0, 8),
            (2, 8),
            (2, 8),
            (place.1, 8),
            (place.0, 8),
        ]);
        let locator = bytes(&[(0, 4), (place.0 + place.1, 8), (1, 4)]);
        let zip64 = [b"PK\x06\x06", &record[..], b"PK\x06\x07", &locator[..]].concat();
        let end = end(0xFFFF, (0xFFFF_FFFF, 0xFFFF_FFFF), b"");
        let zip = [front, &members, &directory, &zip64, &end].concat();
        assert_eq!(
            indexed(&zip),
            ["a.jpg = a", "b.jpg = b"],
            "zip64 behind {front:?}"
        );
    }
}

#[test]
fn more_members_than_the_end_can_count_are_all_there() {
    let names: Vec<String> = (0..65_540).map(|ix| format!("{ix}.jpg")).collect();
    let entries: Vec<Entry<'_>> = names
        .iter()
        .map(|name| entry(name.as_bytes(), b""))
        .collect();
    let bytes = joined(&zip_of(&entries));
    let mut gather = Gather::default();
    index(&bytes, &mut gather).unwrap();
    let members = gather.finish();
    assert_eq!((members.len(), members.is_lost(65_539)), (65_540, false));
}

#[test]
fn a_member_is_not_unpacked_beyond_what_it_states() {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&vec![0; 64 << 20]).unwrap();
    let bomb = Entry {
        contents: encoder.finish().unwrap(),
        method: 8,
        ..entry(b"bomb.jpg", b"small")
    };
    let found = indexed(&zip_of(&[bomb]));
    assert!(
        found[0].starts_with("bomb.jpg: ") && found.len() == 1,
        "{found:?}"
    );
}

#[test]
fn what_is_no_zip_is_lost_with_all_its_bytes() {
    let bytes = joined(b"<html>not found</html>");
    let mut gather = Gather::default();
    index(&bytes, &mut gather).unwrap();
    let lost = gather.finish().places.get(0).unwrap_err();
    assert_eq!(
        (lost.defect.reason, lost.unread_bytes),
        ("damaged-archive", 22)
    );
}
