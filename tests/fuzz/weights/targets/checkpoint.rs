//! Checkpoints whose checksums fit, whatever else they say.
#![no_main]

use std::collections::BTreeMap;

use fuzz_weights::{FILE, find_network};
use libfuzzer_sys::{Corpus, fuzz_target};
use model::Network;
use model::files::checkpoint::Checkpoint;
use model::files::safetensors::{self, HostTensor};
use model::files::weights::Weights;
use serde_json::{Map, Value};

fuzz_target!(|data: &[u8]| -> Corpus {
    find_network(data);
    let Ok((mut metadata, tensors)) = safetensors::read_bytes(data) else {
        return Corpus::Reject;
    };
    make_fit(&mut metadata, &tensors);
    safetensors::write(&FILE, &metadata, &tensors).expect("memory is written");
    if let Ok(checkpoint) = Checkpoint::read(&FILE) {
        assert_eq!(checkpoint.tensors.len(), tensors.len());
        assert_eq!(checkpoint.header.crc32c.len(), tensors.len());
    }
    for network in [Network::Online, Network::Target] {
        if let Ok(weights) = Weights::open(&FILE, network) {
            assert!(weights.tensors().len() <= tensors.len());
        }
    }
    Corpus::Keep
});

/// Gives header and tensors the checksums that they have.
fn make_fit(metadata: &mut BTreeMap<String, String>, tensors: &[HostTensor]) {
    let Some(text) = metadata.get_mut("checkpoint") else {
        return;
    };
    if let Ok(Value::Object(mut header)) = serde_json::from_str(text) {
        let sums = tensors
            .iter()
            .map(|tensor| (tensor.name.clone(), tensor.crc32c().into()));
        let sums: Map<String, Value> = sums.collect();
        header.insert("crc32c".to_owned(), sums.into());
        *text = Value::Object(header).to_string();
    }
    let sum = crc32c::crc32c(text.as_bytes()).to_string();
    metadata.insert("checkpoint_crc32c".to_owned(), sum);
}
