//! Archives: any bytes are images that can be read, or named defects. The first byte of an input
//! chooses the kind.
//! What a file is counts for more than its name, so any of them may be any of them.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use fuzz::scratch;
use ingest::source::{Dataset, Search, read};
use libfuzzer_sys::fuzz_target;
use schemas::shard::Settings;

const NAMES: [&str; 4] = [
    "images.tar",
    "images.zip",
    "images.tar.gz",
    "images.tar.zst",
];

static FILES: LazyLock<[PathBuf; 4]> = LazyLock::new(|| NAMES.map(|name| scratch().join(name)));

fuzz_target!(|data: &[u8]| {
    let Some((kind, archive)) = data.split_first() else {
        return;
    };
    let path = &FILES[usize::from(kind % 4)];
    fs::write(path, archive).expect("memory is written");
    // SODA10M's archives hold tag files too.
    let Ok(jobs) = Dataset::Soda10m.jobs(path, &mut Search::default()) else {
        return;
    };
    let settings = Settings::default();
    for job in &jobs {
        for item in job.open(&settings).expect("the file is there") {
            let item = item.expect("the file is read");
            if let Ok(image) = item.content {
                // A defect is as good as bytes, as long as it is said.
                let _ = read(image.data);
            }
        }
    }
});
