//! Named tensors in one safetensors file, written so that a reader sees the whole file or none of
//! it.
//!
//! The format is <https://github.com/huggingface/safetensors>: header length, JSON header, raw
//! little-endian values. The writer is ours because a checkpoint needs what the crate's lacks: a
//! temporary name that a later start recognises, a rename that survives a power failure, and the
//! same bytes for the same content (the crate keeps its metadata in a hash map).
//! Reading goes through the crate, which validates every offset.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use native::torch;
use safetensors::tensor::{SafeTensorError, SafeTensors};
use serde_json::json;
use tch::{Device, Kind, Tensor};

use super::replace::replace;

pub use safetensors::tensor::Dtype;

/// A tensor copied out of libtorch: contiguous, little-endian, owned by Rust, free to go to another
/// thread.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    /// Its name in the file.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// The values in row-major order, whatever the memory format was.
    pub bytes: Vec<u8>,
}

impl HostTensor {
    /// Copies `tensor` to the host. Waits for the device.
    pub fn copy_of(name: impl Into<String>, tensor: &Tensor) -> Result<Self> {
        let name = name.into();
        let dtype = dtype_of(tensor.kind())?;
        let host = tensor
            .detach()
            .f_to_device(Device::Cpu)
            .and_then(|t| t.f_contiguous())
            .map_err(torch)
            .with_context(|| format!("copying {name} to the host"))?;
        let mut bytes = vec![0; host.numel() * host.kind().elt_size_in_bytes()];
        host.f_copy_data_u8(&mut bytes, host.numel())
            .map_err(torch)?;
        let shape = host.size().iter().map(|&n| n as usize).collect();
        Ok(HostTensor {
            name,
            dtype,
            shape,
            bytes,
        })
    }

    /// The tensor again, on the CPU.
    pub fn to_tensor(&self) -> Result<Tensor> {
        let shape: Vec<i64> = self.shape.iter().map(|&n| n as i64).collect();
        let kind = kind_of(self.dtype)?;
        Tensor::f_from_data_size(&self.bytes, &shape, kind).map_err(torch)
    }

    /// Number of values.
    pub fn num_values(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether no value is NaN or infinite (types other than `F32` and `F64` always pass).
    pub fn is_finite(&self) -> bool {
        match self.dtype {
            Dtype::F32 => self
                .bytes
                .as_chunks()
                .0
                .iter()
                .all(|&b| f32::from_le_bytes(b).is_finite()),
            Dtype::F64 => self
                .bytes
                .as_chunks()
                .0
                .iter()
                .all(|&b| f64::from_le_bytes(b).is_finite()),
            _ => true,
        }
    }

    /// CRC32C over name, type, shape and values, each length-delimited.
    pub fn crc32c(&self) -> u32 {
        let head = format!("{}\0{:?}\0{:?}\0", self.name, self.dtype, self.shape);
        crc32c::crc32c_append(crc32c::crc32c(head.as_bytes()), &self.bytes)
    }
}

/// The element types that are read and written, in safetensors' words.
const TYPES: [(Kind, Dtype); 10] = [
    (Kind::Float, Dtype::F32),
    (Kind::Double, Dtype::F64),
    (Kind::Half, Dtype::F16),
    (Kind::BFloat16, Dtype::BF16),
    (Kind::Int64, Dtype::I64),
    (Kind::Int, Dtype::I32),
    (Kind::Int16, Dtype::I16),
    (Kind::Int8, Dtype::I8),
    (Kind::Uint8, Dtype::U8),
    (Kind::Bool, Dtype::BOOL),
];

fn dtype_of(kind: Kind) -> Result<Dtype> {
    let found = TYPES.iter().find(|(k, _)| *k == kind);
    found
        .map(|(_, dtype)| *dtype)
        .with_context(|| format!("tensors of {kind:?} are not stored"))
}

fn kind_of(dtype: Dtype) -> Result<Kind> {
    let found = TYPES.iter().find(|(_, d)| *d == dtype);
    found
        .map(|(kind, _)| *kind)
        .with_context(|| format!("tensors of {dtype:?} are not read"))
}

/// Writes `tensors` and `metadata` to `path`; any earlier one is replaced as a whole. The same input
/// gives the same bytes.
///
/// # Errors
/// If the file cannot be written.
pub fn write(
    path: &Path,
    metadata: &BTreeMap<String, String>,
    tensors: &[HostTensor],
) -> Result<()> {
    // Wide elements first, so that every tensor is aligned to its own type.
    let mut ordered: Vec<&HostTensor> = tensors.iter().collect();
    ordered.sort_by_key(|t| std::cmp::Reverse(t.dtype.bitsize()));
    replace(path, |out| {
        let header = header(metadata, &ordered);
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        ordered.iter().try_for_each(|t| out.write_all(&t.bytes))
    })
}

/// Reads a safetensors file: its metadata, and the tensors by name.
///
/// # Errors
/// If it cannot be read, or is not a whole safetensors file.
pub fn read(path: &Path) -> Result<(BTreeMap<String, String>, Vec<HostTensor>)> {
    let bytes = fs::read(path).with_context(|| format!("reading {path:?}"))?;
    read_bytes(&bytes).map_err(|error| anyhow!("{error}: {path:?}"))
}

/// As [`read`], of a file's bytes.
///
/// # Errors
/// If they are not a whole safetensors file.
pub fn read_bytes(bytes: &[u8]) -> Result<(BTreeMap<String, String>, Vec<HostTensor>)> {
    parse(bytes).map_err(|error| anyhow!("not a whole safetensors file ({error})"))
}

/// As [`read_bytes`], with what is wrong as the format's library says it.
pub(super) fn parse(
    bytes: &[u8],
) -> Result<(BTreeMap<String, String>, Vec<HostTensor>), SafeTensorError> {
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    let metadata = header.metadata().iter().flatten();
    let metadata = metadata.map(|(k, v)| (k.clone(), v.clone())).collect();
    let file = SafeTensors::deserialize(bytes)?;
    let mut tensors: Vec<HostTensor> = file
        .iter()
        .map(|(name, view)| HostTensor {
            name: name.to_owned(),
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            bytes: view.data().to_vec(),
        })
        .collect();
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((metadata, tensors))
}

/// Whether a file begins as safetensors do: the length of a header that it has room for, and the
/// header's brace.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    let Some((len, rest)) = bytes.split_first_chunk() else {
        return false;
    };
    u64::from_le_bytes(*len) <= rest.len() as u64 && rest.first() == Some(&b'{')
}

/// The JSON header, padded with spaces to a multiple of 8 bytes. Keys are sorted; offsets follow
/// the given order.
fn header(metadata: &BTreeMap<String, String>, tensors: &[&HostTensor]) -> Vec<u8> {
    let mut entries = BTreeMap::from([("__metadata__", json!(metadata))]);
    let mut begin = 0;
    for t in tensors {
        let end = begin + t.bytes.len();
        entries.insert(
            t.name.as_str(),
            json!({ "dtype": t.dtype, "shape": t.shape, "data_offsets": [begin, end] }),
        );
        begin = end;
    }
    let mut bytes = serde_json::to_vec(&entries).expect("maps of strings and numbers are JSON");
    bytes.resize(bytes.len().next_multiple_of(8), b' ');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<HostTensor> {
        let a = Tensor::from_slice(&[1.5f32, -2.0, 3.25, 0.0, 7.0, 9.0]).reshape([2, 3]);
        vec![
            HostTensor::copy_of("a", &a.transpose(0, 1)).unwrap(),
            HostTensor::copy_of("n", &Tensor::from(42i64)).unwrap(),
        ]
    }

    #[test]
    fn written_tensors_read_back_and_bytes_repeat() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("1.safetensors"), dir.path().join("2"));
        let metadata: BTreeMap<String, String> = [("k", "v"), ("b", "w")]
            .map(|(k, v)| (k.into(), v.into()))
            .into();
        write(&one, &metadata, &sample()).unwrap();
        write(&two, &metadata, &sample()).unwrap();
        assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());
        assert_eq!(read(&one).unwrap(), (metadata, sample()));
        assert_eq!(
            sample()[0].to_tensor().unwrap(),
            Tensor::from_slice(&[1.5f32, 0.0, -2.0, 7.0, 3.25, 9.0]).reshape([3, 2])
        );
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(left.len(), 2, "no temporary file stays");
    }

    #[test]
    fn truncated_file_is_an_error_and_values_are_watched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.safetensors");
        write(&path, &BTreeMap::new(), &sample()).unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(read(&path).is_err());
        let mut bad = sample().remove(0);
        assert!(bad.is_finite());
        let crc = bad.crc32c();
        bad.bytes[4..8].copy_from_slice(&f32::NAN.to_le_bytes());
        assert!(!bad.is_finite());
        assert_ne!(bad.crc32c(), crc);
    }
}
