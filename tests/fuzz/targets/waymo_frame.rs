//! Waymo messages: the payload of a TFRecord becomes images, or a named defect.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use fuzz::{framed, read_waymo, scratch};
use libfuzzer_sys::fuzz_target;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| scratch().join("segment.tfrecord"));

fuzz_target!(|data: &[u8]| read_waymo(&FILE, &framed(data)));
