//! Headers of members.

use tar::Header;

/// Everything in a tar is a multiple of it.
pub(crate) const BLOCK_BYTES: u64 = 512;

/// What a header is the header of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Of what extends the next one.
    Extension,
    File,
    /// Of no contents that can be read, for this reason.
    Unreadable(&'static str),
    Link {
        is_hard: bool,
    },
    /// Of a folder, a label, …
    Other,
}

/// A type that nobody knows is a file, as POSIX has it.
pub(super) fn kind(header: &Header) -> Kind {
    match header.entry_type().as_byte() {
        b'L' | b'K' | b'x' | b'X' | b'g' => Kind::Extension,
        b'1' => Kind::Link { is_hard: true },
        b'2' => Kind::Link { is_hard: false },
        b'3' | b'4' | b'6' => Kind::Unreadable("it is a device or a pipe"),
        b'S' => Kind::Unreadable("it is stored as a sparse file"),
        b'M' => Kind::Unreadable("it is continued from another volume"),
        b'5' | b'D' | b'V' | b'N' | b'A' | b'E' | b'I' => Kind::Other,
        _ => Kind::File,
    }
}

/// Whether `block` is the header of a member.
pub(crate) fn is_header(block: &[u8]) -> bool {
    block.len() as u64 == BLOCK_BYTES && has_right_checksum(Header::from_byte_slice(block))
}

/// Bytes of a member. A field that is left empty, as in labels, is 0.
pub(super) fn size(header: &Header) -> Option<u64> {
    let is_empty = |field: &[u8]| field.iter().all(|byte| matches!(byte, 0 | b' '));
    match header.entry_size() {
        Ok(size) => Some(size),
        Err(_) => is_empty(&header.as_old().size).then_some(0),
    }
}

/// The sum of a header's bytes, its own field taken for spaces.
pub(super) fn has_right_checksum(header: &Header) -> bool {
    const FIELD: std::ops::Range<usize> = 148..156;
    let sum = |bytes: &[u8]| -> u32 { bytes.iter().map(|&byte| u32::from(byte)).sum() };
    let bytes = header.as_bytes();
    let spaces = FIELD.len() as u32 * u32::from(b' ');
    let expected = sum(bytes) - sum(&bytes[FIELD]) + spaces;
    header.cksum().is_ok_and(|stated| stated == expected)
}
