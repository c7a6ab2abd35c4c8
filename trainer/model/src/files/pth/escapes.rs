//! Strings of the text protocols: their escapes replaced by what they stand for.

use bytes::Bytes;

/// What stands behind a backslash: the bytes it stands for, and how many it takes.
pub(super) type Escape = fn(&[u8]) -> Option<(Vec<u8>, usize)>;

/// A string with its escapes replaced by what they stand for; those of no meaning stay.
pub(super) fn unescaped(text: &[u8], escape: Escape) -> Bytes {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend(&rest[..at]);
        let tail = &rest[at + 1..];
        let (value, len) = escape(tail).unwrap_or((vec![b'\\'], 0));
        out.extend(value);
        rest = &tail[len..];
    }
    out.extend(rest);
    out.into()
}

/// The escapes of Python's source.
pub(super) fn source_escape(tail: &[u8]) -> Option<(Vec<u8>, usize)> {
    let byte = match tail.first()? {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        quote @ (b'\\' | b'\'' | b'"') => *quote,
        b'x' => return Some((vec![hexadecimal(tail, 2)? as u8], 3)),
        _ => return None,
    };
    Some((vec![byte], 1))
}

/// The two escapes of `raw-unicode-escape`.
pub(super) fn unicode_escape(tail: &[u8]) -> Option<(Vec<u8>, usize)> {
    let len = match tail.first()? {
        b'u' => 4,
        b'U' => 8,
        _ => return None,
    };
    let text = char::from_u32(hexadecimal(tail, len)?)?.to_string();
    Some((text.into_bytes(), 1 + len))
}

/// The number of `len` digits behind the first byte.
fn hexadecimal(tail: &[u8], len: usize) -> Option<u32> {
    let digits = std::str::from_utf8(tail.get(1..1 + len)?).ok()?;
    u32::from_str_radix(digits, 16).ok()
}
