//! NumPy arrays in a graph.
//!
//! An array is `_reconstruct(ndarray, (0,), b'b')` with a state (…, shape, dtype, is_fortran, bytes),
//! or `_frombuffer(bytes, dtype, shape, order)` at protocol 5;
//! <https://github.com/numpy/numpy/blob/main/numpy/_core/src/multiarray/methods.c>.

use bytes::Bytes;
use safetensors::Dtype;

use super::graph::{Graph, Id};
use crate::files::file_tensor::{FileTensor, Storage, View, row_major};

/// The array that `id` describes, if it is one of numbers.
pub(super) fn array(graph: &Graph, id: Id) -> Option<FileTensor> {
    let (function, arguments) = graph
        .call(id)
        .filter(|(name, _)| name.starts_with("numpy."))?;
    let (shape, dtype, is_fortran, data) = match (function.rsplit('.').next()?, arguments) {
        ("_reconstruct", _) => {
            let state = graph.list(graph.object(id)?.state?)?;
            let [.., shape, dtype, is_fortran, data] = state else {
                return None;
            };
            (*shape, *dtype, graph.int(*is_fortran)? != 0, *data)
        }
        ("_frombuffer", [data, dtype, shape, order]) => {
            (*shape, *dtype, graph.text(*order)? == "F", *data)
        }
        _ => return None,
    };
    let shape = graph.sizes(shape)?;
    let values = type_of(graph, dtype).and_then(|(dtype, big_endian)| {
        let bytes = data_of(graph, data).ok_or("holds no numbers")?;
        Ok(View {
            dtype,
            storage: Storage { bytes, big_endian },
            offset: 0,
            strides: strides(&shape, is_fortran),
        })
    });
    Some(FileTensor::new(shape, values))
}

/// The element type, and whether its bytes are in the other order: `dtype('f4', False, True)` with a
/// state (3, '<', …).
fn type_of(graph: &Graph, id: Id) -> Result<(Dtype, bool), String> {
    let code = graph
        .call(id)
        .and_then(|(_, arguments)| graph.text(*arguments.first()?));
    let code = code.ok_or("is an array of no known type")?;
    let state = graph
        .object(id)
        .and_then(|object| graph.list(object.state?));
    let order = state.and_then(|state| graph.text(*state.get(1)?));
    let dtype = match code.trim_start_matches(['<', '>', '|', '=']) {
        "f2" => Dtype::F16,
        "f4" => Dtype::F32,
        "f8" => Dtype::F64,
        "i8" => Dtype::I64,
        "i4" => Dtype::I32,
        "i2" => Dtype::I16,
        "i1" => Dtype::I8,
        "u1" => Dtype::U8,
        "b1" => Dtype::BOOL,
        _ => return Err(format!("is an array of type {code}, which is not read")),
    };
    Ok((dtype, order == Some(">") || code.starts_with('>')))
}

/// The bytes; protocol 2 of Python 3 writes them as text, `_codecs.encode(text, 'latin1')`.
pub(super) fn data_of(graph: &Graph, id: Id) -> Option<Bytes> {
    match graph.call(id) {
        Some(("_codecs.encode", [text, ..])) => {
            let chars = graph.text(*text)?.chars();
            let bytes: Option<Vec<u8>> = chars.map(|c| u8::try_from(c).ok()).collect();
            bytes.map(Bytes::from)
        }
        Some(("builtins.bytearray" | "__builtin__.bytearray", [inner, ..])) => {
            graph.bytes(*inner).cloned()
        }
        _ => graph.bytes(id).cloned(),
    }
}

fn strides(shape: &[usize], is_fortran: bool) -> Vec<usize> {
    if !is_fortran {
        return row_major(shape);
    }
    let reversed: Vec<usize> = shape.iter().rev().copied().collect();
    let mut strides = row_major(&reversed);
    strides.reverse();
    strides
}
