//! What a pickle describes: a graph of plain values.
//!
//! A node is stored once, however often it is referred to, so that a shared dictionary is the same
//! wherever it stands, and a graph is never larger than its pickle. It may have circles. A call is a
//! node that names the callable; nothing is called.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use bytes::Bytes;

/// Most nodes of a graph: two gigabytes of them.
const MAX_NODES: usize = 1 << 25;

/// A node of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id(u32);

/// A pickled value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// `None`, floating-point numbers, and what says nothing here.
    Nothing,
    /// A whole number; `True` is 1, `False` 0.
    Int(i128),
    /// Text or bytes: Python 2 made no difference.
    Text(Bytes),
    /// A list, tuple or set.
    List(Vec<Id>),
    /// A dictionary, in its order. `OrderedDict()` is one too.
    Dict(Vec<(Id, Id)>),
    /// `module.name`.
    Global(Box<str>),
    /// What lies outside of the pickle: a storage.
    Persistent(Id),
    /// `callable(*arguments)`, not called, and what was given to it later.
    Object(Box<Object>),
}

/// A call, and what was given to its result.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Object {
    pub(super) callable: Id,
    pub(super) arguments: Id,
    /// What `__setstate__` would get.
    pub(super) state: Option<Id>,
    /// Entries, if it is some kind of dictionary.
    pub(super) items: Vec<(Id, Id)>,
}

/// All nodes.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: Vec<Node>,
}

impl Graph {
    pub(super) fn add(&mut self, node: Node) -> Result<Id> {
        ensure!(
            self.nodes.len() < MAX_NODES,
            "it has more than {MAX_NODES} objects"
        );
        self.nodes.push(node);
        Ok(Id(self.nodes.len() as u32 - 1))
    }

    pub(super) fn get(&self, id: Id) -> &Node {
        &self.nodes[id.0 as usize]
    }

    pub(super) fn get_mut(&mut self, id: Id) -> &mut Node {
        &mut self.nodes[id.0 as usize]
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = Id> {
        (0..self.nodes.len() as u32).map(Id)
    }

    /// Text or bytes.
    pub(super) fn bytes(&self, id: Id) -> Option<&Bytes> {
        match self.get(id) {
            Node::Text(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(super) fn text(&self, id: Id) -> Option<&str> {
        std::str::from_utf8(self.bytes(id)?).ok()
    }

    pub(super) fn int(&self, id: Id) -> Option<i128> {
        match self.get(id) {
            Node::Int(value) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn size(&self, id: Id) -> Option<usize> {
        self.int(id)?.try_into().ok()
    }

    pub(super) fn list(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Node::List(items) => Some(items),
            _ => None,
        }
    }

    /// A tuple of sizes, or a `torch.Size` of one.
    pub(super) fn sizes(&self, id: Id) -> Option<Vec<usize>> {
        let id = match self.call(id) {
            Some(("torch.Size", [inner])) => *inner,
            _ => id,
        };
        self.list(id)?.iter().map(|id| self.size(*id)).collect()
    }

    pub(super) fn global(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Node::Global(name) => Some(name),
            _ => None,
        }
    }

    pub(super) fn object(&self, id: Id) -> Option<&Object> {
        match self.get(id) {
            Node::Object(object) => Some(object),
            _ => None,
        }
    }

    /// Name and arguments of a call.
    pub(super) fn call(&self, id: Id) -> Option<(&str, &[Id])> {
        let object = self.object(id)?;
        Some((self.global(object.callable)?, self.list(object.arguments)?))
    }

    /// The value under a key of a dictionary: the last one, as in Python.
    pub(super) fn entry(&self, id: Id, key: &str) -> Option<Id> {
        let Node::Dict(entries) = self.get(id) else {
            return None;
        };
        let found = entries
            .iter()
            .rev()
            .find(|(name, _)| self.text(*name) == Some(key));
        found.map(|(_, value)| *value)
    }

    /// Packages of all names in it.
    pub(super) fn packages(&self) -> BTreeSet<String> {
        let packages = self.nodes.iter().filter_map(|node| match node {
            Node::Global(name) => Some(name.split('.').next()?.to_owned()),
            _ => None,
        });
        packages.collect()
    }
}
