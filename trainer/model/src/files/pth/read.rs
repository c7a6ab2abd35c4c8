//! Reads the tensors of what `torch.save` wrote: a zip of one pickle and the bytes of the storages,
//! uncompressed.
//!
//! The layout is that of PyTorch 1.6 and later;
//! <https://docs.pytorch.org/docs/stable/notes/serialization.html>.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use rawzip::{CompressionMethod, ZipArchive, ZipSliceArchive};
use tch::{Kind, Tensor};

use super::unpickle::{Value, unpickle};

/// The tensors in nested dictionaries, names of the levels joined by dots.
///
/// # Errors
/// If `file` is none of `torch.save`, or damaged, or holds tensors of a kind that networks do not
/// have.
pub fn read(file: &[u8]) -> Result<BTreeMap<String, Tensor>> {
    let archive = ZipArchive::from_slice(file)
        .context("no zip: PyTorch older than 1.6 wrote it, or something else")?;
    let members = members(&archive)?;
    let pickle = members
        .iter()
        .find(|(name, _)| name.ends_with("data.pkl"))
        .context("it holds no data.pkl")?;
    let folder = pickle.0.trim_end_matches("data.pkl").to_owned();
    let storages = Storages {
        folder,
        members: &members,
    };
    let mut found = BTreeMap::new();
    collect(&unpickle(pickle.1)?, "", &storages, &mut found)?;
    Ok(found)
}

/// Names and bytes of the members of a zip.
fn members<'a>(archive: &'a ZipSliceArchive<&[u8]>) -> Result<BTreeMap<String, &'a [u8]>> {
    let mut found = BTreeMap::new();
    let mut entries = archive.entries();
    while let Some(entry) = entries.next_entry()? {
        ensure!(
            entry.compression_method() == CompressionMethod::STORE,
            "a member of it is compressed"
        );
        let name = String::from_utf8_lossy(entry.file_path().as_ref()).into_owned();
        let data = archive.get_entry(entry.wayfinder())?.data();
        found.insert(name, data);
    }
    Ok(found)
}

struct Storages<'a> {
    folder: String,
    members: &'a BTreeMap<String, &'a [u8]>,
}

fn collect(
    value: &Value,
    name: &str,
    storages: &Storages<'_>,
    found: &mut BTreeMap<String, Tensor>,
) -> Result<()> {
    match value {
        Value::Dict(entries) => entries.iter().try_for_each(|(key, value)| {
            let Value::Text(key) = key else { return Ok(()) };
            let name = if name.is_empty() {
                key.to_string()
            } else {
                format!("{name}.{key}")
            };
            collect(value, &name, storages, found)
        }),
        Value::Call(function, arguments) => match (&**function, &arguments[..]) {
            (
                "torch._utils._rebuild_tensor_v2",
                [
                    storage,
                    Value::Int(offset),
                    Value::List(shape),
                    Value::List(strides),
                    ..,
                ],
            ) => {
                let tensor = storages
                    .tensor(storage, *offset, shape, strides)
                    .with_context(|| name.to_owned())?;
                found.insert(name.to_owned(), tensor);
                Ok(())
            }
            ("torch._utils._rebuild_parameter", [tensor, ..]) => {
                collect(tensor, name, storages, found)
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

impl Storages<'_> {
    /// A tensor of its own memory out of a storage `("storage", type, key, device, elements)`.
    fn tensor(
        &self,
        storage: &Value,
        offset: i64,
        shape: &[Value],
        strides: &[Value],
    ) -> Result<Tensor> {
        let Value::Persistent(id) = storage else {
            bail!("a tensor has no storage")
        };
        let Value::List(id) = &**id else {
            bail!("a storage has no key")
        };
        let [_, Value::Global(class), Value::Text(key), ..] = &id[..] else {
            bail!("a storage has no key")
        };
        let kind = kind_of(class).with_context(|| format!("its elements are a {class}"))?;
        let member = format!("{}data/{key}", self.folder);
        let bytes = self
            .members
            .get(&member)
            .with_context(|| format!("the file lacks {member}"))?;
        let elements = bytes.len() / kind.elt_size_in_bytes();
        let (shape, strides) = (integers(shape)?, integers(strides)?);
        let last = last_element(offset, &shape, &strides).filter(|&last| last < elements as i64);
        ensure!(
            shape.contains(&0) || last.is_some(),
            "its storage has only {elements} elements"
        );
        let whole = Tensor::f_from_data_size(
            &bytes[..elements * kind.elt_size_in_bytes()],
            &[elements as i64],
            kind,
        )?;
        Ok(whole
            .f_as_strided(&shape, &strides, offset)?
            .f_contiguous()?)
    }
}

/// Place of the last element that a view touches; `None` for nonsense.
fn last_element(offset: i64, shape: &[i64], strides: &[i64]) -> Option<i64> {
    let is_sound =
        shape.len() == strides.len() && offset >= 0 && shape.iter().chain(strides).all(|&n| n >= 0);
    let reach =
        |sum: i64, (n, stride): (&i64, &i64)| sum.checked_add((n - 1).checked_mul(*stride)?);
    shape
        .iter()
        .zip(strides)
        .try_fold(offset, reach)
        .filter(|_| is_sound)
}

fn integers(values: &[Value]) -> Result<Vec<i64>> {
    let integer = |value: &Value| match value {
        Value::Int(value) => Ok(*value),
        _ => bail!("its shape is damaged"),
    };
    values.iter().map(integer).collect()
}

fn kind_of(class: &str) -> Option<Kind> {
    Some(match class.strip_prefix("torch.")? {
        "FloatStorage" => Kind::Float,
        "DoubleStorage" => Kind::Double,
        "HalfStorage" => Kind::Half,
        "BFloat16Storage" => Kind::BFloat16,
        "LongStorage" => Kind::Int64,
        "IntStorage" => Kind::Int,
        "ShortStorage" => Kind::Int16,
        "CharStorage" => Kind::Int8,
        "ByteStorage" => Kind::Uint8,
        "BoolStorage" => Kind::Bool,
        _ => return None,
    })
}
