//! The pickle machine: runs all opcodes of all protocols, and makes plain values.
//!
//! <https://github.com/python/cpython/blob/main/Lib/pickletools.py> describes the opcodes. Time and
//! memory are bounded by the length of the pickle: an opcode makes at most one node, and what is
//! remembered is a reference.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

use super::escapes::{source_escape, unescaped, unicode_escape};
use super::graph::{Graph, Id, Node, Object};
use super::input::Input;

/// A pickle's value, in its graph.
#[derive(Debug)]
pub(super) struct Unpickled {
    pub(super) graph: Graph,
    pub(super) root: Id,
}

/// Reads one pickle from the front of `input`.
///
/// # Errors
/// If it is cut off, contradicts itself, or is no pickle.
pub(super) fn unpickle(input: &mut Input) -> Result<Unpickled> {
    let mut machine = Machine {
        input,
        graph: Graph::default(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: BTreeMap::new(),
    };
    while !machine.step()? {}
    let root = machine.pop()?;
    Ok(Unpickled {
        graph: machine.graph,
        root,
    })
}

struct Machine<'a> {
    input: &'a mut Input,
    graph: Graph,
    stack: Vec<Id>,
    /// Lengths of the stack at the open marks.
    marks: Vec<usize>,
    memo: BTreeMap<u64, Id>,
}

impl Machine<'_> {
    /// Runs one opcode; true at the end.
    fn step(&mut self) -> Result<bool> {
        match self.input.byte()? {
            // STOP, PROTO, FRAME, READONLY_BUFFER
            b'.' => return Ok(true),
            0x80 => drop(self.input.take(1)?),
            0x95 => drop(self.input.take(8)?),
            0x98 => {}
            // NONE, NEWTRUE, NEWFALSE, NEXT_BUFFER
            b'N' | 0x97 => self.push(Node::Nothing)?,
            0x88 => self.push(Node::Int(1))?,
            0x89 => self.push(Node::Int(0))?,
            // BININT1, BININT2, BININT, LONG1, LONG4, INT, LONG, BINFLOAT, FLOAT
            b'K' => self.uint(1)?,
            b'M' => self.uint(2)?,
            b'J' => {
                let bytes = self.input.take(4)?;
                self.push(signed(&bytes))?;
            }
            0x8A => self.long(1)?,
            0x8B => self.long(4)?,
            b'I' | b'L' => self.decimal()?,
            b'G' => {
                self.input.take(8)?;
                self.push(Node::Nothing)?;
            }
            b'F' => {
                self.input.line()?;
                self.push(Node::Nothing)?;
            }
            // SHORT_BINSTRING, SHORT_BINUNICODE, SHORT_BINBYTES; BIN*; BIN*8, BYTEARRAY8; STRING, UNICODE
            b'U' | 0x8C | b'C' => self.text(1)?,
            b'T' | b'X' | b'B' => self.text(4)?,
            0x8D | 0x8E | 0x96 => self.text(8)?,
            b'S' => self.quoted()?,
            b'V' => {
                let line = self.input.line()?;
                let text: String = line.iter().map(|byte| char::from(*byte)).collect();
                self.push(Node::Text(unescaped(text.as_bytes(), unicode_escape)))?;
            }
            // MARK, EMPTY_DICT, EMPTY_LIST, EMPTY_TUPLE, EMPTY_SET
            b'(' => self.marks.push(self.stack.len()),
            b'}' => self.push(Node::Dict(Vec::new()))?,
            b']' | b')' | 0x8F => self.push(Node::List(Vec::new()))?,
            // LIST, TUPLE, FROZENSET; TUPLE1 to TUPLE3; DICT
            b'l' | b't' | 0x91 => {
                let items = self.since_mark()?;
                self.push(Node::List(items))?;
            }
            op @ 0x85..=0x87 => self.tuple(usize::from(op - 0x84))?,
            b'd' => {
                let items = self.since_mark()?;
                self.push(Node::Dict(pairs(&items)))?;
            }
            // APPEND; APPENDS, ADDITEMS; SETITEM, SETITEMS
            b'a' => {
                let items = self.last(1)?;
                self.append(&items)?;
            }
            b'e' | 0x90 => {
                let items = self.since_mark()?;
                self.append(&items)?;
            }
            b's' => {
                let items = self.last(2)?;
                self.set_items(&items)?;
            }
            b'u' => {
                let items = self.since_mark()?;
                self.set_items(&items)?;
            }
            // GLOBAL, STACK_GLOBAL, EXT1, EXT2, EXT4
            b'c' => self.global()?,
            0x93 => self.stack_global()?,
            op @ 0x82..=0x84 => {
                self.input.take(1 << (op - 0x82))?;
                self.push(Node::Nothing)?;
            }
            // REDUCE, NEWOBJ; NEWOBJ_EX; INST; OBJ; BUILD
            b'R' | 0x81 => self.call()?,
            0x92 => {
                self.pop()?;
                self.call()?;
            }
            b'i' => {
                self.global()?;
                let callable = self.pop()?;
                let arguments = self.since_mark()?;
                self.call_with(callable, arguments)?;
            }
            b'o' => {
                let mut arguments = self.since_mark()?;
                ensure!(!arguments.is_empty(), "an object has no class");
                let callable = arguments.remove(0);
                self.call_with(callable, arguments)?;
            }
            b'b' => self.build()?,
            // BINPERSID, PERSID
            b'Q' => {
                let id = self.pop()?;
                self.push(Node::Persistent(id))?;
            }
            b'P' => {
                let line = self.input.line()?;
                let id = self.graph.add(Node::Text(line))?;
                self.push(Node::Persistent(id))?;
            }
            // POP, POP_MARK, DUP
            b'0' => self.drop_one()?,
            b'1' => drop(self.since_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            // BINPUT, LONG_BINPUT, PUT, MEMOIZE; BINGET, LONG_BINGET, GET
            b'q' => self.memoize(|m| m.input.uint(1))?,
            b'r' => self.memoize(|m| m.input.uint(4))?,
            b'p' => self.memoize(Self::number_of_line)?,
            0x94 => self.memoize(|m| Ok(m.memo.len() as u64))?,
            b'h' => self.recall(|m| m.input.uint(1))?,
            b'j' => self.recall(|m| m.input.uint(4))?,
            b'g' => self.recall(Self::number_of_line)?,
            other => bail!("opcode {other:#04x} is none of pickle's"),
        }
        Ok(false)
    }

    fn push(&mut self, node: Node) -> Result<()> {
        let id = self.graph.add(node)?;
        self.stack.push(id);
        Ok(())
    }

    /// Length of the stack below which nothing is taken: that at the last mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id> {
        let above_floor = self.stack.get(self.floor()..).unwrap_or_default();
        above_floor.last().copied().context("its stack is empty")
    }

    fn pop(&mut self) -> Result<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// Drops the top, or a mark if that is the top.
    fn drop_one(&mut self) -> Result<()> {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(drop)
    }

    fn last(&mut self, count: usize) -> Result<Vec<Id>> {
        let at = self.stack.len().checked_sub(count);
        let at = at
            .filter(|at| *at >= self.floor())
            .context("its stack is empty")?;
        Ok(self.stack.split_off(at))
    }

    fn since_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().context("a mark is missing")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn tuple(&mut self, count: usize) -> Result<()> {
        let items = self.last(count)?;
        self.push(Node::List(items))
    }

    fn uint(&mut self, len: usize) -> Result<()> {
        let value = self.input.uint(len)?;
        self.push(Node::Int(value.into()))
    }

    fn long(&mut self, len: usize) -> Result<()> {
        let bytes = self.input.counted(len)?;
        self.push(signed(&bytes))
    }

    /// A number in decimal; `01` and `00` are truth values, an `L` ends a long one.
    fn decimal(&mut self) -> Result<()> {
        let line = self.input.line()?;
        let text = std::str::from_utf8(&line).unwrap_or_default();
        let value = text.trim().trim_end_matches('L').parse();
        self.push(value.map_or(Node::Nothing, Node::Int))
    }

    fn text(&mut self, len: usize) -> Result<()> {
        let text = self.input.counted(len)?;
        self.push(Node::Text(text))
    }

    /// A string as Python's source would have it.
    fn quoted(&mut self) -> Result<()> {
        let line = self.input.line()?;
        let inner = line.len().checked_sub(1).and_then(|end| line.get(1..end));
        let inner = inner.context("a string has no quotes")?;
        self.push(Node::Text(unescaped(inner, source_escape)))
    }

    fn global(&mut self) -> Result<()> {
        let (module, name) = (self.input.line()?, self.input.line()?);
        self.push_global(&module, &name)
    }

    fn stack_global(&mut self) -> Result<()> {
        let (name, module) = (self.pop()?, self.pop()?);
        let [module, name] = [module, name].map(|id| self.graph.bytes(id).cloned());
        let (module, name) = (
            module.context("a name is no text")?,
            name.context("a name is no text")?,
        );
        self.push_global(&module, &name)
    }

    fn push_global(&mut self, module: &[u8], name: &[u8]) -> Result<()> {
        let [module, name] = [module, name].map(String::from_utf8_lossy);
        self.push(Node::Global(format!("{module}.{name}").into()))
    }

    fn call(&mut self) -> Result<()> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        let node = self.called(callable, arguments);
        self.push(node)
    }

    fn call_with(&mut self, callable: Id, arguments: Vec<Id>) -> Result<()> {
        let arguments = self.graph.add(Node::List(arguments))?;
        let node = self.called(callable, arguments);
        self.push(node)
    }

    /// A dictionary where one is made, and the call itself otherwise.
    fn called(&self, callable: Id, arguments: Id) -> Node {
        let is_dict = matches!(
            self.graph.global(callable),
            Some(
                "collections.OrderedDict"
                    | "collections.defaultdict"
                    | "builtins.dict"
                    | "__builtin__.dict"
            )
        );
        match is_dict {
            true => Node::Dict(self.listed_pairs(arguments)),
            false => Node::Object(Box::new(Object {
                callable,
                arguments,
                state: None,
                items: Vec::new(),
            })),
        }
    }

    /// `OrderedDict([(key, value), …])`, as Python 2 pickles it.
    fn listed_pairs(&self, arguments: Id) -> Vec<(Id, Id)> {
        let list = self
            .graph
            .list(arguments)
            .and_then(|arguments| self.graph.list(*arguments.first()?));
        let pair = |id: &Id| match self.graph.list(*id)? {
            [key, value] => Some((*key, *value)),
            _ => None,
        };
        list.into_iter().flatten().filter_map(pair).collect()
    }

    fn build(&mut self) -> Result<()> {
        let state = self.pop()?;
        let top = self.top()?;
        if let Node::Object(object) = self.graph.get_mut(top) {
            object.state = Some(state);
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Result<()> {
        let top = self.top()?;
        match self.graph.get_mut(top) {
            Node::Dict(entries) => entries.extend(pairs(items)),
            Node::Object(object) => object.items.extend(pairs(items)),
            _ => {}
        }
        Ok(())
    }

    fn append(&mut self, items: &[Id]) -> Result<()> {
        let top = self.top()?;
        if let Node::List(list) = self.graph.get_mut(top) {
            list.extend(items);
        }
        Ok(())
    }

    fn number_of_line(&mut self) -> Result<u64> {
        let line = self.input.line()?;
        let text = std::str::from_utf8(&line).unwrap_or_default();
        text.trim()
            .parse()
            .context("a place to remember is no number")
    }

    fn memoize(&mut self, place: impl FnOnce(&mut Self) -> Result<u64>) -> Result<()> {
        let place = place(self)?;
        let top = self.top()?;
        self.memo.insert(place, top);
        Ok(())
    }

    fn recall(&mut self, place: impl FnOnce(&mut Self) -> Result<u64>) -> Result<()> {
        let place = place(self)?;
        let id = self.memo.get(&place);
        self.stack
            .push(*id.context("something is used before it is remembered")?);
        Ok(())
    }
}

/// A little-endian number in two's complement; one of more than 16 bytes says nothing here.
fn signed(bytes: &[u8]) -> Node {
    let is_negative = bytes.last().is_some_and(|byte| *byte > 127);
    let mut wide = [if is_negative { 0xFF } else { 0 }; 16];
    match wide.get_mut(..bytes.len()) {
        Some(low) => low.copy_from_slice(bytes),
        None => return Node::Nothing,
    }
    Node::Int(i128::from_le_bytes(wide))
}

/// Keys and values that follow each other.
fn pairs(items: &[Id]) -> Vec<(Id, Id)> {
    let (pairs, _) = items.as_chunks();
    pairs.iter().map(|[key, value]| (*key, *value)).collect()
}

#[cfg(test)]
mod tests;
