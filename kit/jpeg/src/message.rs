//! libjpeg-turbo's messages, sorted under stable reasons.

use crate::defect::{Defect, UNFINISHED};

/// The defect that `message` names.
pub(crate) fn defect(message: &str) -> Defect {
    const REASONS: [(&str, &str); 9] = [
        ("Not a JPEG file", "not-a-jpeg"),
        ("Empty input file", "empty-file"),
        ("Premature end of JPEG file", "truncated-jpeg"),
        ("contains no image", "truncated-jpeg"),
        ("Corrupt JPEG data", "corrupt-jpeg"),
        ("Invalid SOS parameters", "corrupt-jpeg"),
        ("Inconsistent progression sequence", "corrupt-jpeg"),
        ("The scans end before", UNFINISHED),
        ("Maximum supported image dimension", "too-large"),
    ];
    let reason = REASONS.iter().find(|(text, _)| message.contains(text));
    Defect::new(
        reason.map_or("undecodable-jpeg", |(_, reason)| reason),
        message.trim(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_sorted_under_stable_reasons() {
        let reason = |message| defect(message).reason;
        assert_eq!(
            reason("Not a JPEG file: starts with 0x3c 0x68"),
            "not-a-jpeg"
        );
        assert_eq!(reason("Premature end of JPEG file"), "truncated-jpeg");
        assert_eq!(
            reason("Corrupt JPEG data: bad Huffman code"),
            "corrupt-jpeg"
        );
        assert_eq!(reason("Unsupported marker type 0xc3"), "undecodable-jpeg");
    }
}
