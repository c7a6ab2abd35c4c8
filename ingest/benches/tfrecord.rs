//! Reading TFRecord files from the page cache, checksums included.
//!
//!     cargo bench -p ingest --bench tfrecord
//!
//! Records of 4 MB, as those of Waymo are with lidar; beside it, the same through the `tfrecord`
//! crate.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufReader, Write};
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ingest::source::waymo::tfrecord::{Event, Records, masked_crc};
use tfrecord::RecordIter;

const RECORD_BYTES: usize = 4_000_000;
const RECORDS: usize = 16;

/// A file of `RECORDS` records.
fn write_file(path: &std::path::Path) -> std::io::Result<u64> {
    let data: Vec<u8> = (0..RECORD_BYTES as u32)
        .map(|i| (i.wrapping_mul(0x9E37_79B9) >> 24) as u8)
        .collect();
    let length = (data.len() as u64).to_le_bytes();
    let mut file = File::create(path)?;
    for _ in 0..RECORDS {
        file.write_all(&length)?;
        file.write_all(&masked_crc(&length).to_le_bytes())?;
        file.write_all(&data)?;
        file.write_all(&masked_crc(&data).to_le_bytes())?;
    }
    Ok(file.metadata()?.len())
}

fn read(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("there is room for a temporary file");
    let path = dir.path().join("records.tfrecord");
    let file_bytes = write_file(&path).expect("the file can be written");
    let mut group = criterion.benchmark_group("tfrecord");
    group
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(5));
    group.throughput(Throughput::Bytes(file_bytes));
    group.bench_function("ingest", |bencher| {
        bencher.iter(|| {
            for event in Records::open(&path).expect("the file is there") {
                let Event::Record(record) = event.expect("it can be read") else {
                    panic!("a record is lost")
                };
                black_box(record);
            }
        });
    });
    group.bench_function("tfrecord crate", |bencher| {
        bencher.iter(|| {
            let file = BufReader::new(File::open(&path).expect("the file is there"));
            for record in RecordIter::<Vec<u8>, _>::from_reader(file, Default::default()) {
                black_box(record.expect("its checksums hold"));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, read);
criterion_main!(benches);
