//! The tensors of a graph, by name: keys of nested dictionaries, joined by dots.
//!
//! A pickled module is a dictionary of its parameters, buffers and submodules. What else there is
//! (numbers, lists below the root, objects of unknown classes, keys that are no text) is passed over.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use super::graph::{Graph, Id, Node};
use super::storages::Storages;
use super::torch;
use crate::files::file_tensor::FileTensor;

/// Deepest dictionary that is looked into.
const MAX_DEPTH: usize = 32;
/// Longest name of a tensor, in bytes.
const MAX_NAME: usize = 1024;
/// Most entries that are looked at: dictionaries may refer to each other, so that there are more paths
/// than nodes.
const MAX_ENTRIES: usize = 1 << 20;
/// Most tensors.
const MAX_TENSORS: usize = 1 << 16;

/// All tensors below `root`.
///
/// # Errors
/// Two tensors of one name; more of them than any network has.
pub(super) fn tensors(
    graph: &Graph,
    storages: &Storages,
    root: Id,
) -> Result<BTreeMap<String, FileTensor>> {
    let mut walk = Walk {
        graph,
        storages,
        path: Vec::new(),
        entries: 0,
        found: BTreeMap::new(),
    };
    // A list at the root is a checkpoint too: `torch.save([model.state_dict(), epoch])`.
    for (ix, part) in graph.list(root).into_iter().flatten().enumerate() {
        walk.visit(*part, &ix.to_string())?;
    }
    walk.visit(root, "")?;
    Ok(walk.found)
}

struct Walk<'a> {
    graph: &'a Graph,
    storages: &'a Storages,
    /// Dictionaries from the root to here.
    path: Vec<Id>,
    entries: usize,
    found: BTreeMap<String, FileTensor>,
}

impl Walk<'_> {
    fn visit(&mut self, id: Id, name: &str) -> Result<()> {
        if let Some(tensor) = torch::tensor(self.graph, self.storages, id) {
            return self.keep(name, tensor);
        }
        if self.path.len() == MAX_DEPTH || self.path.contains(&id) {
            return Ok(());
        }
        self.path.push(id);
        for (key, value) in children(self.graph, id) {
            self.entries += 1;
            ensure!(
                self.entries <= MAX_ENTRIES,
                "it has more than {MAX_ENTRIES} entries"
            );
            let name = if name.is_empty() {
                key.to_owned()
            } else {
                format!("{name}.{key}")
            };
            if name.len() <= MAX_NAME {
                self.visit(value, &name)?;
            }
        }
        self.path.pop();
        Ok(())
    }

    fn keep(&mut self, name: &str, tensor: FileTensor) -> Result<()> {
        let before = self.found.get(name);
        ensure!(
            before.is_none_or(|before| before.is_same_as(&tensor)),
            "two tensors of it are called {name}"
        );
        self.found.insert(name.to_owned(), tensor);
        ensure!(
            self.found.len() <= MAX_TENSORS,
            "it has more than {MAX_TENSORS} tensors"
        );
        Ok(())
    }
}

/// Entries with a text for a key; of equal keys the last, as in Python.
fn children(graph: &Graph, id: Id) -> BTreeMap<&str, Id> {
    let mut children = BTreeMap::new();
    let mut add = |entries: &[(Id, Id)]| {
        let named = |(key, value): &(Id, Id)| Some((graph.text(*key)?, *value));
        children.extend(entries.iter().filter_map(named));
    };
    match graph.get(id) {
        Node::Dict(entries) => add(entries),
        Node::Object(object) => {
            add(&object.items);
            for part in ["_parameters", "_buffers", "_modules"] {
                let part = object.state.and_then(|state| graph.entry(state, part));
                if let Some(Node::Dict(entries)) = part.map(|id| graph.get(id)) {
                    add(entries);
                }
            }
        }
        _ => {}
    }
    children
}
