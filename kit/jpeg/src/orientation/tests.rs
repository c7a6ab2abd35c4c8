//! What Pillow 13 does with the same bytes, form by form.

use super::*;

const TURNED: Orientation = Orientation::Rotate90;
const AS_STORED: Orientation = Orientation::NoTransforms;

/// Bytes of a value in the order of its file.
fn value(kind: u16, is_big_endian: bool) -> Vec<u8> {
    let mut bytes = match kind {
        1 | 2 | 6 | 7 => vec![6],
        3 | 8 => 6u16.to_le_bytes().to_vec(),
        11 => 6f32.to_le_bytes().to_vec(),
        12 => 6f64.to_le_bytes().to_vec(),
        16 => 6u64.to_le_bytes().to_vec(),
        _ => 6u32.to_le_bytes().to_vec(),
    };
    if is_big_endian {
        bytes.reverse();
    }
    if matches!(kind, 5 | 10) {
        bytes.extend(if is_big_endian {
            [0, 0, 0, 1]
        } else {
            [1, 0, 0, 0]
        });
    }
    bytes
}

/// A TIFF structure of entries: tag, type, count, value.
fn tiff(is_big_endian: bool, entries: &[(u16, u16, u32, Vec<u8>)]) -> Vec<u8> {
    let short = |value: u16| {
        if is_big_endian {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    };
    let long = |value: u32| {
        if is_big_endian {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    };
    let name = if is_big_endian { b"MM" } else { b"II" };
    let mut file = [
        &name[..],
        &short(42),
        &long(8),
        &short(entries.len() as u16),
    ]
    .concat();
    let behind = file.len() + 12 * entries.len() + 4;
    let mut elsewhere = Vec::new();
    for (tag, kind, count, value) in entries {
        file.extend([&short(*tag)[..], &short(*kind), &long(*count)].concat());
        if value.len() <= 4 {
            file.extend(value.iter().chain(&[0; 4]).take(4));
        } else {
            file.extend(long((behind + elsewhere.len()) as u32));
            elsewhere.extend(value);
        }
    }
    file.extend([0; 4]);
    [file, elsewhere].concat()
}

fn short(value: u8) -> (u16, u16, u32, Vec<u8>) {
    (0x112, 3, 1, vec![value, 0])
}

fn of_exif(exif: &[u8]) -> Orientation {
    orientation(Some(exif), None)
}

#[test]
fn a_number_of_any_type_turns_and_bytes_do_not() {
    for is_big_endian in [false, true] {
        for kind in [3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 16] {
            let exif = tiff(
                is_big_endian,
                &[(0x112, kind, 1, value(kind, is_big_endian))],
            );
            assert_eq!(of_exif(&exif), TURNED, "type {kind}");
        }
        for kind in [1, 2, 7, 14] {
            let exif = tiff(
                is_big_endian,
                &[(0x112, kind, 1, value(kind, is_big_endian))],
            );
            assert_eq!(of_exif(&exif), AS_STORED, "type {kind}");
        }
    }
}

#[test]
fn of_several_values_or_entries_the_first_counts() {
    let two = tiff(false, &[(0x112, 3, 2, vec![6, 0, 3, 0])]);
    assert_eq!(of_exif(&two), TURNED);
    let three = tiff(
        false,
        &[(
            0x112,
            4,
            3,
            [[6, 0, 0, 0], [3, 0, 0, 0], [1, 0, 0, 0]].concat(),
        )],
    );
    assert_eq!(of_exif(&three), TURNED);
    assert_eq!(of_exif(&tiff(false, &[short(6), short(3)])), TURNED);
    assert_eq!(
        of_exif(&tiff(false, &[(0x112, 3, 0, vec![6, 0])])),
        AS_STORED
    );
    assert_eq!(of_exif(&tiff(false, &[short(9)])), AS_STORED);
}

#[test]
fn a_value_outside_the_data_ends_the_search() {
    let make = (0x10F, 2, 8, b"abcdefg\0".to_vec());
    let exif = tiff(false, &[make, short(6)]);
    assert_eq!(of_exif(&exif), TURNED);
    assert_eq!(of_exif(&exif[..exif.len() - 3]), AS_STORED);
    for len in 0..exif.len() {
        of_exif(&exif[..len]);
    }
}

#[test]
fn names_before_the_structure_and_a_version_in_the_wrong_order_are_read() {
    let exif = tiff(false, &[short(6)]);
    for names in 1..3 {
        assert_eq!(
            of_exif(&[b"Exif\0\0".repeat(names), exif.clone()].concat()),
            TURNED
        );
    }
    let mut swapped = exif;
    swapped[2..4].reverse();
    assert_eq!(of_exif(&swapped), TURNED);
}

#[test]
fn xmp_speaks_where_exif_is_silent() {
    let attribute = b"<rdf:Description tiff:Orientation=\"6\">";
    let element = b"<tiff:Orientation>6</tiff:Orientation>";
    for xmp in [&attribute[..], element] {
        assert_eq!(orientation(None, Some(xmp)), TURNED);
        assert_eq!(orientation(Some(b""), Some(xmp)), TURNED);
        let silent = tiff(false, &[(0x10E, 3, 1, vec![1, 0])]);
        assert_eq!(orientation(Some(&silent), Some(xmp)), TURNED);
        let upright = tiff(false, &[short(1)]);
        assert_eq!(orientation(Some(&upright), Some(xmp)), AS_STORED);
        let bytes = tiff(false, &[(0x112, 1, 1, vec![6])]);
        assert_eq!(orientation(Some(&bytes), Some(xmp)), AS_STORED);
        for broken in [&b"rubbish!"[..], b"II"] {
            assert_eq!(orientation(Some(broken), Some(xmp)), AS_STORED);
        }
    }
}

#[test]
fn the_first_digit_of_xmp_counts() {
    let of = |xmp: &[u8]| orientation(None, Some(xmp));
    assert_eq!(of(b"tiff:Orientation=x tiff:Orientation=\"6\""), TURNED);
    assert_eq!(of(b"tiff:Orientation=\"6\" tiff:Orientation=\"3\""), TURNED);
    assert_eq!(of(b"tiff:Orientation=\"80\""), Orientation::Rotate270);
    assert_eq!(of(b"tiff:Orientation='6'"), AS_STORED);
    assert_eq!(
        of(b"tiff:Orientation=\"0\" tiff:Orientation=\"6\""),
        AS_STORED
    );
    assert_eq!(of(b"tiff:Orientation"), AS_STORED);
}
