//! What a file is by how it begins, whatever it is called.

/// Beginnings of files that are taken for tars by their name, and what they are.
const BEGINNINGS: [(&[u8], Format); 14] = [
    (b"\x1F\x8B", Format::Gzip),
    (b"\x28\xB5\x2F\xFD", Format::Zstd),
    (b"PK\x03\x04", Format::Zip),
    (b"PK\x05\x06", Format::Zip),
    (b"PK\x07\x08", Format::Zip),
    (b"BZh", Format::Other("bzip2", "bunzip2 -k")),
    (b"\xFD7zXZ\0", Format::Other("xz", "xz -dk")),
    (b"\x04\x22\x4D\x18", Format::Other("lz4", "lz4 -dk")),
    (b"\x1F\x9D", Format::Other("compress", "gzip -dk")),
    (b"LZIP", Format::Other("lzip", "lzip -dk")),
    (b"7z\xBC\xAF\x27\x1C", Format::Other("7z", "7z x")),
    (b"Rar!", Format::Other("rar", "unrar x")),
    (b"<html", Format::Other("a web page", "")),
    (b"<!DOCTYPE", Format::Other("a web page", "")),
];

/// What a file that is no tar is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// A stream of gzip.
    Gzip,
    /// A stream of zstd.
    Zstd,
    /// A zip.
    Zip,
    /// Its name, and the command that makes a tar or files of it, if there is one.
    Other(&'static str, &'static str),
}

/// What a file is that begins with `bytes`; `None` if it may be a tar or anything else.
pub(super) fn of(bytes: &[u8]) -> Option<Format> {
    // Zstd may begin with frames that are skipped.
    if bytes.len() >= 4 && bytes[0] & 0xF0 == 0x50 && bytes[1..4] == *b"\x2A\x4D\x18" {
        return Some(Format::Zstd);
    }
    let known = BEGINNINGS
        .iter()
        .find(|(start, _)| bytes.starts_with(start));
    known.map(|&(_, format)| format)
}

/// That something is what it is, and no tar.
pub(super) fn not_a_tar(format: Format) -> String {
    match format {
        Format::Gzip => "it is gzip, not a tar".to_owned(),
        Format::Zstd => "it is zstd, not a tar".to_owned(),
        Format::Zip => "it is a zip, not a tar".to_owned(),
        Format::Other(name, "") => format!("it is {name}, not a tar"),
        Format::Other(name, command) => {
            format!("it is {name}, not a tar: unpack it with `{command}`")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_their_first_bytes() {
        assert_eq!(of(b"\x1F\x8B\x08"), Some(Format::Gzip));
        assert_eq!(of(b"\x28\xB5\x2F\xFD"), Some(Format::Zstd));
        assert_eq!(of(b"\x5E\x2A\x4D\x18"), Some(Format::Zstd));
        assert_eq!(of(b"PK\x03\x04"), Some(Format::Zip));
        assert_eq!(of(b"photos/a.jpg"), None);
        assert_eq!(of(b""), None);
        let detail = not_a_tar(of(b"\xFD7zXZ\0\0\x04").unwrap());
        assert!(
            detail.contains("it is xz") && detail.contains("xz -dk"),
            "{detail}"
        );
    }
}
