use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::super::tfrecord::{Event, Records, framed, masked_crc};
use super::*;

fn three() -> Vec<u8> {
    let noise = |seed: u32| -> Vec<u8> {
        (0..3000_u32)
            .map(|ix| (ix.wrapping_mul(seed) >> 13) as u8)
            .collect()
    };
    [2_654_435_761, 2_246_822_519, 3_266_489_917]
        .map(|seed| framed(&noise(seed)))
        .concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::stream::encode_all(bytes, 3).unwrap()
}

/// Offsets of good records, offsets and reasons of lost ones, and the checksum at the end.
type Found = (Vec<(u64, &'static str)>, Option<(u64, u32)>);

fn read(file: &[u8]) -> Found {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tfrecord");
    std::fs::write(&path, file).unwrap();
    let place = Place::File(path);
    let Unpacked {
        reader,
        len,
        packed,
    } = open(&place).unwrap();
    let mut records = match len {
        Some(len) => Records::new(reader, len),
        None => Records::of_unknown_length(reader),
    };
    let events = records.by_ref().map(|event| match event.unwrap() {
        Event::Record(record) => (record.offset, "ok"),
        Event::Lost { offset, defect, .. } => (offset, defect.reason),
    });
    let events = events.collect();
    let checksum = match packed {
        Some(packed) => packed.checksum(&place).unwrap(),
        None => records.checksum(),
    };
    (events, checksum)
}

fn checksum(file: &[u8]) -> Option<(u64, u32)> {
    Some((file.len() as u64, crc32c::crc32c(file)))
}

#[test]
fn a_compressed_file_is_read_like_a_plain_one_and_its_checksum_is_its_own() {
    let plain = three();
    let (expected, sum) = read(&plain);
    assert_eq!(expected.len(), 3);
    assert_eq!(sum, checksum(&plain));
    // Two members, as `cat a.gz b.gz` makes them.
    let joined = [gzip(&plain[..4000]), gzip(&plain[4000..])].concat();
    for packed in [gzip(&plain), zstd(&plain), joined] {
        assert_eq!(read(&packed), (expected.clone(), checksum(&packed)));
    }
}

#[test]
fn a_truncated_compressed_file_gives_its_whole_records_and_one_loss() {
    let plain = three();
    let (records, _) = read(&plain);
    // Zstandard gives nothing of a block, which is longer than these, before it is whole.
    for (pack, least) in [(gzip as fn(&[u8]) -> Vec<u8>, 1), (zstd, 0)] {
        let packed = pack(&plain);
        let mut most = 0;
        for len in (5..packed.len()).step_by(397) {
            let (found, sum) = read(&packed[..len]);
            let (last, whole) = found.split_last().unwrap();
            assert_eq!(last.1, "truncated-tfrecord", "{len} bytes");
            assert_eq!(*whole, records[..whole.len()], "{len} bytes");
            assert_eq!(sum, checksum(&packed[..len]));
            most = most.max(whole.len());
        }
        assert!(most >= least);
    }
}

#[test]
fn damage_inside_ends_the_file_and_never_panics() {
    let plain = three();
    let (records, _) = read(&plain);
    for pack in [gzip, zstd] {
        let packed = pack(&plain);
        for at in (12..packed.len()).step_by(211) {
            let mut damaged = packed.clone();
            damaged[at] ^= 0x10;
            let (found, sum) = read(&damaged);
            let ok = found.iter().filter(|event| event.1 == "ok");
            assert!(ok.clone().all(|event| records.contains(event)), "byte {at}");
            assert!(ok.count() < found.len() || found == records, "byte {at}");
            assert_eq!(sum, checksum(&damaged));
        }
    }
}

#[test]
fn what_unpacks_to_too_much_is_a_bomb() {
    let records = framed(&[0; 1000]).repeat(100);
    let packed = gzip(&records);
    let decoder = MultiGzDecoder::new(&packed[..]);
    let guarded = Guarded::new(decoder, "damaged-compression", 20_000);
    let events: Vec<Event> = Records::of_unknown_length(guarded)
        .map(|event| event.unwrap())
        .collect();
    let Some((Event::Lost { defect, .. }, before)) = events.split_last() else {
        panic!("nothing is lost")
    };
    assert_eq!(defect.reason, "compression-bomb");
    assert!(before.len() < 20);
    assert_eq!(limit(1_000_000), 200_000_000 + (1 << 30));
}

#[test]
fn a_large_record_that_a_small_file_claims_takes_no_memory() {
    let length = (1_u64 << 30).to_le_bytes();
    let header = [&length[..], &masked_crc(&length).to_le_bytes(), b"little"].concat();
    assert_eq!(read(&gzip(&header)).0, [(0, "truncated-tfrecord")]);
}
