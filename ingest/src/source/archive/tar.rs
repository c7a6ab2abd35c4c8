//! The members of a tar, found by going from header to header: contents are not read.
//!
//! Names by ustar, GNU (`L`) and PAX (`path`); sizes by ustar, GNU and PAX. Folders, links and
//! devices are passed over. A tar inside the tar is entered in place (ImageNet's is a tar of tars),
//! one inside that is not.
//!
//! A header whose checksum is wrong is one lost item; the walk goes on at the next block that is a
//! header. A member that is longer than the archive is one lost item, and the last.

use std::io;
use std::ops::ControlFlow;

use rawzip::ReaderAt;
use tar::{EntryType, GnuExtSparseHeader, Header, PaxExtensions};

use super::index::clean_path;
use super::joined::Joined;
use super::members::Members;
use super::parts;
use super::place::{Place, Span};
use crate::error::Defect;

const BLOCK_BYTES: u64 = 512;

/// Zeros after the last member: tars are padded to a multiple of this or less.
const MAX_PADDING_BYTES: u64 = 1 << 20;

/// A longer name or list of attributes is damage.
const MAX_EXTENSION_BYTES: u64 = 1 << 20;

/// Bytes that are read at once when a header is looked for.
const SCAN_BYTES: u64 = 1 << 18;

/// Adds the members of the tar in `bytes` to `members`.
///
/// # Errors
/// If reading fails. Damage is none.
pub(super) fn index(bytes: &Joined, members: &mut Members) -> io::Result<()> {
    Walk {
        bytes,
        members,
        path: String::new(),
        start: 0,
        end: bytes.len(),
        at: 0,
        next: Attributes::default(),
    }
    .run()
}

/// What extension headers say of the next member.
#[derive(Default)]
struct Attributes {
    path: Option<Vec<u8>>,
    size: Option<u64>,
}

struct Walk<'a> {
    bytes: &'a Joined,
    members: &'a mut Members,
    /// Of the tar inside the archive, if this is one.
    path: String,
    start: u64,
    end: u64,
    /// Where the next header is.
    at: u64,
    next: Attributes,
}

/// What stands where a header should be.
enum Block {
    Header(Box<Header>),
    Zeros,
    Damage(&'static str),
    End,
}

/// Whether there is more to walk through.
type Flow = ControlFlow<()>;

impl Walk<'_> {
    fn run(&mut self) -> io::Result<()> {
        loop {
            let flow = match self.block(self.at)? {
                Block::End => Flow::Break(()),
                Block::Zeros => self.pass_zeros()?,
                Block::Damage(detail) => self.pass_damage(detail)?,
                Block::Header(header) => self.pass_header(&header)?,
            };
            if flow.is_break() {
                return Ok(());
            }
        }
    }

    fn block(&self, at: u64) -> io::Result<Block> {
        if at >= self.end {
            return Ok(Block::End);
        }
        if self.end - at < BLOCK_BYTES {
            return Ok(Block::Damage("the archive ends inside a header"));
        }
        let mut header = Box::new(Header::new_old());
        self.bytes.read_exact_at(header.as_mut_bytes(), at)?;
        Ok(match () {
            () if header.as_bytes().iter().all(|&byte| byte == 0) => Block::Zeros,
            () if !has_right_checksum(&header) => Block::Damage("the header's checksum is wrong"),
            () => Block::Header(header),
        })
    }

    /// Zeros end an archive. Another one may follow: archives are joined by `cat`, too.
    fn pass_zeros(&mut self) -> io::Result<Flow> {
        let Some(after) = self.find_block(self.at, |block| block.iter().any(|&byte| byte != 0))?
        else {
            if self.end - self.at > MAX_PADDING_BYTES {
                self.lose(
                    "truncated-archive",
                    "all that follows is zeros: it was not copied completely",
                );
            }
            return Ok(Flow::Break(()));
        };
        if after - self.at >= 2 * BLOCK_BYTES && matches!(self.block(after)?, Block::Header(_)) {
            self.at = after;
            return Ok(Flow::Continue(()));
        }
        self.pass_damage("zeros stand where a header should be")
    }

    /// Goes on at the next header.
    fn pass_damage(&mut self, detail: &str) -> io::Result<Flow> {
        self.lose("damaged-archive", detail);
        self.next = Attributes::default();
        let is_header = |block: &[u8]| {
            let header = Header::from_byte_slice(block);
            (header.as_ustar().is_some() || header.as_gnu().is_some()) && has_right_checksum(header)
        };
        Ok(match self.find_block(self.at + BLOCK_BYTES, is_header)? {
            Some(next) => {
                self.at = next;
                Flow::Continue(())
            }
            None => Flow::Break(()),
        })
    }

    fn pass_header(&mut self, header: &Header) -> io::Result<Flow> {
        let kind = header.entry_type();
        let is_extension = kind.is_gnu_longname()
            || kind.is_gnu_longlink()
            || kind.is_pax_local_extensions()
            || kind.is_pax_global_extensions();
        let stated = self
            .next
            .size
            .filter(|_| !is_extension)
            .map_or_else(|| header.entry_size().ok(), Some);
        let Some(size) = stated else {
            return self.pass_damage("the header's size is no number");
        };
        let offset = self.data_offset(header)?;
        let Some(end) = offset.checked_add(size).filter(|&end| end <= self.end) else {
            let path = String::from_utf8_lossy(&self.take_path(header)).into_owned();
            self.lose(
                "truncated-archive",
                &format!("the archive ends inside {path:?}"),
            );
            return Ok(Flow::Break(()));
        };
        if is_extension {
            if size > MAX_EXTENSION_BYTES {
                return self.pass_damage("the extension header is too long");
            }
            self.take_extension(kind, offset, size)?;
        } else {
            self.take_member(header, offset, size)?;
            self.next = Attributes::default();
        }
        self.at = self.start + (end - self.start).next_multiple_of(BLOCK_BYTES);
        Ok(Flow::Continue(()))
    }

    /// Where the data of the member at `header` begin: after its header, and its map if it is
    /// sparse.
    fn data_offset(&self, header: &Header) -> io::Result<u64> {
        let mut offset = self.at + BLOCK_BYTES;
        let is_sparse = header.entry_type().is_gnu_sparse();
        let mut is_extended = is_sparse && header.as_gnu().is_some_and(tar::GnuHeader::is_extended);
        while is_extended && offset + BLOCK_BYTES <= self.end {
            let mut map = GnuExtSparseHeader::new();
            self.bytes.read_exact_at(map.as_mut_bytes(), offset)?;
            is_extended = map.is_extended();
            offset += BLOCK_BYTES;
        }
        Ok(offset)
    }

    fn take_extension(&mut self, kind: EntryType, offset: u64, size: u64) -> io::Result<()> {
        let mut data = vec![0; size as usize];
        self.bytes.read_exact_at(&mut data, offset)?;
        if kind.is_gnu_longname() {
            data.truncate(
                data.iter()
                    .position(|&byte| byte == 0)
                    .unwrap_or(data.len()),
            );
            self.next.path = Some(data);
        } else if kind.is_pax_local_extensions() {
            for extension in PaxExtensions::new(&data).filter_map(Result::ok) {
                match extension.key_bytes() {
                    b"path" => self.next.path = Some(extension.value_bytes().to_owned()),
                    b"size" => {
                        self.next.size = extension.value().ok().and_then(|size| size.parse().ok())
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn take_path(&mut self, header: &Header) -> Vec<u8> {
        self.next
            .path
            .take()
            .unwrap_or_else(|| header.path_bytes().into_owned())
    }

    fn take_member(&mut self, header: &Header, offset: u64, size: u64) -> io::Result<()> {
        let Some(path) = clean_path(&self.take_path(header)) else {
            return Ok(());
        };
        let is_inner = !self.path.is_empty();
        let full_path = if is_inner {
            format!("{}/{path}", self.path)
        } else {
            path
        };
        match header.entry_type() {
            EntryType::Regular | EntryType::Continuous
                if !is_inner && parts::is_tar(&full_path) =>
            {
                Walk {
                    bytes: self.bytes,
                    members: self.members,
                    path: full_path,
                    start: offset,
                    end: offset + size,
                    at: offset,
                    next: Attributes::default(),
                }
                .run()
            }
            EntryType::Regular | EntryType::Continuous => {
                self.members
                    .add(&full_path, Ok(Place::Plain(Span { offset, len: size })));
                Ok(())
            }
            EntryType::GNUSparse => {
                self.members.add(
                    &full_path,
                    Err(Defect::new(
                        "unsupported-member",
                        "it is stored as a sparse file",
                    )),
                );
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn lose(&mut self, reason: &'static str, detail: &str) {
        let place = format!("{}@{}", self.path, self.at - self.start);
        self.members.lose(&place, Defect::new(reason, detail));
    }

    /// The first whole block from `from` on that `is_wanted`.
    fn find_block(&self, from: u64, is_wanted: impl Fn(&[u8]) -> bool) -> io::Result<Option<u64>> {
        let mut at = from;
        let mut buffer = vec![0; SCAN_BYTES as usize];
        while at + BLOCK_BYTES <= self.end {
            let len = (self.end - at).min(SCAN_BYTES) as usize;
            self.bytes.read_exact_at(&mut buffer[..len], at)?;
            let blocks = buffer[..len].chunks_exact(BLOCK_BYTES as usize);
            if let Some(ix) = blocks.into_iter().position(&is_wanted) {
                return Ok(Some(at + ix as u64 * BLOCK_BYTES));
            }
            at += SCAN_BYTES;
        }
        Ok(None)
    }
}

/// The sum of a header's bytes, its own field taken for spaces.
fn has_right_checksum(header: &Header) -> bool {
    const FIELD: std::ops::Range<usize> = 148..156;
    let bytes = header.as_bytes().iter().enumerate();
    let sum: u32 = bytes
        .map(|(ix, &byte)| u32::from(if FIELD.contains(&ix) { b' ' } else { byte }))
        .sum();
    header.cksum().is_ok_and(|stated| stated == sum)
}

#[cfg(test)]
mod tests;
