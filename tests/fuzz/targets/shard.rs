//! Opening a shard: any file is a shard that is read to its end, or an error.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use fuzz::scratch;
use libfuzzer_sys::fuzz_target;
use schemas::shard::ShardReader;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| scratch().join("x.parquet"));

fuzz_target!(|data: &[u8]| {
    std::fs::write(&*FILE, data).expect("memory is written");
    let Ok(shard) = ShardReader::open(&FILE) else { return };
    let _ = shard.file_checksum();
    let Ok(rows) = shard.rows() else { return };
    for level in rows.iter().flat_map(|row| row.levels.iter().flatten()) {
        if let Ok(jpeg) = shard.jpeg(level) {
            assert_eq!(jpeg.len(), level.len as usize);
        }
    }
});
