//! Files of PyTorch 1.6 and later: a zip of a pickle and of storages. CRCs of members are not looked
//! at here: a fuzzer would never get past them.
#![no_main]

use fuzz_weights::{find_network, read_pth};
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|data: &[u8]| -> Corpus {
    if !data.starts_with(b"PK\x03\x04") {
        return Corpus::Reject;
    }
    read_pth(data);
    find_network(data);
    Corpus::Keep
});
