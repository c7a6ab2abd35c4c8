//! What several targets need.

use std::fs;
use std::path::{Path, PathBuf};

use ingest::source::{Search, waymo};
use ingest::source::waymo::tfrecord::masked_crc;
use schemas::shard::Settings;

/// A folder of this process; `scripts/fuzz` has it in memory, and removes it.
pub fn scratch() -> PathBuf {
    tempfile::tempdir().expect("a temporary folder").keep()
}

/// A record header that claims `length` bytes. Its checksum holds: without that a fuzzer never gets
/// any further.
pub fn header(length: u64) -> Vec<u8> {
    let length = length.to_le_bytes();
    [&length[..], &masked_crc(&length).to_le_bytes()].concat()
}

/// `data` as one TFRecord whose checksums hold.
pub fn framed(data: &[u8]) -> Vec<u8> {
    [
        &header(data.len() as u64)[..],
        data,
        &masked_crc(data).to_le_bytes(),
    ]
    .concat()
}

/// Stores `content` as the Waymo file `path` and reads it to its end.
pub fn read_waymo(path: &Path, content: &[u8]) {
    fs::write(path, content).expect("memory is written");
    let jobs = waymo::jobs(path, &mut Search::default()).expect("its name says that it is Waymo's");
    let settings = Settings::default();
    let items = jobs
        .iter()
        .flat_map(|job| job.open(&settings).expect("the file is there"));
    for item in items {
        if let Ok(image) = item.expect("the file is read").content {
            assert!(
                image.meta.frame_id.matches('/').count() >= 2,
                "{:?}",
                image.meta.frame_id
            );
        }
    }
}
