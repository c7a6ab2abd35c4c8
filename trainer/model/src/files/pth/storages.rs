//! The storages of a file: rows of values that tensors are views of.

use std::collections::BTreeMap;

use bytes::Bytes;
use safetensors::Dtype;

use super::graph::{Graph, Id, Node};
use crate::files::file_tensor::Storage;

/// Storages by key.
#[derive(Debug, Default)]
pub(super) struct Storages {
    pub(super) by_key: BTreeMap<String, Bytes>,
    pub(super) big_endian: bool,
}

/// What a pickle says of a storage, `("storage", class, key, location, count, view)`: the last one
/// is absent, or `(key, offset, count)` of a part of it.
pub(super) struct Reference<'a> {
    pub(super) class: &'a str,
    pub(super) key: &'a str,
    /// Elements before it.
    pub(super) offset: usize,
}

/// A class of storages; sizes are in bytes.
enum Class {
    Read(Dtype),
    Skipped(usize),
}

impl Storages {
    /// The storage under a key.
    pub(super) fn get(&self, key: &str) -> Result<Storage, String> {
        let bytes = self.by_key.get(key);
        Ok(Storage {
            bytes: bytes
                .ok_or_else(|| format!("lies in storage {key}, which the file lacks"))?
                .clone(),
            big_endian: self.big_endian,
        })
    }
}

impl<'a> Reference<'a> {
    /// What `id` refers to, if that is a storage.
    pub(super) fn of(graph: &'a Graph, id: Id) -> Option<Self> {
        let Node::Persistent(inner) = graph.get(id) else {
            return None;
        };
        let [kind, class, key, rest @ ..] = graph.list(*inner)? else {
            return None;
        };
        let view = rest.get(2).and_then(|view| graph.list(*view));
        let offset = match view {
            Some([_, offset, ..]) => graph.size(*offset)?,
            _ => 0,
        };
        (graph.text(*kind)? == "storage").then_some(Reference {
            class: graph.global(*class)?,
            key: graph.text(*key)?,
            offset,
        })
    }

    /// Type of its elements.
    pub(super) fn dtype(&self) -> Result<Dtype, String> {
        match class_of(self.class) {
            Some(Class::Read(dtype)) => Ok(dtype),
            _ => Err(format!("is a {}, which is not read", self.class)),
        }
    }

    /// Bytes of an element, of any class that PyTorch has.
    pub(super) fn element_size(&self) -> Option<usize> {
        Some(match class_of(self.class)? {
            Class::Read(dtype) => dtype.bitsize() / 8,
            Class::Skipped(size) => size,
        })
    }
}

/// The type of that name in `torch`.
pub(super) fn dtype_named(name: &str) -> Option<Dtype> {
    Some(match name {
        "float32" | "float" => Dtype::F32,
        "float64" | "double" => Dtype::F64,
        "float16" | "half" => Dtype::F16,
        "bfloat16" => Dtype::BF16,
        "int64" | "long" => Dtype::I64,
        "int32" | "int" => Dtype::I32,
        "int16" | "short" => Dtype::I16,
        "int8" => Dtype::I8,
        "uint8" => Dtype::U8,
        "bool" => Dtype::BOOL,
        _ => return None,
    })
}

fn class_of(class: &str) -> Option<Class> {
    let name = class.rsplit('.').next()?.strip_suffix("Storage")?;
    let read = match name {
        "Char" => dtype_named("int8"),
        "Byte" => dtype_named("uint8"),
        "BFloat16" => dtype_named("bfloat16"),
        name => dtype_named(&name.to_lowercase()),
    };
    Some(match (read, name) {
        (Some(dtype), _) => Class::Read(dtype),
        (None, "ComplexFloat") => Class::Skipped(8),
        (None, "ComplexDouble") => Class::Skipped(16),
        (None, "QInt32") => Class::Skipped(4),
        (None, "QInt8" | "QUInt8" | "QUInt4x2" | "QUInt2x4" | "Untyped" | "_Untyped") => {
            Class::Skipped(1)
        }
        _ => return None,
    })
}
