//! What several targets need: a folder in memory, and TFRecord framing.

use std::path::{Path, PathBuf};

use ingest::source::waymo::tfrecord::masked_crc;

/// A folder that is gone when the process ends, in memory where there is such a place.
pub fn scratch() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    dir.expect("a temporary folder").keep()
}

/// `data` as one TFRecord whose checksums hold: without them a fuzzer never gets past the framing.
pub fn framed(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length).to_le_bytes(), data, &masked_crc(data).to_le_bytes()].concat()
}

/// The first byte and the rest.
pub fn split_first(data: &[u8]) -> (u8, &[u8]) {
    data.split_first().map_or((0, &[]), |(first, rest)| (*first, rest))
}
