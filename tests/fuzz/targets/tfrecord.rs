//! TFRecord framing: any bytes are read to their end, and records with right checksums come back as they are.
#![no_main]

use fuzz::{framed, split_first};
use ingest::source::waymo::tfrecord::{Event, Records};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (mode, data) = split_first(data);
    if mode % 2 == 0 {
        let events: Vec<Event> =
            Records::new(data, data.len() as u64).map(|event| event.expect("memory is read")).collect();
        let offsets: Vec<u64> = events.iter().map(offset).collect();
        assert!(offsets.is_sorted(), "records follow each other");
        return;
    }
    // The input is cut into records at every zero byte; the damage that a bit flip does stays inside its record.
    let records: Vec<&[u8]> = data.split(|&byte| byte == 0).collect();
    let mut file: Vec<u8> = records.iter().flat_map(|record| framed(record)).collect();
    let read = |file: &[u8]| -> Vec<Event> {
        Records::new(file, file.len() as u64).map(|event| event.expect("memory is read")).collect()
    };
    let whole = read(&file);
    assert!(whole.iter().zip(&records).all(|(event, record)| matches!(event, Event::Record(r) if r.data == record)));
    assert_eq!(whole.len(), records.len());
    let at = usize::from(mode) * file.len() / 256;
    file[at] ^= 1 << (mode % 8);
    let damaged = read(&file);
    let intact = whole.iter().take_while(|event| end(event) <= at as u64).count();
    assert_eq!(damaged[..intact], whole[..intact]);
    assert!(matches!(damaged[intact], Event::Lost { .. }), "a flipped bit is found");
});

fn offset(event: &Event) -> u64 {
    match event {
        Event::Record(record) => record.offset,
        Event::Lost { offset, .. } => *offset,
    }
}

fn end(event: &Event) -> u64 {
    match event {
        Event::Record(record) => record.offset + 16 + record.data.len() as u64,
        Event::Lost { .. } => u64::MAX,
    }
}
