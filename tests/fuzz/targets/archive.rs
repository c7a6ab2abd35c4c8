//! Archives: any bytes are images that can be read, or named defects. The first byte of an input
//! chooses the kind.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use fuzz::scratch;
use ingest::source::{Dataset, Search, read};
use libfuzzer_sys::fuzz_target;
use schemas::shard::Settings;

static FILES: LazyLock<[PathBuf; 2]> =
    LazyLock::new(|| ["images.tar", "images.zip"].map(|name| scratch().join(name)));

fuzz_target!(|data: &[u8]| {
    let Some((kind, archive)) = data.split_first() else {
        return;
    };
    let path = &FILES[usize::from(kind % 2)];
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
