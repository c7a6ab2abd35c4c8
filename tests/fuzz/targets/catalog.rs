//! Opening a catalog: any file whose checksum holds is a catalog that is read to its end, or an
//! error.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use fuzz::scratch;
use libfuzzer_sys::fuzz_target;
use schemas::catalog::{CATALOG_CHECKSUM_FILE, CATALOG_FILE, Catalog, checksum_text};
use schemas::index::ShardSet;

static DIR: LazyLock<PathBuf> = LazyLock::new(scratch);

fuzz_target!(|data: &[u8]| {
    fs::write(DIR.join(CATALOG_FILE), data).expect("memory is written");
    let checksum = checksum_text(crc32c::crc32c(data));
    fs::write(DIR.join(CATALOG_CHECKSUM_FILE), checksum).expect("memory is written");
    let Ok(catalog) = Catalog::open_even_if_stale(&DIR) else {
        return;
    };
    if let Ok(index) = catalog.index(&catalog.all()) {
        assert_eq!(index.len() as u64, catalog.num_frames());
        // There are no shards: it is enough that looking for them is an error.
        let shards = ShardSet::new(&catalog);
        for (frame, level) in (0..index.len())
            .flat_map(|frame| (0..index.levels().len()).map(move |level| (frame, level)))
        {
            assert!(
                index
                    .level(frame, level)
                    .is_none_or(|slot| shards.bytes(slot).is_err())
            );
        }
    }
    let Ok(batches) = catalog.rows() else { return };
    let rows: Vec<_> = batches.flatten().flatten().collect();
    assert!(rows.len() as u64 <= catalog.num_frames());
});
