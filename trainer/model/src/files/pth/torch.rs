//! Tensors of PyTorch in a graph: calls of the functions that would build them again.
//!
//! <https://github.com/pytorch/pytorch/blob/main/torch/_utils.py>. Every release since 0.1 is read:
//! a tensor was `FloatTensor(storage, offset, size, stride)` once, `_rebuild_tensor` then, and is
//! `_rebuild_tensor_v2` now; a parameter wraps one.

use bytes::Bytes;
use safetensors::Dtype;

use super::graph::{Graph, Id};
use super::input::Input;
use super::machine::unpickle;
use super::storages::{Reference, Storages, dtype_named};
use super::{legacy, numpy};
use crate::files::file_tensor::{FileTensor, Storage, View};

/// Most wrappers round a tensor.
const MAX_WRAPPERS: usize = 8;

/// The tensor that `id` describes, if it is one.
pub(super) fn tensor(graph: &Graph, storages: &Storages, mut id: Id) -> Option<FileTensor> {
    for _ in 0..MAX_WRAPPERS {
        let Some((function, arguments)) = graph
            .call(id)
            .filter(|(name, _)| name.starts_with("torch."))
        else {
            return numpy::array(graph, id);
        };
        // A subclass, `(function, class, its arguments, state)`, is what the function makes.
        let (function, arguments) = match (last(function), arguments) {
            ("_rebuild_from_type_v2" | "_rebuild_from_type", [function, _, arguments, ..]) => {
                (last(graph.global(*function)?), graph.list(*arguments)?)
            }
            called => called,
        };
        match wrapped(function, arguments) {
            Some(inner) => id = inner,
            None => return rebuilt(graph, storages, function, arguments, id),
        }
    }
    None
}

fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// What a wrapper wraps.
fn wrapped(function: &str, arguments: &[Id]) -> Option<Id> {
    let is_wrapper = matches!(
        function,
        "_rebuild_parameter"
            | "_rebuild_parameter_with_state"
            | "_rebuild_device_tensor_from_cpu_tensor"
            | "_rebuild_device_tensor_from_numpy"
            | "Parameter"
            | "Buffer"
            | "Variable"
    );
    arguments.first().filter(|_| is_wrapper).copied()
}

/// What a function builds, if that is a tensor. One that is not a view of a storage (sparse,
/// quantised, without values) is a tensor that cannot be read.
fn rebuilt(
    graph: &Graph,
    storages: &Storages,
    function: &str,
    arguments: &[Id],
    id: Id,
) -> Option<FileTensor> {
    let state = graph.object(id)?.state.and_then(|state| graph.list(state));
    match (function, arguments) {
        ("_rebuild_tensor" | "_rebuild_tensor_v2", place) => view(graph, storages, place, None),
        ("_rebuild_tensor_v3", [_, _, _, _, _, _, dtype, ..]) => {
            view(graph, storages, arguments, Some(*dtype))
        }
        ("_rebuild_qtensor", [_, _, size, ..]) => {
            let reason = "is quantised; dequantise it before saving".to_owned();
            Some(FileTensor::new(graph.sizes(*size)?, Err(reason)))
        }
        (class, []) if class.ends_with("Tensor") => view(graph, storages, state?, None),
        (class, place) if class.ends_with("Tensor") => view(graph, storages, place, None),
        (other, _) if other.starts_with("_rebuild_") => Some(FileTensor::new(
            Vec::new(),
            Err(format!("is made by {other}, which is not read")),
        )),
        _ => None,
    }
}

/// A view `(storage, offset, size, stride, …)` of elements of the storage's type, or of `dtype`.
fn view(graph: &Graph, storages: &Storages, place: &[Id], dtype: Option<Id>) -> Option<FileTensor> {
    let [storage, offset, size, stride, ..] = place else {
        return None;
    };
    let values = || {
        let (storage, own_dtype, before) = located(graph, storages, *storage)?;
        let offset = graph
            .size(*offset)
            .and_then(|offset| offset.checked_add(before));
        Ok(View {
            dtype: dtype.map_or(own_dtype, |id| type_of(graph, id))?,
            storage,
            offset: offset.ok_or("begins nowhere")?,
            strides: graph.sizes(*stride).ok_or("has no strides")?,
        })
    };
    Some(FileTensor::new(graph.sizes(*size)?, values()))
}

/// A type by its name, `torch.float32`.
fn type_of(graph: &Graph, id: Id) -> Result<Dtype, String> {
    let name = graph.global(id).unwrap_or_default();
    dtype_named(last(name)).ok_or_else(|| format!("is of type {name}, which is not read"))
}

/// A storage, the type of its elements, and how many of them are before those that are meant.
type Located = (Storage, Result<Dtype, String>, usize);

/// The storage that `id` refers to, or that plain `pickle.dump` put there as bytes.
fn located(graph: &Graph, storages: &Storages, id: Id) -> Result<Located, String> {
    if let Some(("torch.storage._load_from_bytes", [bytes])) = graph.call(id) {
        let loaded = numpy::data_of(graph, *bytes).and_then(loaded);
        return loaded.unwrap_or_else(|| Err("has a damaged storage".to_owned()));
    }
    referenced(graph, storages, id)
}

fn referenced(graph: &Graph, storages: &Storages, id: Id) -> Result<Located, String> {
    let reference = Reference::of(graph, id).ok_or("has no storage")?;
    Ok((
        storages.get(reference.key)?,
        reference.dtype(),
        reference.offset,
    ))
}

/// A storage as `torch.save` wrote it, alone in a file.
fn loaded(file: Bytes) -> Option<Result<Located, String>> {
    let mut input = Input::new(file);
    let first = unpickle(&mut input).ok()?;
    let (object, storages) = legacy::begins(&first).then(|| legacy::open(&mut input).ok())??;
    Some(referenced(&object.graph, &storages, object.root))
}
