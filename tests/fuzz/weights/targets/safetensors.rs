//! safetensors files of anybody.
#![no_main]

use fuzz_weights::{assert_whole, find_network};
use libfuzzer_sys::fuzz_target;
use model::files::safetensors;

fuzz_target!(|data: &[u8]| {
    if let Ok((_, tensors)) = safetensors::read_bytes(data) {
        tensors.iter().for_each(assert_whole);
        let bytes: usize = tensors.iter().map(|tensor| tensor.bytes.len()).sum();
        assert!(bytes <= data.len(), "no byte is read twice");
    }
    find_network(data);
});
