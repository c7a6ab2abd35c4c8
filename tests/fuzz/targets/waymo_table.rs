//! Waymo's Parquet files: any bytes become images, or named defects.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use fuzz::{read_waymo, scratch};
use libfuzzer_sys::fuzz_target;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = scratch().join("camera_image");
    fs::create_dir(&folder).expect("memory is written");
    folder.join("drive.parquet")
});

fuzz_target!(|data: &[u8]| read_waymo(&FILE, data));
