//! The members of a tar as they are kept beside a set, so that the tar is walked through once.
//!
//! A file is zstd of JSON with its CRC32C behind it. It counts as long as path, sizes and times of
//! the archive's files are what they were; any other file is passed over and made again. It is
//! written whole by whoever walks first: of two that write, either is right.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::format::Kind;
use super::joined::Stamp;
use super::members::Members;
use super::parts::Whole;
use super::place::{Lost, Place, Span};
use super::unpack::Coding;
use crate::error::Defect;
use crate::source::new_index::NewIndex;

/// Of the file and of how members are found: another one is made again.
const VERSION: u32 = 2;

/// A larger index is made again each time.
const MAX_BYTES: u64 = 16 << 30;

const CRC_BYTES: usize = 4;

/// Reasons that a kept defect may have.
const REASONS: [&str; 5] = [
    "broken-link",
    "compression-bomb",
    "damaged-archive",
    "truncated-archive",
    "unsupported-member",
];

/// The place of an index.
#[derive(Debug)]
pub(super) struct Kept {
    file: PathBuf,
    archive: String,
}

#[derive(Deserialize, Serialize)]
struct Content {
    version: u32,
    archive: String,
    stamps: Vec<Stamp>,
    kind: Packing,
    /// All paths, one behind the other.
    names: String,
    name_bytes: Vec<u32>,
    /// Offset and length of what can be read.
    spans: Vec<(u64, u64)>,
    lost: Vec<KeptLost>,
    replaced: Vec<(String, u64, String)>,
}

#[derive(Deserialize, Serialize)]
enum Packing {
    None,
    Gzip,
    Zstd,
}

#[derive(Deserialize, Serialize)]
struct KeptLost {
    ix: u64,
    is_place: bool,
    reason: String,
    detail: String,
    unread_bytes: u64,
}

impl Kept {
    /// Where the index of `whole` is kept in `dir`.
    pub(super) fn of(dir: &Path, whole: &Whole) -> Self {
        let absolute = std::path::absolute(&whole.path).unwrap_or_else(|_| whole.path.clone());
        let archive = absolute.to_string_lossy().into_owned();
        let mut hasher = DefaultHasher::new();
        absolute.hash(&mut hasher);
        let name = absolute.file_name().unwrap_or_default().to_string_lossy();
        let mut name = name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "_");
        name.truncate(100);
        Self {
            file: dir.join(format!("{name}-{:016x}.index", hasher.finish())),
            archive,
        }
    }

    /// The members, if they are kept and the archive is as it was.
    pub(super) fn read(&self, stamps: &[Stamp]) -> Option<(Kind, Members)> {
        let bytes = fs::read(&self.file).ok()?;
        let (packed, crc) = bytes.split_last_chunk::<CRC_BYTES>()?;
        if crc32c::crc32c(packed).to_le_bytes() != *crc {
            return None;
        }
        let unpacked = zstd::stream::read::Decoder::new(packed).ok()?;
        let unpacked = BufReader::new(unpacked.take(MAX_BYTES));
        let content: Content = serde_json::from_reader(unpacked).ok()?;
        let is_right = content.version == VERSION
            && content.archive == self.archive
            && content.stamps == stamps;
        content.into_members().filter(|_| is_right)
    }

    /// The members as they are to be kept; nothing of what needs no index.
    pub(super) fn packed(
        &self,
        stamps: Vec<Stamp>,
        kind: Kind,
        members: &Members,
    ) -> Option<NewIndex> {
        let content = Content::of(self.archive.clone(), stamps, kind, members)?;
        Some(NewIndex::new(self.file.clone(), pack(&content).ok()?))
    }
}

fn pack(content: &Content) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1)?;
    serde_json::to_writer(&mut encoder, content)?;
    let mut bytes = encoder.finish()?;
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    Ok(bytes)
}

impl Content {
    /// `None` for a zip: its directory is an index.
    fn of(archive: String, stamps: Vec<Stamp>, kind: Kind, members: &Members) -> Option<Self> {
        let kind = match kind {
            Kind::Tar => Packing::None,
            Kind::Packed(Coding::Gzip) => Packing::Gzip,
            Kind::Packed(Coding::Zstd) => Packing::Zstd,
            Kind::Zip => return None,
        };
        let replaced = members.replaced.iter();
        let replaced = replaced.map(|(kind, (count, first))| (kind.clone(), *count, first.clone()));
        let mut content = Self {
            version: VERSION,
            archive,
            stamps,
            kind,
            names: String::new(),
            name_bytes: Vec::new(),
            spans: Vec::new(),
            lost: Vec::new(),
            replaced: replaced.collect(),
        };
        for ix in 0..members.len() {
            let name = members.names.get(ix);
            content.names.push_str(&name);
            content.name_bytes.push(name.len() as u32);
            match members.places.get(ix) {
                Ok(Place::Plain(span)) => content.spans.push((span.offset, span.len)),
                Ok(Place::Zipped(_)) => return None,
                Err(Lost {
                    defect,
                    unread_bytes,
                }) => content.lost.push(KeptLost {
                    ix,
                    is_place: members.is_lost(ix),
                    reason: defect.reason.to_owned(),
                    detail: defect.detail,
                    unread_bytes,
                }),
            }
        }
        Some(content)
    }

    /// `None` if it is not what was kept.
    fn into_members(self) -> Option<(Kind, Members)> {
        let kind = match self.kind {
            Packing::None => Kind::Tar,
            Packing::Gzip => Kind::Packed(Coding::Gzip),
            Packing::Zstd => Kind::Packed(Coding::Zstd),
        };
        let mut members = Members::default();
        let mut names = self.names.as_str();
        let mut spans = self.spans.into_iter();
        let mut lost = self.lost.into_iter().peekable();
        for (ix, len) in self.name_bytes.into_iter().enumerate() {
            let name;
            (name, names) = names.split_at_checked(len as usize)?;
            let Some(found) = lost.next_if(|lost| lost.ix == ix as u64) else {
                let (offset, len) = spans.next()?;
                members.push(name, Ok(Place::Plain(Span { offset, len })));
                continue;
            };
            let reason = REASONS.into_iter().find(|reason| *reason == found.reason)?;
            let what = Lost {
                defect: Defect::new(reason, found.detail),
                unread_bytes: found.unread_bytes,
            };
            match found.is_place {
                true => members.lose(name, what),
                false => members.push(name, Err(what)),
            }
        }
        for (kind, count, first) in self.replaced {
            members.replaced.insert(kind, (count, first));
        }
        let is_whole = names.is_empty() && spans.next().is_none() && lost.next().is_none();
        is_whole.then_some((kind, members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members() -> Members {
        let mut members = Members::default();
        for (ix, path) in ["a/ü.jpg", "b.txt", "c.jpg"].iter().enumerate() {
            let span = Span {
                offset: 512 * ix as u64,
                len: 9,
            };
            members.push(path, Ok(Place::Plain(span)));
        }
        members.push(
            "l.jpg",
            Err(Defect::new("broken-link", "it leads nowhere").into()),
        );
        members.lose(
            "@77",
            Lost {
                defect: Defect::new("truncated-archive", "so"),
                unread_bytes: 5,
            },
        );
        members.count_replaced("c.jpg");
        members
    }

    fn described(members: &Members) -> String {
        let described = |ix| format!("{} {:?}", members.names.get(ix), members.places.get(ix));
        let all: Vec<String> = (0..members.len()).map(described).collect();
        format!("{all:?} {:?} {}", members.replaced, members.is_lost(4))
    }

    #[test]
    fn what_is_kept_comes_back_until_the_archive_changes() {
        let dir = tempfile::tempdir().unwrap();
        let whole = Whole {
            path: dir.path().join("data set.tar"),
            files: Vec::new(),
        };
        let kept = Kept::of(&dir.path().join("made/on demand"), &whole);
        let stamps = vec![Stamp {
            bytes: 7,
            seconds: 1,
            nanoseconds: 2,
        }];
        assert!(kept.read(&stamps).is_none());
        for kind in [
            Kind::Tar,
            Kind::Packed(Coding::Gzip),
            Kind::Packed(Coding::Zstd),
        ] {
            kept.packed(stamps.clone(), kind, &members())
                .unwrap()
                .write();
            let (found, read) = kept.read(&stamps).unwrap();
            assert_eq!(found, kind);
            assert_eq!(described(&read), described(&members()));
        }
        let later = vec![Stamp {
            bytes: 7,
            seconds: 1,
            nanoseconds: 3,
        }];
        assert!(kept.read(&later).is_none());
        let other = Whole {
            path: dir.path().join("other.tar"),
            files: Vec::new(),
        };
        let other = Kept::of(&dir.path().join("made/on demand"), &other);
        fs::copy(&kept.file, &other.file).unwrap();
        assert!(other.read(&stamps).is_none());
    }

    #[test]
    fn no_flipped_bit_is_believed() {
        let dir = tempfile::tempdir().unwrap();
        let whole = Whole {
            path: dir.path().join("x.tar"),
            files: Vec::new(),
        };
        let kept = Kept::of(dir.path(), &whole);
        kept.packed(Vec::new(), Kind::Tar, &members())
            .unwrap()
            .write();
        let right = fs::read(&kept.file).unwrap();
        for bit in 0..right.len() * 8 {
            let mut damaged = right.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            fs::write(&kept.file, &damaged).unwrap();
            assert!(kept.read(&[]).is_none(), "bit {bit}");
        }
        for len in 0..right.len() {
            fs::write(&kept.file, &right[..len]).unwrap();
            assert!(kept.read(&[]).is_none(), "{len} bytes");
        }
    }
}
