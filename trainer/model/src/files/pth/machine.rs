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
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn read(pickle: &[u8]) -> Result<Unpickled> {
        unpickle(&mut Input::new(Bytes::copy_from_slice(pickle)))
    }

    /// A value as Python would print it, roughly; circles are cut.
    fn shown(graph: &Graph, id: Id, depth: usize) -> String {
        let join = |items: Vec<String>| items.join(" ");
        let inner = |id: &Id| {
            if depth == 0 {
                "…".to_owned()
            } else {
                shown(graph, *id, depth - 1)
            }
        };
        match graph.get(id) {
            Node::Nothing => "-".to_owned(),
            Node::Int(value) => value.to_string(),
            Node::Text(text) => String::from_utf8_lossy(text).into_owned(),
            Node::List(items) => format!("[{}]", join(items.iter().map(inner).collect())),
            Node::Dict(entries) => {
                let entry = |(key, value): &(Id, Id)| format!("{}:{}", inner(key), inner(value));
                format!("{{{}}}", join(entries.iter().map(entry).collect()))
            }
            Node::Global(name) => format!("<{name}>"),
            Node::Persistent(id) => format!("@{}", inner(id)),
            Node::Object(object) => {
                format!("{}{}", inner(&object.callable), inner(&object.arguments))
            }
        }
    }

    fn text(pickle: &[u8]) -> String {
        let value = read(pickle).unwrap();
        shown(&value.graph, value.root, 5)
    }

    #[test]
    fn every_protocol_says_the_same() {
        // pickle.dumps([{"a": (1, -2, 70000), "b": None}, "é'", True, 2**40, 1.5], protocol)
        let expected = "[{a:[1 -2 70000] b:-} é' 1 1099511627776 -]";
        for pickle in [
            &b"(lp0\n(dp1\nVa\np2\n(I1\nI-2\nI70000\ntp3\nsVb\np4\nNsaV\\u00e9'\np5\naI01\naL1099511627776L\naF1.5\na."[..],
            b"]q\x00(}q\x01(X\x01\x00\x00\x00aq\x02(K\x01J\xfe\xff\xff\xffJp\x11\x01\x00tq\x03X\x01\x00\x00\x00bq\x04NuX\x03\x00\x00\x00\xc3\xa9'q\x05I01\nL1099511627776L\nG?\xf8\x00\x00\x00\x00\x00\x00e.",
            b"\x80\x02]q\x00(}q\x01(X\x01\x00\x00\x00aq\x02K\x01J\xfe\xff\xff\xffJp\x11\x01\x00\x87q\x03X\x01\x00\x00\x00bq\x04NuX\x03\x00\x00\x00\xc3\xa9'q\x05\x88\x8a\x06\x00\x00\x00\x00\x00\x01G?\xf8\x00\x00\x00\x00\x00\x00e.",
            b"\x80\x04\x951\x00\x00\x00\x00\x00\x00\x00]\x94(}\x94(\x8c\x01a\x94K\x01J\xfe\xff\xff\xffJp\x11\x01\x00\x87\x94\x8c\x01b\x94Nu\x8c\x03\xc3\xa9'\x94\x88\x8a\x06\x00\x00\x00\x00\x00\x01G?\xf8\x00\x00\x00\x00\x00\x00e.",
        ] {
            assert_eq!(text(pickle), expected, "{:?}", String::from_utf8_lossy(pickle));
        }
    }

    #[test]
    fn strings_of_python_2_and_ordered_dicts_of_pairs_are_read() {
        // OrderedDict([["a", 1L], ["b", 2L]]), as Python 2 writes it at protocol 2.
        let pairs = b"\x80\x02ccollections\nOrderedDict\nq\x00]q\x01(]q\x02(U\x01aq\x03\x8a\x01\x01e]q\x04(U\x01bq\x05\x8a\x01\x02ee\x85q\x06Rq\x07.";
        assert_eq!(text(pairs), "{a:1 b:2}");
        assert_eq!(text(b"S'a\\'b\\x41\\n'\np0\n."), "a'bA\n");
        assert_eq!(text(b"T\x02\x00\x00\x00ab."), "ab");
    }

    #[test]
    fn what_is_shared_is_one_and_circles_are_none_too_many() {
        // d = {"k": 1}; pickle.dumps({"x": d, "y": d}, 2)
        let shared = b"\x80\x02}q\x00(X\x01\x00\x00\x00xq\x01}q\x02X\x01\x00\x00\x00kq\x03K\x01sX\x01\x00\x00\x00yq\x04h\x02u.";
        assert_eq!(text(shared), "{x:{k:1} y:{k:1}}");
        // l = []; l.append(l); pickle.dumps(l, 2)
        assert_eq!(text(b"\x80\x02]q\x00h\x00a."), "[[[[[[…]]]]]]");
    }

    #[test]
    fn calls_are_named_and_never_made() {
        let call = b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.";
        assert_eq!(text(call), "<os.system>[ls]");
        assert_eq!(text(b"(Vls\nios\nsystem\n."), "<os.system>[ls]");
        assert_eq!(text(b"(cos\nsystem\nVls\no."), "<os.system>[ls]");
        let value = read(b"cm\nC\n)\x81}X\x01\x00\x00\x00aK\x01sb.").unwrap();
        let object = value.graph.object(value.root).unwrap();
        assert_eq!(shown(&value.graph, object.state.unwrap(), 2), "{a:1}");
    }

    #[test]
    fn rare_opcodes_have_their_meaning() {
        assert_eq!(text(b"K\x01(K\x02K\x031."), "1");
        assert_eq!(text(b"K\x01(0."), "1");
        assert_eq!(text(b"K\x012\x86."), "[1 1]");
        assert_eq!(text(b"(K\x01K\x02\x91."), "[1 2]");
        assert_eq!(text(b"\x8f(K\x01\x90."), "[1]");
        assert_eq!(
            text(b"\x82\x07\x83\x07\x07\x84\x07\x07\x07\x07\x87."),
            "[- - -]"
        );
        assert_eq!(text(b"\x8b\x02\x00\x00\x00\x00\xff."), "-256");
        assert_eq!(text(b"\x8e\x02\x00\x00\x00\x00\x00\x00\x00hi."), "hi");
        assert_eq!(text(b"Pkey\n."), "@key");
        assert_eq!(text(b"cm\nC\n)}\x92."), "<m.C>[]");
        let long = [&b"\x8a\x20"[..], &[1; 32], b"."].concat();
        assert_eq!(text(&long), "-");
    }

    #[test]
    fn what_is_no_pickle_is_named() {
        for (pickle, message) in [
            (&b"no pickle"[..], "opcode"),
            (b"\x80\x02", "cut off"),
            (b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff", "cut off"),
            (b"(K\x01\x86.", "stack is empty"),
            (b"h\x07.", "before it is remembered"),
            (b"t.", "mark is missing"),
            (b"(o.", "no class"),
        ] {
            let error = read(pickle).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }

        /// Opcodes alone, so that more of them succeed.
        #[test]
        fn no_program_makes_it_panic(
            program in prop::collection::vec(prop::sample::select(&b"()]}l(tdasub0R12.NhqK\x81\x85\x86\x87\x88\x8f\x90\x91\x92\x93\x94"[..]), 0..60),
        ) {
            let _ = read(&program);
        }
    }
}
