//! Waymo messages: the payload of a TFRecord becomes images, or a named defect.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use fuzz::{framed, scratch};
use ingest::source::waymo;
use libfuzzer_sys::fuzz_target;
use schemas::shard::Settings;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| scratch().join("segment.tfrecord"));

fuzz_target!(|data: &[u8]| {
    std::fs::write(&*FILE, framed(data)).expect("memory is written");
    let jobs = waymo::jobs(&FILE).expect("the name is that of a TFRecord");
    let settings = Settings::default();
    for item in jobs[0].open(&settings).expect("the file is there") {
        if let Ok(image) = item.expect("the file is read").content {
            assert!(image.meta.frame_id.matches('/').count() >= 2, "{:?}", image.meta.frame_id);
        }
    }
});
