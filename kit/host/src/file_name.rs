//! What the name of a file in a driving set says.

use std::borrow::Cow;
use std::fmt::Write;

/// How names of pictures end that are annotations of another one, in Cityscapes and BDD100K.
const ANNOTATIONS: [&str; 8] = [
    "_labelIds",
    "_labelTrainIds",
    "_instanceIds",
    "_instanceTrainIds",
    "_gtFine_color",
    "_gtCoarse_color",
    "_train_id",
    "_train_color",
];

/// Whether a file or folder called `name` is hidden: kept by a system or a program, not by people.
pub fn is_hidden(name: &str) -> bool {
    name.starts_with('.')
}

/// Whether a picture called `stem` (without its ending) is an annotation of another one.
pub fn is_annotation(stem: &str) -> bool {
    ANNOTATIONS.iter().any(|ending| stem.ends_with(ending))
}

/// A file's name as text: UTF-8 as it is, `\xFF` for a byte that is none. No two names have one
/// text: where a name holds such letters itself, its backslash becomes `\x5C`.
pub fn text_of(name: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(name) {
        Ok(text) if !text.contains("\\x") => Cow::Borrowed(text),
        _ => Cow::Owned(escaped(name)),
    }
}

fn escaped(name: &[u8]) -> String {
    let mut text = String::new();
    for chunk in name.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(at) = rest.find("\\x") {
            let reads_like_a_byte = is_hex(&rest.as_bytes()[at + 2..]);
            text.push_str(&rest[..at]);
            text.push_str(if reads_like_a_byte { "\\x5C" } else { "\\" });
            rest = &rest[at + 1..];
        }
        text.push_str(rest);
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02X}").expect("a text takes every letter");
        }
    }
    text
}

/// Whether `bytes` begin with two digits as they are written here.
fn is_hex(bytes: &[u8]) -> bool {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
    bytes.len() >= 2 && bytes[..2].iter().all(is_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_utf_8_have_a_text_of_their_own() {
        for (name, text) in [
            (&b"stra\xC3\x9Fe.jpg"[..], "straße.jpg"),
            (b"stra\xDFe.jpg", "stra\\xDFe.jpg"),
            (b"stra\\xDFe.jpg", "stra\\x5CxDFe.jpg"),
            (b"\\xdf \\x \\xA \\n.jpg", "\\xdf \\x \\xA \\n.jpg"),
            (b"\\\xFF\xFE", "\\\\xFF\\xFE"),
            (b"", ""),
        ] {
            assert_eq!(text_of(name), text);
        }
    }

    #[test]
    fn the_bytes_of_a_name_follow_from_its_text() {
        let read = |text: &str| {
            let mut bytes = Vec::new();
            let mut rest = text.as_bytes();
            while let Some((&first, after)) = rest.split_first() {
                if first == b'\\' && after.first() == Some(&b'x') && is_hex(&after[1..]) {
                    let digits = std::str::from_utf8(&after[1..3]).unwrap();
                    bytes.push(u8::from_str_radix(digits, 16).unwrap());
                    rest = &after[3..];
                } else {
                    bytes.push(first);
                    rest = after;
                }
            }
            bytes
        };
        // All names of up to five of these bytes.
        let alphabet = [b'\\', b'x', b'5', b'C', 0xFF];
        for number in 0..5_u32.pow(5) {
            let digit = |place| alphabet[(number / 5_u32.pow(place) % 5) as usize];
            let name: Vec<u8> = (0..5).map(digit).collect();
            assert_eq!(read(&text_of(&name)), name);
        }
    }
}
