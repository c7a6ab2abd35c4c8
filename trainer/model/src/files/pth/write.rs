//! PyTorch's `.pth`: what `torch.load(path, weights_only=True)` reads into a dict of tensors.
//!
//! The file is an uncompressed zip archive with a pickle of the names and shapes, and one member
//! per tensor with its raw values (RECIPE 6). Values begin at multiples of 64 bytes, as PyTorch's
//! own files do, so that they can be mapped.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::{Result, bail, ensure};
use safetensors::Dtype;

use super::pickle::Pickle;
use crate::files::replace::replace;
use crate::files::safetensors::HostTensor;

/// Below this lie members of ours, one a piece of metadata.
pub(super) const METADATA: &str = "metadata/";
/// Values of a member begin at multiples of this.
const ALIGNMENT: usize = 64;

/// Writes a state dict, atomically. PyTorch does not look at `metadata`, which lies beside it.
///
/// # Errors
/// A tensor of a type that has no storage here; more than 4 GiB; a file that cannot be written.
pub fn write(
    path: &Path,
    metadata: &BTreeMap<String, String>,
    tensors: &[HostTensor],
) -> Result<()> {
    let mut zip = Zip::default();
    zip.add("archive/data.pkl", &state_dict(tensors)?)?;
    zip.add("archive/byteorder", b"little")?;
    for (key, tensor) in tensors.iter().enumerate() {
        zip.add(&format!("archive/data/{key}"), &tensor.bytes)?;
    }
    zip.add("archive/version", b"3\n")?;
    for (key, value) in metadata {
        zip.add(&format!("archive/{METADATA}{key}"), value.as_bytes())?;
    }
    let bytes = zip.finish()?;
    replace(path, |out| out.write_all(&bytes))
}

/// `{name: torch._utils._rebuild_tensor_v2(storage, 0, size, stride, False, OrderedDict())}`
fn state_dict(tensors: &[HostTensor]) -> Result<Vec<u8>> {
    let mut pickle = Pickle::new(2);
    pickle.dict().mark();
    for (key, tensor) in tensors.iter().enumerate() {
        let sizes = tensor.shape.iter().map(|n| *n as i64);
        pickle
            .str(&tensor.name)
            .global("torch._utils", "_rebuild_tensor_v2")
            .mark();
        pickle
            .mark()
            .str("storage")
            .global("torch", storage_type(tensor.dtype)?);
        pickle
            .str(&key.to_string())
            .str("cpu")
            .int(tensor.num_values() as i64);
        pickle.tuple().persistent();
        pickle
            .int(0)
            .ints(sizes)
            .ints(contiguous_strides(&tensor.shape))
            .bool(false);
        pickle
            .global("collections", "OrderedDict")
            .mark()
            .tuple()
            .reduce();
        pickle.tuple().reduce();
    }
    pickle.set_items();
    Ok(pickle.finish())
}

fn storage_type(dtype: Dtype) -> Result<&'static str> {
    Ok(match dtype {
        Dtype::F32 => "FloatStorage",
        Dtype::F64 => "DoubleStorage",
        Dtype::I64 => "LongStorage",
        other => bail!("no PyTorch storage for {other:?} here"),
    })
}

fn contiguous_strides(shape: &[usize]) -> Vec<i64> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis] as i64;
    }
    strides
}

/// A zip archive without compression
/// (<https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>), below 4 GiB.
#[derive(Default)]
struct Zip {
    out: Vec<u8>,
    directory: Vec<u8>,
    num_members: u16,
}

impl Zip {
    fn add(&mut self, name: &str, data: &[u8]) -> Result<()> {
        let offset = self.out.len();
        let entry = Self::entry(name, data);
        // An extra field of type "FB", as PyTorch writes it, pads the data to its alignment.
        let begin = offset + 30 + name.len() + 4;
        let padding = begin.next_multiple_of(ALIGNMENT) - begin;
        self.out.extend(b"PK\x03\x04");
        self.out.extend(&entry);
        self.out.extend(((padding + 4) as u16).to_le_bytes());
        self.out.extend(name.bytes());
        self.out.extend(b"FB");
        self.out.extend((padding as u16).to_le_bytes());
        self.out.resize(self.out.len() + padding, b'Z');
        self.out.extend(data);
        ensure!(
            u32::try_from(self.out.len()).is_ok(),
            "a .pth beyond 4 GiB is not supported"
        );

        self.directory.extend(b"PK\x01\x02\x14\0");
        self.directory.extend(&entry);
        self.directory.extend([0; 2 + 2 + 2 + 2 + 4]); // extra, comment, disk, attributes
        self.directory.extend((offset as u32).to_le_bytes());
        self.directory.extend(name.bytes());
        self.num_members += 1;
        Ok(())
    }

    /// What a member's local header and its directory entry share: version 2.0 to length of the
    /// name.
    fn entry(name: &str, data: &[u8]) -> Vec<u8> {
        let mut entry = vec![0x14, 0, 0, 0, 0, 0, 0, 0, 0x21, 0]; // stored; 1980-01-01, so that bytes repeat
        entry.extend(crc32fast::hash(data).to_le_bytes());
        entry.extend((data.len() as u32).to_le_bytes());
        entry.extend((data.len() as u32).to_le_bytes());
        entry.extend((name.len() as u16).to_le_bytes());
        entry
    }

    fn finish(mut self) -> Result<Vec<u8>> {
        let begin = u32::try_from(self.out.len())?;
        self.out.extend(&self.directory);
        self.out.extend(b"PK\x05\x06\0\0\0\0");
        self.out.extend(self.num_members.to_le_bytes());
        self.out.extend(self.num_members.to_le_bytes());
        self.out.extend((self.directory.len() as u32).to_le_bytes());
        self.out.extend(begin.to_le_bytes());
        self.out.extend([0; 2]);
        Ok(self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strides_are_row_major() {
        assert_eq!(contiguous_strides(&[2, 3, 4]), [12, 4, 1]);
        assert_eq!(contiguous_strides(&[]), Vec::<i64>::new());
    }

    #[test]
    fn values_are_aligned_and_members_counted() {
        let mut zip = Zip::default();
        zip.add("archive/a", b"x").unwrap();
        zip.add("archive/data/0", &[7; 130]).unwrap();
        let bytes = zip.finish().unwrap();
        let at = bytes.windows(130).position(|w| w == [7; 130]).unwrap();
        assert_eq!(at % ALIGNMENT, 0);
        // The end says how many members there are, on this disk and in all (APPNOTE.TXT, 4.3.16).
        let end = &bytes[bytes.len() - 22..];
        assert_eq!(&end[..4], b"PK\x05\x06");
        assert_eq!(end[8..12], [2, 0, 2, 0]);
    }
}
