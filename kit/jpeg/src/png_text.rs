//! What a PNG says beside its pixels: EXIF and XMP, in the chunks and texts in which Pillow finds
//! them.
//!
//! EXIF is an `eXIf` chunk, a text of the name `exif`, or, if there is neither, ImageMagick's "Raw
//! profile type exif" in hexadecimal digits. XMP is a text of the name `XML:com.adobe.xmp`. Of
//! several, the last counts. Nothing here decides whether a file is valid: chunks are walked as far
//! as they can be, checksums are the decoder's business.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::ZlibDecoder;

/// Bytes to which the compressed texts of one file may grow together: more than any EXIF or XMP,
/// little for an attack.
const MAX_TEXT_BYTES: u64 = 1 << 20;

/// EXIF and XMP of a PNG.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PngText<'a> {
    exif: Option<&'a [u8]>,
    raw_profile: Option<Cow<'a, [u8]>>,
    /// The XMP text.
    pub(crate) xmp: Option<Cow<'a, [u8]>>,
    /// The file ends behind a whole chunk, and its last chunk is missing.
    pub(crate) lacks_end: bool,
    /// Bytes to which compressed texts have grown.
    inflated_bytes: u64,
}

impl<'a> PngText<'a> {
    /// Walks the chunks of a PNG.
    pub(crate) fn scan(png: &'a [u8]) -> Self {
        const SIGNATURE_BYTES: usize = 8;
        let mut found = Self::default();
        let mut rest = png.get(SIGNATURE_BYTES..).unwrap_or_default();
        while let Some((name, body, behind)) = next_chunk(rest) {
            match &name {
                b"IEND" => {
                    found.lacks_end = false;
                    break;
                }
                b"eXIf" => found.exif = Some(body),
                b"tEXt" => found.read_plain(body),
                b"zTXt" => found.read_compressed(body),
                b"iTXt" => found.read_international(body),
                _ => {}
            }
            rest = behind;
            found.lacks_end = rest.is_empty();
        }
        found
    }

    /// The TIFF structure of the EXIF data, perhaps behind its name.
    pub(crate) fn exif(&self) -> Option<Cow<'a, [u8]>> {
        let raw = || self.raw_profile.as_deref().map(bytes_of_profile);
        self.exif
            .map(Cow::Borrowed)
            .or_else(|| raw().map(Cow::Owned))
    }

    fn read_plain(&mut self, body: &'a [u8]) {
        let Some((name, text)) = split_at_zero(body) else {
            return;
        };
        if name == b"exif" {
            self.exif = Some(text);
        } else {
            self.keep(name, |_| Some(Cow::Borrowed(text)));
        }
    }

    fn read_compressed(&mut self, body: &'a [u8]) {
        if let Some((name, [0, text @ ..])) = split_at_zero(body) {
            self.keep(name, |grown| inflated(text, grown).map(Cow::Owned));
        }
    }

    fn read_international(&mut self, body: &'a [u8]) {
        let Some((name, [is_compressed, method, rest @ ..])) = split_at_zero(body) else {
            return;
        };
        let translated = split_at_zero(rest).and_then(|(_language, rest)| split_at_zero(rest));
        let Some((_translated, text)) = translated else {
            return;
        };
        self.keep(name, |grown| match (is_compressed, method) {
            (0, _) => Some(Cow::Borrowed(text)),
            (_, 0) => inflated(text, grown).map(Cow::Owned),
            _ => None,
        });
    }

    /// Keeps a text if it is one of those looked for; `text` is read only then, and
    /// counts the bytes to which it grows.
    fn keep(&mut self, name: &[u8], text: impl FnOnce(&mut u64) -> Option<Cow<'a, [u8]>>) {
        let place = match name {
            b"XML:com.adobe.xmp" => &mut self.xmp,
            b"Raw profile type exif" => &mut self.raw_profile,
            _ => return,
        };
        if let Some(text) = text(&mut self.inflated_bytes) {
            *place = Some(text);
        }
    }
}

/// Name and body of the first chunk, and what lies behind it.
fn next_chunk(bytes: &[u8]) -> Option<([u8; 4], &[u8], &[u8])> {
    const CRC_BYTES: usize = 4;
    let (length, rest) = bytes.split_first_chunk()?;
    let (name, rest) = rest.split_first_chunk()?;
    let (body, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    Some((*name, body, rest.get(CRC_BYTES..)?))
}

fn split_at_zero(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&byte| byte == 0)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// The text, if the file's texts have not `grown` too large with it.
fn inflated(compressed: &[u8], grown: &mut u64) -> Option<Vec<u8>> {
    let left = MAX_TEXT_BYTES.checked_sub(*grown)?;
    let mut text = Vec::new();
    let mut decoder = ZlibDecoder::new(compressed).take(left + 1);
    let read = decoder.read_to_end(&mut text);
    *grown += text.len() as u64;
    read.ok().filter(|_| *grown <= MAX_TEXT_BYTES).map(|_| text)
}

/// The bytes of a raw profile: three lines (empty, its name, its length), then pairs of digits. One
/// with another sign in it is nobody's EXIF, an empty one says nothing.
fn bytes_of_profile(text: &[u8]) -> Vec<u8> {
    let lines = text.split(|&byte| byte == b'\n').skip(3);
    let signs = lines.flatten().filter(|sign| !sign.is_ascii_whitespace());
    let digits: Option<Vec<u8>> = signs.map(|&sign| digit(sign)).collect();
    match digits {
        Some(digits) if digits.len() % 2 == 0 => digits
            .chunks_exact(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
        _ => b"no digits".to_vec(),
    }
}

fn digit(sign: u8) -> Option<u8> {
    char::from(sign).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    const EXIF: &[u8] = b"II*\0\x08\0\0\0";

    fn png(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
        let mut png = b"\x89PNG\r\n\x1A\n".to_vec();
        for (name, body) in chunks {
            png.extend((body.len() as u32).to_be_bytes());
            png.extend([&name[..], body, b"crc?"].concat());
        }
        png
    }

    fn deflated(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn raw_profile() -> Vec<u8> {
        let digits: String = EXIF.iter().map(|byte| format!("{byte:02x}")).collect();
        let (first, second) = digits.split_at(6);
        format!("\nexif\n       8\n{first}\n{second}\n").into_bytes()
    }

    fn exif_of(chunks: &[(&[u8; 4], Vec<u8>)]) -> Option<Vec<u8>> {
        let png = png(chunks);
        PngText::scan(&png).exif().map(Cow::into_owned)
    }

    fn xmp_of(chunks: &[(&[u8; 4], Vec<u8>)]) -> Option<Vec<u8>> {
        let png = png(chunks);
        PngText::scan(&png).xmp.map(Cow::into_owned)
    }

    #[test]
    fn exif_is_found_in_every_chunk_that_can_hold_it() {
        let plain = [b"Raw profile type exif\0", &raw_profile()[..]].concat();
        let compressed = [b"Raw profile type exif\0\0", &deflated(&raw_profile())[..]].concat();
        let international = [b"Raw profile type exif\0\0\0\0\0", &raw_profile()[..]].concat();
        for chunk in [
            (b"eXIf", EXIF.to_vec()),
            (b"tEXt", [b"exif\0", EXIF].concat()),
            (b"tEXt", plain),
            (b"zTXt", compressed),
            (b"iTXt", international),
        ] {
            // Also behind the pixels.
            let name = chunk.0.escape_ascii();
            assert_eq!(
                exif_of(&[(b"IDAT", vec![]), chunk]).as_deref(),
                Some(EXIF),
                "{name}"
            );
        }
    }

    #[test]
    fn xmp_is_found_in_every_text() {
        let text = b"tiff:Orientation=\"6\"";
        let name = b"XML:com.adobe.xmp";
        let international = |compressed: u8, text: &[u8]| {
            [&name[..], &[0, compressed, 0], b"en\0name\0", text].concat()
        };
        for chunk in [
            (b"tEXt", [&name[..], b"\0", text].concat()),
            (b"zTXt", [&name[..], b"\0\0", &deflated(text)].concat()),
            (b"iTXt", international(0, text)),
            (b"iTXt", international(1, &deflated(text))),
        ] {
            assert_eq!(xmp_of(&[chunk]).as_deref(), Some(&text[..]));
        }
    }

    #[test]
    fn the_last_counts_and_nothing_behind_the_end() {
        let exif = |byte: u8| (b"eXIf", vec![byte]);
        assert_eq!(
            exif_of(&[exif(1), exif(2), (b"IEND", vec![]), exif(3)]),
            Some(vec![2])
        );
    }

    #[test]
    fn a_missing_end_is_told_from_a_cut() {
        let pixels = || (b"IDAT", vec![7; 20]);
        let lacks_end = |png: &[u8]| PngText::scan(png).lacks_end;
        assert!(lacks_end(&png(&[pixels()])));
        assert!(!lacks_end(&png(&[pixels(), (b"IEND", vec![])])));
        let cut = png(&[pixels()]);
        assert!((8..cut.len()).all(|len| !lacks_end(&cut[..len])));
    }

    #[test]
    fn texts_of_one_file_share_what_they_may_grow_to() {
        let chunk = |sign: u8, len: usize| {
            let text = deflated(&vec![sign; len]);
            (b"zTXt", [b"XML:com.adobe.xmp\0\0", &text[..]].concat())
        };
        let half = MAX_TEXT_BYTES as usize / 2;
        for (chunks, expected) in [
            ([chunk(b'a', half), chunk(b'b', half)], b'b'),
            ([chunk(b'a', half), chunk(b'b', half + 1)], b'a'),
        ] {
            assert_eq!(xmp_of(&chunks), Some(vec![expected; half]));
        }
        let [a, b] = [chunk(b'a', half), chunk(b'b', half + 1)];
        assert_eq!(xmp_of(&[a, b, chunk(b'c', 1)]), Some(vec![b'a'; half]));
    }

    #[test]
    fn hostile_texts_are_passed_over() {
        let bomb = [
            b"XML:com.adobe.xmp\0\0",
            &deflated(&vec![b' '; 2 << 20])[..],
        ]
        .concat();
        assert_eq!(xmp_of(&[(b"zTXt", bomb)]), None);
        assert_eq!(
            xmp_of(&[(b"zTXt", b"XML:com.adobe.xmp\0\0no zlib".to_vec())]),
            None
        );
        let odd = b"Raw profile type exif\0\nexif\n 2\n4".to_vec();
        assert_eq!(
            exif_of(&[(b"tEXt", odd)]).as_deref(),
            Some(&b"no digits"[..])
        );
        let whole = png(&[(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0x".to_vec())]);
        for len in 0..whole.len() {
            PngText::scan(&whole[..len]);
        }
    }
}
