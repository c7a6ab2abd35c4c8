use super::*;
use proptest::prelude::*;

fn three() -> Vec<u8> {
    [framed(b"first"), framed(b""), framed(&[7; 1000])].concat()
}

fn read(bytes: &[u8]) -> Vec<Event> {
    Records::new(bytes, bytes.len() as u64)
        .map(|event| event.unwrap())
        .collect()
}

/// Offsets of good records, and offsets and reasons of lost ones.
fn summary(bytes: &[u8]) -> Vec<(u64, &'static str)> {
    let events = read(bytes).into_iter();
    events
        .map(|event| match event {
            Event::Record(record) => (record.offset, "ok"),
            Event::Lost { offset, defect, .. } => (offset, defect.reason),
        })
        .collect()
}

#[test]
fn records_come_back_with_their_offsets() {
    assert_eq!(summary(&three()), [(0, "ok"), (21, "ok"), (37, "ok")]);
    assert_eq!(summary(b""), []);
}

#[test]
fn the_tfrecord_crate_reads_the_same() {
    let bytes = three();
    let theirs = tfrecord::RecordIter::<Vec<u8>, _>::from_reader(&bytes[..], Default::default());
    let theirs: Vec<Vec<u8>> = theirs.map(|record| record.unwrap()).collect();
    let ours = read(&bytes).into_iter().map(|event| match event {
        Event::Record(record) => record.data.to_vec(),
        Event::Lost { .. } => panic!("a good record was lost"),
    });
    assert_eq!(ours.collect::<Vec<_>>(), theirs);
}

#[test]
fn a_flipped_length_ends_the_file() {
    for at in [21, 25, 30] {
        let mut bytes = three();
        bytes[at] ^= 4;
        assert_eq!(
            summary(&bytes),
            [(0, "ok"), (21, "bad-length-crc")],
            "byte {at}"
        );
    }
}

#[test]
fn flipped_data_costs_one_record() {
    for at in [12, 16, 17, 20] {
        let mut bytes = three();
        bytes[at] ^= 1;
        assert_eq!(
            summary(&bytes),
            [(0, "bad-data-crc"), (21, "ok"), (37, "ok")],
            "byte {at}"
        );
    }
}

#[test]
fn every_truncation_is_named() {
    let bytes = three();
    for len in [1, 11, 12, 20, 22, 36, 38, bytes.len() - 1] {
        let (_, last) = *summary(&bytes[..len]).last().unwrap();
        assert_eq!(last, "truncated-tfrecord", "{len} bytes");
    }
}

#[test]
fn a_length_of_terabytes_allocates_nothing() {
    for length in [1u64 << 42, u64::MAX] {
        let length = length.to_le_bytes();
        let bytes = [&length[..], &masked_crc(&length).to_le_bytes(), b"data"].concat();
        assert_eq!(summary(&bytes), [(0, "truncated-tfrecord")]);
    }
}

/// The events of `bytes` read as a file whose length nobody knows before.
fn read_to_end(bytes: &[u8]) -> Vec<Event> {
    Records::of_unknown_length(bytes)
        .map(|event| event.unwrap())
        .collect()
}

#[test]
fn without_a_known_length_the_same_is_read_and_the_same_lost() {
    let bytes = three();
    for len in 0..=bytes.len() {
        let [known, unknown] = [read(&bytes[..len]), read_to_end(&bytes[..len])];
        assert_eq!(known, unknown, "{len} bytes");
    }
    for at in 0..40 {
        let mut bytes = three();
        bytes[at] ^= 1;
        assert_eq!(read(&bytes), read_to_end(&bytes), "byte {at}");
    }
}

#[test]
fn what_is_lost_says_how_many_bytes_of_the_file_it_is() {
    let unread = |bytes: &[u8]| match read(bytes).into_iter().find_map(|event| match event {
        Event::Lost { unread_bytes, .. } => Some(unread_bytes),
        Event::Record(_) => None,
    }) {
        Some(unread_bytes) => unread_bytes,
        None => panic!("nothing is lost"),
    };
    let bytes = three();
    let flipped = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        bytes
    };
    // A length takes all that follows with it, data only their record.
    assert_eq!(unread(&flipped(21)), bytes.len() as u64 - 21);
    assert_eq!(unread(&flipped(12)), 21);
    assert_eq!(unread(&bytes[..500]), 500 - 37);
}

#[test]
fn the_checksum_is_that_of_the_whole_file_whatever_is_damaged() {
    let whole = |bytes: &[u8]| Some((bytes.len() as u64, crc32c::crc32c(bytes)));
    let checksum = |bytes: &[u8]| {
        let mut records = Records::new(bytes, bytes.len() as u64);
        assert!(bytes.is_empty() || records.checksum().is_none());
        while records.next().is_some() {}
        records.checksum()
    };
    let bytes = three();
    assert_eq!(checksum(&bytes), whole(&bytes));
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert_eq!(checksum(&damaged), whole(&damaged), "byte {at}");
        assert_eq!(checksum(&bytes[..at]), whole(&bytes[..at]), "{at} bytes");
    }
}

#[test]
fn a_record_too_large_for_memory_costs_itself() {
    let length = (MAX_RECORD_BYTES + 1).to_le_bytes();
    let header = [&length[..], &masked_crc(&length).to_le_bytes()].concat();
    let rest = framed(b"next");
    let data = io::repeat(0).take(MAX_RECORD_BYTES + 1 + FOOTER_BYTES);
    let file = (&header[..]).chain(data).chain(&rest[..]);
    let file_bytes = HEADER_BYTES + MAX_RECORD_BYTES + 1 + FOOTER_BYTES + rest.len() as u64;
    let events: Vec<Event> = Records::new(file, file_bytes)
        .map(|event| event.unwrap())
        .collect();
    let [
        Event::Lost {
            unread_bytes,
            defect,
            ..
        },
        Event::Record(next),
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(defect.reason, "too-large");
    assert_eq!(*unread_bytes, file_bytes - rest.len() as u64);
    assert_eq!(next.data[..], *b"next");
}

#[test]
fn a_file_that_shrinks_while_it_is_read_ends_the_run() {
    let bytes = three();
    for len in [0, 5, 21, 40] {
        let last = Records::new(&bytes[..len], bytes.len() as u64).last();
        let error = last.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{len} bytes");
    }
}

proptest! {
    #[test]
    fn any_bytes_end_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(read(&bytes).len() <= bytes.len());
    }
}
