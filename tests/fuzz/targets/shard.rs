//! Opening a shard: any file is a shard that is read to its end, or an error.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use fuzz::scratch;
use libfuzzer_sys::fuzz_target;
use schemas::shard::{Part, ShardReader};

static FILE: LazyLock<PathBuf> = LazyLock::new(|| scratch().join("x.parquet"));

fuzz_target!(|data: &[u8]| {
    fs::write(&*FILE, data).expect("memory is written");
    let positions = (0..data.len() as u64).step_by(data.len() / 16 + 1);
    let Ok(shard) = ShardReader::open(&FILE) else {
        let of_tail = |position| Part::of_tail(data, data.len() as u64, position);
        positions.for_each(|position| drop(of_tail(position).to_string()));
        return;
    };
    positions.for_each(|position| drop(shard.part_at(position).to_string()));
    let _ = shard.file_checksum();
    let Ok(rows) = shard.rows() else { return };
    assert_eq!(rows.len() as u64, shard.num_frames());
    for level in rows.iter().flat_map(|row| row.levels.iter().flatten()) {
        if let Ok(jpeg) = shard.jpeg(level) {
            assert_eq!(jpeg.len(), level.len as usize);
        }
    }
});
