//! Pickles of `torch.save` as plain values. Nothing of a pickle is executed: a call is kept as a
//! value that names it.
//!
//! The opcodes are those that CPython writes for protocols 2 to 4 out of dictionaries, lists,
//! tuples, strings and numbers; <https://github.com/python/cpython/blob/main/Lib/pickletools.py>
//! describes them.

use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::{Context, Result, bail};

/// A pickled value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// A whole number; `True` is 1, `False` 0.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// Text.
    Text(Rc<str>),
    /// `None`, and objects that say nothing here.
    Nothing,
    /// A tuple or list.
    List(Vec<Value>),
    /// A dictionary, in its order. `OrderedDict()` is one too.
    Dict(Vec<(Value, Value)>),
    /// `module.name`.
    Global(Rc<str>),
    /// What lies outside of the pickle: a storage.
    Persistent(Box<Value>),
    /// `callable(*arguments)`, not called.
    Call(Rc<str>, Vec<Value>),
}

/// Reads the one value of `pickle`.
///
/// # Errors
/// If it is cut off, contradicts itself, or uses what no state dict needs.
pub(super) fn unpickle(pickle: &[u8]) -> Result<Value> {
    let mut machine = Machine {
        rest: pickle,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: BTreeMap::new(),
    };
    loop {
        if machine.step()? {
            return machine.pop();
        }
    }
}

/// The pickle virtual machine.
struct Machine<'a> {
    rest: &'a [u8],
    stack: Vec<Value>,
    /// Lengths of the stack at the open marks.
    marks: Vec<usize>,
    memo: BTreeMap<u64, Value>,
}

impl Machine<'_> {
    /// Runs one opcode; true at the end.
    fn step(&mut self) -> Result<bool> {
        match self.bytes::<1>()?[0] {
            b'.' => return Ok(true),
            0x80 => drop(self.bytes::<1>()?),
            0x95 => drop(self.bytes::<8>()?),
            b'(' => self.marks.push(self.stack.len()),
            b'}' => self.stack.push(Value::Dict(Vec::new())),
            b']' | b')' => self.stack.push(Value::List(Vec::new())),
            // An empty set: the keys of some metadata.
            0x8F => self.stack.push(Value::List(Vec::new())),
            b'N' => self.stack.push(Value::Nothing),
            0x88 => self.stack.push(Value::Int(1)),
            0x89 => self.stack.push(Value::Int(0)),
            b'K' => self.int(|m| Ok(i64::from(m.bytes::<1>()?[0])))?,
            b'M' => self.int(|m| Ok(i64::from(u16::from_le_bytes(m.bytes()?))))?,
            b'J' => self.int(|m| Ok(i64::from(i32::from_le_bytes(m.bytes()?))))?,
            0x8A => self.int(Self::long)?,
            b'G' => {
                let value = f64::from_be_bytes(self.bytes()?);
                self.stack.push(Value::Float(value));
            }
            b'X' => {
                let len = u32::from_le_bytes(self.bytes()?) as usize;
                self.text(len)?;
            }
            0x8C => {
                let len = usize::from(self.bytes::<1>()?[0]);
                self.text(len)?;
            }
            b'c' => {
                let name = format!("{}.{}", self.line()?, self.line()?);
                self.stack.push(Value::Global(name.into()));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) = (module, name) else {
                    bail!("a name is no text")
                };
                self.stack
                    .push(Value::Global(format!("{module}.{name}").into()));
            }
            b'Q' => {
                let id = self.pop()?;
                self.stack.push(Value::Persistent(Box::new(id)));
            }
            b't' => {
                let items = self.since_mark()?;
                self.stack.push(Value::List(items));
            }
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b'R' | 0x81 => self.call()?,
            b'b' => drop(self.pop()?), // attributes of an object, such as a state dict's metadata
            b's' => self.set_items(2)?,
            b'u' => {
                let mark = *self.marks.last().context("a mark is missing")?;
                let count = self.stack.len() - mark;
                self.marks.pop();
                self.set_items(count)?;
            }
            b'a' => self.append(1)?,
            b'e' | 0x90 => {
                let mark = self.marks.pop().context("a mark is missing")?;
                self.append(self.stack.len().saturating_sub(mark))?;
            }
            b'q' => self.memoize(|m| Ok(u64::from(m.bytes::<1>()?[0])))?,
            b'r' => self.memoize(|m| Ok(u64::from(u32::from_le_bytes(m.bytes()?))))?,
            0x94 => self.memoize(|m| Ok(m.memo.len() as u64))?,
            b'h' => self.recall(|m| Ok(u64::from(m.bytes::<1>()?[0])))?,
            b'j' => self.recall(|m| Ok(u64::from(u32::from_le_bytes(m.bytes()?))))?,
            other => bail!("opcode {other:#04x}, which no state dict needs"),
        }
        Ok(false)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (bytes, rest) = self
            .rest
            .split_first_chunk::<N>()
            .context("the pickle is cut off")?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn line(&mut self) -> Result<String> {
        let end = memchr::memchr(b'\n', self.rest).context("the pickle is cut off")?;
        let line = std::str::from_utf8(&self.rest[..end])
            .context("a name is no text")?
            .to_owned();
        self.rest = &self.rest[end + 1..];
        Ok(line)
    }

    fn text(&mut self, len: usize) -> Result<()> {
        let (text, rest) = self
            .rest
            .split_at_checked(len)
            .context("the pickle is cut off")?;
        self.rest = rest;
        self.stack.push(Value::Text(
            std::str::from_utf8(text)
                .context("a text is not UTF-8")?
                .into(),
        ));
        Ok(())
    }

    /// LONG1: little-endian, two's complement, up to eight bytes.
    fn long(&mut self) -> Result<i64> {
        let len = usize::from(self.bytes::<1>()?[0]);
        let (bytes, rest) = self
            .rest
            .split_at_checked(len)
            .filter(|_| len <= 8)
            .context("an integer is too long")?;
        self.rest = rest;
        let sign = bytes
            .last()
            .map_or(0, |&byte| if byte > 127 { 0xFF } else { 0 });
        let mut wide = [sign; 8];
        wide[..len].copy_from_slice(bytes);
        Ok(i64::from_le_bytes(wide))
    }

    fn int(&mut self, read: impl FnOnce(&mut Self) -> Result<i64>) -> Result<()> {
        let value = read(self)?;
        self.stack.push(Value::Int(value));
        Ok(())
    }

    fn pop(&mut self) -> Result<Value> {
        self.stack.pop().context("the pickle's stack is empty")
    }

    fn last(&mut self, count: usize) -> Result<Vec<Value>> {
        let at = self
            .stack
            .len()
            .checked_sub(count)
            .context("the pickle's stack is empty")?;
        Ok(self.stack.split_off(at))
    }

    fn since_mark(&mut self) -> Result<Vec<Value>> {
        let mark = self.marks.pop().context("a mark is missing")?;
        self.last(self.stack.len().saturating_sub(mark))
    }

    fn tuple(&mut self, count: usize) -> Result<()> {
        let items = self.last(count)?;
        self.stack.push(Value::List(items));
        Ok(())
    }

    fn call(&mut self) -> Result<()> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        let Value::List(arguments) = arguments else {
            bail!("a call has no arguments")
        };
        self.stack.push(match callable {
            Value::Global(name) if &*name == "collections.OrderedDict" => Value::Dict(Vec::new()),
            Value::Global(name) => Value::Call(name, arguments),
            _ => Value::Nothing,
        });
        Ok(())
    }

    fn set_items(&mut self, count: usize) -> Result<()> {
        let items = self.last(count)?;
        match self.stack.last_mut() {
            Some(Value::Dict(entries)) => {
                let mut items = items.into_iter();
                while let (Some(key), Some(value)) = (items.next(), items.next()) {
                    entries.push((key, value));
                }
            }
            Some(_) => {}
            None => bail!("items belong to nothing"),
        }
        Ok(())
    }

    fn append(&mut self, count: usize) -> Result<()> {
        let items = self.last(count)?;
        if let Some(Value::List(list)) = self.stack.last_mut() {
            list.extend(items);
        }
        Ok(())
    }

    // NOTE: Python's memo holds references; here it holds what a value was when it was put there. A
    // state dict refers only to finished values again: names, tuples, storages.
    fn memoize(&mut self, place: impl FnOnce(&mut Self) -> Result<u64>) -> Result<()> {
        let place = place(self)?;
        let value = match self.stack.last().context("nothing to remember")? {
            // Growing containers would be copied at every use, and no state dict refers to one.
            Value::Dict(_) => Value::Dict(Vec::new()),
            value => value.clone(),
        };
        self.memo.insert(place, value);
        Ok(())
    }

    fn recall(&mut self, place: impl FnOnce(&mut Self) -> Result<u64>) -> Result<()> {
        let place = place(self)?;
        let value = self
            .memo
            .get(&place)
            .context("something is used before it is remembered")?;
        self.stack.push(value.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_ordered_dict_of_tuples_is_read() {
        // pickle.dumps(OrderedDict([("a", (1, -2, 70000)), ("b", None)]), 2)
        let pickle = b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01(X\x01\x00\x00\x00aq\x02K\x01J\xfe\xff\xff\xffJp\x11\x01\x00\x87q\x03X\x01\x00\x00\x00bq\x04Nu.";
        let text = |text: &str| Value::Text(text.into());
        let numbers = Value::List([1, -2, 70000].map(Value::Int).into());
        let expected = Value::Dict(vec![(text("a"), numbers), (text("b"), Value::Nothing)]);
        assert_eq!(unpickle(pickle).unwrap(), expected);
    }

    #[test]
    fn calls_are_named_and_never_made() {
        let value = unpickle(b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.").unwrap();
        assert_eq!(
            value,
            Value::Call("os.system".into(), vec![Value::Text("ls".into())])
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = unpickle(&bytes);
        }
    }
}
