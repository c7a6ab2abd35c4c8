//! The container before PyTorch 1.6: five pickles, and the storages behind them.
//!
//! A magic number, a version, what the machine was like, the object, the keys of its storages; then
//! for each key, in that order, the number of its elements in 64 bits and their values
//! (`_legacy_save` in <https://github.com/pytorch/pytorch/blob/main/torch/serialization.py>).
//! `torch.save(…, _use_new_zipfile_serialization=False)` still writes it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;

use super::graph::Node;
use super::input::Input;
use super::machine::{Unpickled, unpickle};
use super::storages::{Reference, Storages};

/// The first pickle.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
/// The second.
const VERSION: i128 = 1001;

/// Whether a file's first pickle says that it is such a container.
pub(super) fn begins(first: &Unpickled) -> bool {
    first.graph.int(first.root) == Some(MAGIC)
}

/// The object and the storages of what follows the first pickle.
///
/// # Errors
/// If it is cut off, of another version, or has storages of an unknown class.
pub(super) fn open(input: &mut Input) -> Result<(Unpickled, Storages)> {
    let version = unpickle(input)?;
    ensure!(
        version.graph.int(version.root) == Some(VERSION),
        "it is of a version of torch.save other than {VERSION}"
    );
    let machine = unpickle(input)?;
    let little = machine.graph.entry(machine.root, "little_endian");
    let object = unpickle(input)?;
    let keys = unpickle(input)?;
    let keys = keys
        .graph
        .list(keys.root)
        .into_iter()
        .flatten()
        .map(|id| keys.graph.text(*id));
    let sizes = element_sizes(&object);
    let mut by_key = BTreeMap::new();
    for key in keys {
        let key = key.context("a storage's key is no text")?;
        let size = sizes
            .get(key)
            .with_context(|| format!("storage {key} belongs to no tensor"))?;
        let bytes = storage(input, *size).with_context(|| format!("storage {key}"))?;
        by_key.insert(key.to_owned(), bytes);
    }
    let big_endian = little.is_some_and(|id| machine.graph.int(id) == Some(0));
    Ok((object, Storages { by_key, big_endian }))
}

/// Bytes of an element by key of the storage.
fn element_sizes(object: &Unpickled) -> BTreeMap<String, Option<usize>> {
    let graph = &object.graph;
    let persistent = graph
        .ids()
        .filter(|id| matches!(graph.get(*id), Node::Persistent(_)));
    let references = persistent.filter_map(|id| Reference::of(graph, id));
    references
        .map(|storage| (storage.key.to_owned(), storage.element_size()))
        .collect()
}

fn storage(input: &mut Input, element_size: Option<usize>) -> Result<Bytes> {
    let count = usize::try_from(input.uint(8)?).ok();
    let size = element_size.context("is of a class that PyTorch did not have")?;
    let len = count.and_then(|count| count.checked_mul(size));
    input.take(len.context("it is cut off")?)
}
