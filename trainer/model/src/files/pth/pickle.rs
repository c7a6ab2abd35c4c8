//! Writes Python pickles: just the opcodes that tensors need.
//!
//! A pickle is a program for a stack machine
//! (<https://docs.python.org/3/library/pickletools.html>). Each method appends one instruction; the
//! caller keeps the stack in mind.

/// A pickle being written.
pub(in crate::files) struct Pickle {
    out: Vec<u8>,
}

impl Pickle {
    /// Begins a pickle of protocol 2 (`torch.load`) or 3 (has bytes).
    pub(in crate::files) fn new(protocol: u8) -> Self {
        Pickle {
            out: vec![0x80, protocol],
        }
    }

    /// Ends the pickle: its value is the top of the stack.
    pub(in crate::files) fn finish(mut self) -> Vec<u8> {
        self.op(b'.');
        self.out
    }

    /// Pushes the object `module.name`.
    pub(in crate::files) fn global(&mut self, module: &str, name: &str) -> &mut Self {
        self.op(b'c');
        self.out.extend(format!("{module}\n{name}\n").bytes());
        self
    }

    /// Pushes an integer.
    pub(in crate::files) fn int(&mut self, value: i64) -> &mut Self {
        match i32::try_from(value) {
            Ok(small) => {
                self.op(b'J');
                self.out.extend(small.to_le_bytes());
            }
            Err(_) => {
                self.out.extend([0x8a, 8]); // LONG1, 8 bytes, two's complement
                self.out.extend(value.to_le_bytes());
            }
        }
        self
    }

    /// Pushes a string.
    pub(in crate::files) fn str(&mut self, text: &str) -> &mut Self {
        self.op(b'X');
        self.out.extend((text.len() as u32).to_le_bytes());
        self.out.extend(text.bytes());
        self
    }

    /// Pushes bytes (protocol 3); shorter than 4 GiB.
    pub(in crate::files) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        let len = u32::try_from(bytes.len()).expect("no tensor of a backbone has 4 GiB");
        self.op(b'B');
        self.out.extend(len.to_le_bytes());
        self.out.extend(bytes);
        self
    }

    /// Pushes `None`.
    pub(in crate::files) fn none(&mut self) -> &mut Self {
        self.op(b'N')
    }

    /// Pushes a truth value.
    pub(in crate::files) fn bool(&mut self, value: bool) -> &mut Self {
        self.op(if value { 0x88 } else { 0x89 })
    }

    /// Pushes a mark, where a later [`Pickle::tuple`] or [`Pickle::set_items`] begins.
    pub(in crate::files) fn mark(&mut self) -> &mut Self {
        self.op(b'(')
    }

    /// Replaces everything above the mark by a tuple of it.
    pub(in crate::files) fn tuple(&mut self) -> &mut Self {
        self.op(b't')
    }

    /// Pushes an empty dict.
    pub(in crate::files) fn dict(&mut self) -> &mut Self {
        self.op(b'}')
    }

    /// Adds the keys and values above the mark to the dict below it.
    pub(in crate::files) fn set_items(&mut self) -> &mut Self {
        self.op(b'u')
    }

    /// Replaces callable and argument tuple by the call's value.
    pub(in crate::files) fn reduce(&mut self) -> &mut Self {
        self.op(b'R')
    }

    /// Gives the state on top to the object below (`__setstate__`).
    pub(in crate::files) fn build(&mut self) -> &mut Self {
        self.op(b'b')
    }

    /// Replaces the identifier on top by the object that the reader keeps under it.
    pub(in crate::files) fn persistent(&mut self) -> &mut Self {
        self.op(b'Q')
    }

    /// Pushes a tuple of integers.
    pub(in crate::files) fn ints(&mut self, values: impl IntoIterator<Item = i64>) -> &mut Self {
        self.mark();
        values.into_iter().for_each(|value| {
            self.int(value);
        });
        self.tuple()
    }

    fn op(&mut self, code: u8) -> &mut Self {
        self.out.push(code);
        self
    }
}
