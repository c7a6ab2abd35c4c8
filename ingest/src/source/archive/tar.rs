//! The members of a tar, found by going from header to header: contents are not read.
//!
//! Names by ustar, GNU (`L`) and PAX (`path`); sizes by ustar, GNU and PAX. What PAX says of all
//! members at once is no name and no size of one, and not used. Folders and devices are passed over,
//! links lead to what they name. A tar inside the tar is entered in place (ImageNet's is a tar of
//! tars), one inside that is not. Sparse files are named and not read: no picture is one.
//!
//! A header whose checksum is wrong is one lost item; the walk goes on at the next block that is a
//! header. A member that is longer than the archive is one lost item, and the last.

mod attributes;
mod header;

use std::io;
use std::ops::ControlFlow;

use tar::{EntryType, GnuExtSparseHeader, Header};

use super::forward::{Forward, TooFarBack};
use super::gather::Gather;
use super::magic::{self, Format};
use super::names::{MAX_TARGET_BYTES, clean_unix, target_of};
use super::parts;
use super::place::{Place, Span};
use crate::error::Defect;
use attributes::Attributes;
pub(super) use header::{BLOCK_BYTES, is_header};
use header::{Kind, has_right_checksum, kind};

/// Zeros after the last member: tars are padded to a multiple of this or less.
const MAX_PADDING_BYTES: u64 = 1 << 20;

/// A longer name or list of attributes is damage.
const MAX_EXTENSION_BYTES: u64 = 1 << 20;

/// A member with a longer path is named and not read: no system has such paths.
const MAX_PATH_BYTES: usize = MAX_TARGET_BYTES;

/// So much is shown of it.
const SHOWN_PATH_CHARS: usize = 100;

/// Bytes that are read at once when a header is looked for.
const SCAN_BYTES: u64 = 1 << 18;

/// Adds the members of the tar in `bytes` to `gather`.
///
/// # Errors
/// If reading fails. Damage is none.
pub(super) fn index(bytes: &mut dyn Forward, gather: &mut Gather) -> io::Result<()> {
    let mut walk = Walk {
        bytes,
        gather,
        path: String::new(),
        start: 0,
        limit: u64::MAX,
        at: 0,
        next: Attributes::default(),
        is_cut: false,
    };
    match walk.run() {
        Err(error) if TooFarBack::is(&error) => {
            walk.lose_end("damaged-archive", &error.to_string())
        }
        done => done,
    }
}

struct Walk<'a> {
    bytes: &'a mut dyn Forward,
    gather: &'a mut Gather,
    /// Of the tar inside the archive, if this is one.
    path: String,
    start: u64,
    /// It ends here, if the archive does not end before.
    limit: u64,
    /// Where the next header is.
    at: u64,
    /// Of the next member.
    next: Attributes,
    /// Whether it was found that its end is missing.
    is_cut: bool,
}

/// What stands where a header should be.
enum Block {
    Header(Box<Header>),
    Zeros,
    Damage(String),
    /// It is no tar, but this.
    Other(Format),
    End,
}

/// Whether there is more to walk through.
type Flow = ControlFlow<()>;

impl Walk<'_> {
    fn run(&mut self) -> io::Result<()> {
        loop {
            let flow = match self.block(self.at)? {
                Block::End => {
                    if self.bytes.fault().is_some() && !self.is_inner() {
                        self.lose_end("truncated-archive", "it ends before its end")?;
                    }
                    Flow::Break(())
                }
                Block::Zeros => self.pass_zeros()?,
                Block::Damage(detail) => self.pass_damage(self.at + BLOCK_BYTES, &detail)?,
                Block::Other(format) => {
                    self.lose_end("damaged-archive", &magic::not_a_tar(format))?;
                    Flow::Break(())
                }
                Block::Header(header) => self.pass_header(&header)?,
            };
            if flow.is_break() {
                return Ok(());
            }
        }
    }

    fn is_inner(&self) -> bool {
        !self.path.is_empty()
    }

    /// `end`, or the end of the tar if it comes first.
    fn reach(&mut self, end: u64) -> io::Result<u64> {
        self.bytes.reach(end.min(self.limit))
    }

    fn block(&mut self, at: u64) -> io::Result<Block> {
        let end = self.reach(at.saturating_add(BLOCK_BYTES))?;
        if end <= at {
            return Ok(Block::End);
        }
        let mut header = Box::new(Header::new_old());
        let found = &mut header.as_mut_bytes()[..(end - at) as usize];
        self.bytes.read_exact_at(found, at)?;
        let other = magic::of(found).filter(|_| at == self.start);
        if let Some(format) = other.filter(|_| !has_right_checksum(&header)) {
            return Ok(Block::Other(format));
        }
        Ok(match () {
            () if end - at < BLOCK_BYTES => {
                Block::Damage("the archive ends inside a header".to_owned())
            }
            () if header.as_bytes().iter().all(|&byte| byte == 0) => Block::Zeros,
            () if !has_right_checksum(&header) => {
                Block::Damage("the header's checksum is wrong".to_owned())
            }
            () => Block::Header(header),
        })
    }

    /// Zeros end an archive. Another one may follow: archives are joined by `cat`, too.
    fn pass_zeros(&mut self) -> io::Result<Flow> {
        let Some(after) = self.find_block(self.at, |block| block.iter().any(|&byte| byte != 0))?
        else {
            let end = self.reach(u64::MAX)?;
            let detail = "all that follows is zeros: it was not copied completely";
            if end - self.at > MAX_PADDING_BYTES || self.bytes.fault().is_some() {
                self.lose_end("truncated-archive", detail)?;
            }
            return Ok(Flow::Break(()));
        };
        if after - self.at >= 2 * BLOCK_BYTES && matches!(self.block(after)?, Block::Header(_)) {
            self.at = after;
            return Ok(Flow::Continue(()));
        }
        self.pass_damage(after, "zeros stand where a header should be")
    }

    /// Goes on at the next header from `from` on.
    fn pass_damage(&mut self, from: u64, detail: &str) -> io::Result<Flow> {
        self.next = Attributes::default();
        let is_header = |block: &[u8]| {
            let header = Header::from_byte_slice(block);
            (header.as_ustar().is_some() || header.as_gnu().is_some()) && has_right_checksum(header)
        };
        Ok(match self.find_block(from, is_header)? {
            Some(next) => {
                let defect = Defect::new("damaged-archive", detail);
                self.gather.lose(&self.place(), defect, next - self.at);
                self.at = next;
                Flow::Continue(())
            }
            None => {
                self.lose_end("damaged-archive", detail)?;
                Flow::Break(())
            }
        })
    }

    fn pass_header(&mut self, header: &Header) -> io::Result<Flow> {
        let kind = kind(header);
        let stated = match kind {
            Kind::Extension => None,
            _ => self.next.size,
        };
        let stated = stated.or_else(|| header::size(header));
        let Some(mut size) = stated else {
            return self.pass_damage(self.at + BLOCK_BYTES, "the header's size is no number");
        };
        if kind == Kind::Extension && size > MAX_EXTENSION_BYTES {
            // Its end may lie farther ahead than can be looked back.
            let detail = "the extension header is too long";
            return self.pass_damage(self.at + BLOCK_BYTES, detail);
        }
        let offset = self.data_offset(header)?;
        let mut kind = kind;
        if matches!(kind, Kind::Link { .. } | Kind::Other) && size > 0 {
            // Some programs state the size of what a link leads to, others store that.
            match self.block(offset)? {
                Block::Damage(_) if kind == (Kind::Link { is_hard: true }) => kind = Kind::File,
                Block::Damage(_) => {}
                Block::Header(_) | Block::Zeros | Block::Other(_) | Block::End => size = 0,
            }
        }
        let end = offset.checked_add(size);
        if kind == Kind::File && self.is_tar(header) {
            return self.enter(header, offset, end.unwrap_or(u64::MAX));
        }
        match end {
            Some(end) if self.reach(end)? == end => self.pass_data(header, kind, offset, end),
            _ => self.cut(header),
        }
    }

    fn pass_data(
        &mut self,
        header: &Header,
        kind: Kind,
        offset: u64,
        end: u64,
    ) -> io::Result<Flow> {
        if kind != Kind::Extension {
            self.take_member(header, kind, offset, end - offset);
            self.next = Attributes::default();
        } else {
            self.take_extension(header.entry_type(), offset, end - offset)?;
        }
        self.at = self.start + (end - self.start).next_multiple_of(BLOCK_BYTES);
        Ok(Flow::Continue(()))
    }

    /// The archive ends inside the member at `header`.
    fn cut(&mut self, header: &Header) -> io::Result<Flow> {
        let path = clean_unix(&self.raw_path(header)).unwrap_or_default();
        let detail = format!("the archive ends inside {path:?}");
        self.lose_end("truncated-archive", &detail)?;
        Ok(Flow::Break(()))
    }

    fn is_tar(&self, header: &Header) -> bool {
        let path = clean_unix(&self.raw_path(header));
        let is_sparse = self.next.sparse.is_some();
        let is_named_so = |path: String| path.len() <= MAX_PATH_BYTES && parts::is_inner_tar(&path);
        !self.is_inner() && !is_sparse && path.is_some_and(is_named_so)
    }

    /// Goes through the tar that the member at `header` is.
    fn enter(&mut self, header: &Header, offset: u64, end: u64) -> io::Result<Flow> {
        let path = clean_unix(&self.raw_path(header)).unwrap_or_default();
        let mut inner = Walk {
            bytes: self.bytes,
            gather: self.gather,
            path,
            start: offset,
            limit: end,
            at: offset,
            next: Attributes::default(),
            is_cut: false,
        };
        inner.run()?;
        let is_cut = inner.is_cut;
        self.next = Attributes::default();
        if self.reach(end)? < end {
            self.is_cut = is_cut;
            return match is_cut {
                true => Ok(Flow::Break(())),
                false => self.cut(header),
            };
        }
        self.at = self.start + (end - self.start).next_multiple_of(BLOCK_BYTES);
        Ok(Flow::Continue(()))
    }

    /// Where the data of the member at `header` begin: after its header, and its map if it is
    /// sparse.
    fn data_offset(&mut self, header: &Header) -> io::Result<u64> {
        let mut offset = self.at + BLOCK_BYTES;
        let is_sparse = header.entry_type().is_gnu_sparse();
        let mut is_extended = is_sparse && header.as_gnu().is_some_and(tar::GnuHeader::is_extended);
        while is_extended && self.reach(offset + BLOCK_BYTES)? == offset + BLOCK_BYTES {
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
        match kind.as_byte() {
            b'L' => self.next.path = Some(attributes::until_zero(data)),
            b'K' => self.next.link = Some(attributes::until_zero(data)),
            b'g' => {}
            _ => self.next.take(&data),
        }
        Ok(())
    }

    fn raw_path(&self, header: &Header) -> Vec<u8> {
        let sparse = self.next.sparse.clone().flatten();
        sparse
            .or_else(|| self.next.path.clone())
            .unwrap_or_else(|| header.path_bytes().into_owned())
    }

    fn raw_link(&self, header: &Header) -> Vec<u8> {
        let stated = self.next.link.clone();
        stated.unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned())
    }

    fn full_path(&self, raw: &[u8]) -> Option<String> {
        let path = clean_unix(raw)?;
        Some(match self.is_inner() {
            true => format!("{}/{path}", self.path),
            false => path,
        })
    }

    fn take_member(&mut self, header: &Header, kind: Kind, offset: u64, size: u64) {
        let raw = self.raw_path(header);
        let Some(path) = self.full_path(&raw) else {
            return;
        };
        let unsupported = |detail: &str| Err(Defect::new("unsupported-member", detail));
        match kind {
            // As programs before ustar mark a folder.
            Kind::File if raw.ends_with(b"/") && size == 0 => {}
            Kind::Extension | Kind::Other => {}
            _ if path.len() > MAX_PATH_BYTES => {
                let place = unsupported(&format!("its path has {} bytes", path.len()));
                self.gather.add(&self.shown(&path), place);
            }
            Kind::File if self.next.sparse.is_some() => {
                self.gather
                    .add(&path, unsupported("it is stored as a sparse file"));
            }
            Kind::File => {
                let span = Span { offset, len: size };
                self.gather.add(&path, Ok(Place::Plain(span)));
            }
            Kind::Unreadable(detail) => self.gather.add(&path, unsupported(detail)),
            Kind::Link { is_hard } => {
                let raw = self.raw_link(header);
                if raw.len() > MAX_TARGET_BYTES {
                    let detail = format!("it is a link to a path of {} bytes", raw.len());
                    self.gather.add(&path, unsupported(&detail));
                    return;
                }
                let target = match is_hard {
                    true => self.full_path(&raw),
                    false => target_of(&path, &raw),
                };
                self.gather.add_link(&path, target, is_hard);
            }
        }
    }

    /// What is shown of a path that is too long: its beginning, the place of its header, which tells
    /// it from others, and its ending.
    fn shown(&self, path: &str) -> String {
        let begin: String = path.chars().take(SHOWN_PATH_CHARS).collect();
        let ending = path.rsplit_once('.').map(|(_, ending)| ending);
        let ending = ending.filter(|ending| ending.len() <= 8 && !ending.contains('/'));
        let ending = ending.map_or_else(String::new, |ending| format!(".{ending}"));
        format!("{begin}…@{}{ending}", self.at)
    }

    /// Notes that from here on nothing can be read.
    fn lose_end(&mut self, reason: &'static str, detail: &str) -> io::Result<()> {
        self.is_cut = true;
        let unread = self.reach(u64::MAX)?.saturating_sub(self.at);
        let (defect, unread) = match self.bytes.fault() {
            Some((fault, unread)) => {
                let detail = format!("{}: {detail}", fault.detail);
                (Defect::new(fault.reason, detail), unread)
            }
            None => (Defect::new(reason, detail), unread),
        };
        self.gather.lose(&self.place(), defect, unread);
        Ok(())
    }

    fn place(&self) -> String {
        format!("{}@{}", self.path, self.at - self.start)
    }

    /// The first whole block from `from` on that `is_wanted`.
    fn find_block(
        &mut self,
        from: u64,
        is_wanted: impl Fn(&[u8]) -> bool,
    ) -> io::Result<Option<u64>> {
        let mut at = from;
        let mut buffer = vec![0; SCAN_BYTES as usize];
        loop {
            let len = self.reach(at + SCAN_BYTES)?.saturating_sub(at) as usize;
            if len < BLOCK_BYTES as usize {
                return Ok(None);
            }
            self.bytes.read_exact_at(&mut buffer[..len], at)?;
            let blocks = buffer[..len].chunks_exact(BLOCK_BYTES as usize);
            if let Some(ix) = blocks.into_iter().position(&is_wanted) {
                return Ok(Some(at + ix as u64 * BLOCK_BYTES));
            }
            at += SCAN_BYTES;
        }
    }
}

#[cfg(test)]
mod tests;
