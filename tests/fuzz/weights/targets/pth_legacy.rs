//! Files of PyTorch before 1.6, five pickles and then the storages, and pickles of NumPy arrays.
#![no_main]

use fuzz_weights::{find_network, read_pth};
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|data: &[u8]| -> Corpus {
    if data.starts_with(b"PK\x03\x04") {
        return Corpus::Reject;
    }
    read_pth(data);
    find_network(data);
    Corpus::Keep
});
