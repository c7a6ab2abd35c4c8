//! The members of a zip by its central directory, and their contents.
//!
//! Names are UTF-8 where they can be, by Info-ZIP's Unicode path if there is one. Programs for
//! Windows write backslashes between components.

use std::io::{self, Read};
use std::sync::Arc;

use flate2::read::DeflateDecoder;
use rawzip::extra_fields::ExtraFieldId;
use rawzip::{
    CompressionMethod, CreatorSystem, ErrorKind, MAX_CENTRAL_DIRECTORY_RECORD_SIZE, RangeReader,
    ReaderAt, ZipArchive, ZipFileHeaderRecord, ZipLocator,
};

use super::contents::Contents;
use super::gather::Gather;
use super::joined::Joined;
use super::names::{MAX_TARGET_BYTES, clean_unix, target_of};
use super::place::{Place, Zipped};
use crate::error::Defect;

/// An opened zip.
pub(super) type Zip = ZipArchive<Arc<Joined>>;

/// Comments that look like the end of a zip, one inside the other, and more are damage.
const MAX_FALSE_ENDS: usize = 16;

/// Adds the members of the zip in `bytes` to `gather`.
///
/// # Errors
/// If reading fails. Damage is none.
pub(super) fn index(bytes: &Arc<Joined>, gather: &mut Gather) -> io::Result<()> {
    let zip = match open(bytes)? {
        Ok(zip) => zip,
        Err(defect) => {
            gather.lose("@0", defect, bytes.len());
            return Ok(());
        }
    };
    let mut buffer = vec![0; MAX_CENTRAL_DIRECTORY_RECORD_SIZE];
    let mut entries = zip.entries(&mut buffer);
    let (mut num_entries, mut at) = (0, zip.directory_offset());
    let hint = zip.entries_hint();
    let defect = loop {
        match or_defect(entries.next_entry())? {
            Ok(Some(entry)) => {
                (num_entries, at) = (num_entries + 1, entry.central_directory_offset());
                add(&zip, &entry, gather)?;
            }
            // Programs that do not know zip64 count up to 65535 and begin anew.
            Ok(None) if num_entries == hint => return Ok(()),
            Ok(None) if num_entries > hint && num_entries & 0xFFFF == hint => return Ok(()),
            Ok(None) => {
                let detail = format!("the directory has {num_entries} of {hint} members");
                break Defect::new("damaged-archive", detail);
            }
            Err(defect) => break defect,
        }
    };
    gather.lose(&format!("@{at}"), defect, 0);
    Ok(())
}

/// Opens the zip in `bytes`.
///
/// # Errors
/// If reading fails; a [`Defect`] inside if it is none.
pub(super) fn open(bytes: &Arc<Joined>) -> io::Result<Result<Zip, Defect>> {
    let mut buffer = vec![0; MAX_CENTRAL_DIRECTORY_RECORD_SIZE];
    let mut end = bytes.len();
    let mut locate = |bytes: &Arc<Joined>, end| {
        let located = ZipLocator::new().locate_in_reader(bytes.clone(), &mut buffer, end);
        located.map_err(|(_, error)| error)
    };
    for _ in 0..MAX_FALSE_ENDS {
        match locate(bytes, end) {
            // What was found is part of a comment; the true one is in front of it.
            Err(error) if error.eocd_offset().is_some_and(|at| (1..end).contains(&at)) => {
                end = error.eocd_offset().unwrap_or_default();
            }
            Err(_) if let Some(start) = start_of_zip64(bytes)? => {
                let bytes = Arc::new(bytes.without_first(start));
                return or_defect(locate(&bytes, bytes.len()));
            }
            located => return or_defect(located),
        }
    }
    let detail = "its directory cannot be read: too much looks like its end";
    Ok(Err(Defect::new("damaged-archive", detail)))
}

/// Where a zip64 begins that something stands in front of, which is not counted in its offsets. In
/// front of a smaller zip it is found by the reader.
fn start_of_zip64(bytes: &Joined) -> io::Result<Option<u64>> {
    const RECORD_BYTES: usize = 56;
    const LOCATOR_BYTES: usize = 20;
    const MAX_END_BYTES: u64 = 22 + 0xFFFF;
    let max = (RECORD_BYTES + LOCATOR_BYTES) as u64 + MAX_END_BYTES;
    let start = bytes.len().saturating_sub(max);
    let mut end = vec![0; (bytes.len() - start) as usize];
    bytes.read_exact_at(&mut end, start)?;
    let is_end = |bytes: &[u8]| {
        bytes.starts_with(b"PK\x06\x06")
            && bytes[RECORD_BYTES..].starts_with(b"PK\x06\x07")
            && bytes[RECORD_BYTES + LOCATOR_BYTES..].starts_with(b"PK\x05\x06")
    };
    let mut ends = end.windows(RECORD_BYTES + LOCATOR_BYTES + 4);
    let Some(at) = ends.rposition(is_end) else {
        return Ok(None);
    };
    let stated = end[at + RECORD_BYTES + 8..].first_chunk::<8>();
    let stated = stated.map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes));
    Ok((start + at as u64)
        .checked_sub(stated)
        .filter(|&start| start > 0))
}

fn or_defect<T>(result: Result<T, rawzip::Error>) -> io::Result<Result<T, Defect>> {
    result.map(Ok).or_else(|error| {
        let detail = format!("its directory cannot be read: {error}");
        match error.into_kind() {
            ErrorKind::IO(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
            _ => Ok(Err(Defect::new("damaged-archive", detail))),
        }
    })
}

fn add(zip: &Zip, entry: &ZipFileHeaderRecord<'_>, gather: &mut Gather) -> io::Result<()> {
    let raw = raw_path(entry);
    let Some(path) = clean_unix(&raw).filter(|_| !raw.ends_with(b"/")) else {
        return Ok(());
    };
    let member = member(entry);
    let is_small = entry.uncompressed_size_hint() <= MAX_TARGET_BYTES as u64;
    match member {
        Ok(member) if is_unix(entry) && entry.mode().is_symlink() && is_small => {
            match read_target(zip, member) {
                Ok(target) => gather.add_link(&path, target_of(&path, &target), false),
                Err(error) if error.raw_os_error().is_some() => return Err(error),
                Err(error) => {
                    let defect = Defect::new("broken-link", error.to_string());
                    gather.add(&path, Err(defect));
                }
            }
        }
        member => gather.add(&path, member.map(Place::Zipped)),
    }
    Ok(())
}

fn is_unix(entry: &ZipFileHeaderRecord<'_>) -> bool {
    let system = entry.version_made_by().creator_system();
    matches!(system, CreatorSystem::UNIX | CreatorSystem::MACOS)
}

/// The path with `/` between components.
///
/// Backslashes separate them where the program ran on no Unix, and where nothing else does. In
/// names that are not UTF-8, one may be half a letter.
fn raw_path(entry: &ZipFileHeaderRecord<'_>) -> Vec<u8> {
    let stored = entry.file_path();
    let stored = stored.as_bytes();
    let mut path = unicode_path(entry, stored).unwrap_or(stored).to_vec();
    if is_unix(entry) && path.contains(&b'/') {
        return path;
    }
    let is_utf8 = std::str::from_utf8(&path).is_ok();
    for ix in 0..path.len() {
        let is_letter = !is_utf8 && ix > 0 && path[ix - 1] >= 0x80;
        if path[ix] == b'\\' && !is_letter {
            path[ix] = b'/';
        }
    }
    path
}

/// Info-ZIP's extra field: version, checksum of the path that it stands for, path.
fn unicode_path<'a>(entry: &'a ZipFileHeaderRecord<'_>, stored: &[u8]) -> Option<&'a [u8]> {
    let fields = entry.extra_fields();
    let mut fields = fields.filter(|(id, _)| *id == ExtraFieldId::INFO_ZIP_UNICODE_PATH);
    let (_, field) = fields.next()?;
    let (&version, rest) = field.split_first()?;
    let (checksum, path) = rest.split_first_chunk::<4>()?;
    let is_right = version == 1
        && u32::from_le_bytes(*checksum) == rawzip::crc32(stored)
        && std::str::from_utf8(path).is_ok();
    is_right.then_some(path)
}

fn member(entry: &ZipFileHeaderRecord<'_>) -> Result<Zipped, Defect> {
    let unsupported = |detail: String| Err(Defect::new("unsupported-member", detail));
    if entry.flags().is_encrypted() {
        return unsupported("it is encrypted".to_owned());
    }
    let is_deflated = match entry.compression_method() {
        CompressionMethod::STORE => false,
        CompressionMethod::DEFLATE => true,
        other => {
            let number = other.as_u16();
            let name = other.name().unwrap_or("unknown").to_lowercase();
            return unsupported(format!("it is compressed by method {number} ({name})"));
        }
    };
    Ok(Zipped {
        place: entry.wayfinder(),
        is_deflated,
    })
}

fn read_target(zip: &Zip, member: Zipped) -> io::Result<Vec<u8>> {
    let mut target = Vec::new();
    let max = MAX_TARGET_BYTES as u64 + 1;
    contents(zip, member)?.take(max).read_to_end(&mut target)?;
    Ok(target)
}

/// The contents of a member, whose checksum is verified at the end.
///
/// # Errors
/// If its header cannot be read.
pub(super) fn contents(zip: &Zip, member: Zipped) -> io::Result<Contents> {
    let entry = zip
        .get_entry(member.place)
        .map_err(|error| match error.into_kind() {
            ErrorKind::IO(error) => error,
            other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
        })?;
    let (start, end) = entry.compressed_data_range();
    let reader = RangeReader::new(zip.get_ref().clone(), start..end);
    Ok(match member.is_deflated {
        true => Box::new(entry.verifying_reader(DeflateDecoder::new(reader))),
        false => Box::new(entry.verifying_reader(reader)),
    })
}

#[cfg(test)]
mod tests;
