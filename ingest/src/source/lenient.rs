//! JSON as it is written in the world: a byte order mark in front, and numbers that are none.
//!
//! `NaN`, `Infinity` and `-Infinity` become 0, with blanks for the other letters, so that lines and
//! columns stay what they are.

use std::io::{self, Read};

/// Reads what JSON calls for from `file`.
#[derive(Debug)]
pub(super) struct Lenient<R> {
    file: R,
    state: State,
    /// How many bytes of a mark may come yet.
    at_mark: usize,
}

/// Where in the text the last byte was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Outside,
    Text,
    /// After a backslash in a text.
    Escape,
    /// In a word that was replaced.
    Word,
}

const BYTE_ORDER_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];

impl<R: Read> Lenient<R> {
    pub(super) fn new(file: R) -> Self {
        Self {
            file,
            state: State::Outside,
            at_mark: 0,
        }
    }

    fn pass(&mut self, byte: u8) -> u8 {
        if self.at_mark < BYTE_ORDER_MARK.len() {
            if byte == BYTE_ORDER_MARK[self.at_mark] {
                self.at_mark += 1;
                return b' ';
            }
            self.at_mark = BYTE_ORDER_MARK.len();
        }
        let (state, byte) = match (self.state, byte) {
            (State::Text, b'\\') => (State::Escape, byte),
            (State::Text, b'"') => (State::Outside, byte),
            (State::Text | State::Escape, _) => (State::Text, byte),
            (_, b'"') => (State::Text, byte),
            (State::Outside, b'N' | b'I') => (State::Word, b'0'),
            (State::Word, b'a'..=b'z' | b'A'..=b'Z') => (State::Word, b' '),
            _ => (State::Outside, byte),
        };
        self.state = state;
        byte
    }
}

impl<R: Read> Read for Lenient<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        for byte in &mut buffer[..read] {
            *byte = self.pass(*byte);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_outside_texts_are_numbers_and_texts_stay() {
        for (given, read) in [
            ("[NaN, -Infinity,Infinity]", "[0  , -0       ,0       ]"),
            (r#"{"NaN": "I \"N\\"}"#, r#"{"NaN": "I \"N\\"}"#),
            ("\u{FEFF}[1]", "   [1]"),
            ("[true, null]", "[true, null]"),
            ("", ""),
        ] {
            let mut text = String::new();
            Lenient::new(given.as_bytes())
                .read_to_string(&mut text)
                .unwrap();
            assert_eq!(text, read);
        }
    }
}
