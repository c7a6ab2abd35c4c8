//! Opening a catalog: any file whose checksum holds is a catalog that is read to its end, or an error.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use fuzz::scratch;
use libfuzzer_sys::fuzz_target;
use schemas::catalog::{CATALOG_CHECKSUM_FILE, CATALOG_FILE, Catalog, checksum_text};

static DIR: LazyLock<PathBuf> = LazyLock::new(scratch);

fuzz_target!(|data: &[u8]| {
    let checksum = checksum_text(crc32c::crc32c(data));
    std::fs::write(DIR.join(CATALOG_FILE), data).expect("memory is written");
    std::fs::write(DIR.join(CATALOG_CHECKSUM_FILE), checksum).expect("memory is written");
    let Ok(catalog) = Catalog::open_even_if_stale(&DIR) else { return };
    if let Ok(index) = catalog.index(None) {
        assert_eq!(index.len() as u64, catalog.num_frames());
    }
    let Ok(batches) = catalog.rows() else { return };
    for batch in batches {
        let Ok(rows) = batch else { return };
        assert!(!rows.is_empty());
    }
});
