//! What the targets need: files in memory, and what holds of every tensor that is read.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use model::files::pth;
use model::files::safetensors::HostTensor;
use model::files::weights::Weights;

/// Tensors of a file whose values are copied: a short file may name one storage a thousand times.
const MAX_COPIED: usize = 16;

/// A file of this process; `scripts/fuzz` has it in memory, and removes it.
pub static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder").keep();
    folder.join("weights")
});

/// A tensor has as many bytes as its shape and type say.
pub fn assert_whole(tensor: &HostTensor) {
    let bits = tensor.num_values() * tensor.dtype.bitsize();
    assert_eq!(tensor.bytes.len() * 8, bits, "{}", tensor.name);
}

/// Reads `data` as what `torch.save` wrote: tensors that are whole, or errors that name what is
/// wrong.
pub fn read_pth(data: &[u8]) {
    let Ok(file) = pth::read_bytes(data.to_vec()) else {
        return;
    };
    for (name, tensor) in file.tensors.iter().take(MAX_COPIED) {
        match tensor.to_host(name) {
            Ok(host) => {
                assert_eq!(host.shape, tensor.shape);
                assert_whole(&host);
            }
            Err(error) => assert!(error.to_string().contains(&**name), "{error:#}"),
        }
    }
}

/// Looks for a network in the file `data`. It is too short for one, so there is an error.
pub fn find_network(data: &[u8]) {
    fs::write(&*FILE, data).expect("memory is written");
    if let Err(error) = Weights::open(&FILE, None) {
        assert!(!format!("{error:#}").is_empty());
    }
}
