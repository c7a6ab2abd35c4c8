//! TFRecord framing: any bytes are read to their end, records with right checksums come back as
//! they are, and damage costs no more than it must.
#![no_main]

use fuzz::{framed, header};
use ingest::source::waymo::tfrecord::{Event, Records};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| match data {
    [0, data @ ..] => drop(read(data)),
    // The length of a header whose checksum holds, and what follows it.
    [1, a, b, c, d, e, f, g, h, rest @ ..] => {
        drop(read(
            &[
                &header(u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]))[..],
                rest,
            ]
            .concat(),
        ));
    }
    // A list of records, one up to every zero byte, and the place of a flipped bit.
    [place, data @ ..] => check_damage(*place, &data.split(|&byte| byte == 0).collect::<Vec<_>>()),
    [] => {}
});

fn read(file: &[u8]) -> Vec<Event> {
    let events: Vec<Event> = Records::new(file, file.len() as u64)
        .map(|event| event.expect("memory is read"))
        .collect();
    assert!(events.is_sorted_by_key(offset), "records follow each other");
    events
}

fn offset(event: &Event) -> u64 {
    match event {
        Event::Record(record) => record.offset,
        Event::Lost { offset, .. } => *offset,
    }
}

fn check_damage(place: u8, records: &[&[u8]]) {
    let mut file: Vec<u8> = records.iter().flat_map(|record| framed(record)).collect();
    let whole = read(&file);
    assert!(
        whole
            .iter()
            .zip(records)
            .all(|(event, data)| matches!(event, Event::Record(record) if record.data == data))
    );
    assert_eq!(whole.len(), records.len());

    let at = usize::from(place) * file.len() / 256;
    file[at] ^= 1 << (place % 8);
    let damaged = read(&file);
    let lost = whole.partition_point(|event| offset(event) <= at as u64) - 1;
    assert_eq!(damaged[..lost], whole[..lost]);
    assert!(
        matches!(damaged[lost], Event::Lost { .. }),
        "a flipped bit is found"
    );
    let is_in_header = (at as u64) < offset(&whole[lost]) + 12;
    let rest = if is_in_header {
        &[]
    } else {
        &whole[lost + 1..]
    };
    assert_eq!(damaged[lost + 1..], *rest);
}
