//! The members of a zip by its central directory, and their contents.

use std::io;
use std::sync::Arc;

use flate2::read::DeflateDecoder;
use rawzip::{
    CompressionMethod, ErrorKind, MAX_CENTRAL_DIRECTORY_RECORD_SIZE, RangeReader, ZipArchive,
    ZipFileHeaderRecord, ZipLocator,
};

use super::contents::Contents;
use super::index::clean_path;
use super::joined::Joined;
use super::members::Members;
use super::place::{Place, Zipped};
use crate::error::Defect;

/// An opened zip.
pub(super) type Zip = ZipArchive<Arc<Joined>>;

/// Adds the members of the zip in `bytes` to `members`.
///
/// # Errors
/// If reading fails. Damage is none.
pub(super) fn index(bytes: &Arc<Joined>, members: &mut Members) -> io::Result<()> {
    let zip = match open(bytes)? {
        Ok(zip) => zip,
        Err(defect) => {
            members.lose("@0", defect);
            return Ok(());
        }
    };
    let mut buffer = vec![0; MAX_CENTRAL_DIRECTORY_RECORD_SIZE];
    let mut entries = zip.entries(&mut buffer);
    let (mut num_entries, mut at) = (0, zip.directory_offset());
    loop {
        match or_defect(entries.next_entry())? {
            Ok(Some(entry)) => {
                (num_entries, at) = (num_entries + 1, entry.central_directory_offset());
                if let Some(path) =
                    clean_path(entry.file_path().as_bytes()).filter(|_| !entry.is_dir())
                {
                    members.add(&path, member(&entry));
                }
            }
            Ok(None) if num_entries == zip.entries_hint() => return Ok(()),
            Ok(None) => {
                let detail = format!(
                    "the directory has {num_entries} of {} members",
                    zip.entries_hint()
                );
                members.lose(&format!("@{at}"), Defect::new("damaged-archive", detail));
                return Ok(());
            }
            Err(defect) => {
                members.lose(&format!("@{at}"), defect);
                return Ok(());
            }
        }
    }
}

/// Opens the zip in `bytes`.
///
/// # Errors
/// If reading fails; a [`Defect`] inside if it is none.
pub(super) fn open(bytes: &Arc<Joined>) -> io::Result<Result<Zip, Defect>> {
    let mut buffer = vec![0; MAX_CENTRAL_DIRECTORY_RECORD_SIZE];
    let located = ZipLocator::new().locate_in_reader(bytes.clone(), &mut buffer, bytes.len());
    or_defect(located.map_err(|(_, error)| error))
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

fn member(entry: &ZipFileHeaderRecord<'_>) -> Result<Place, Defect> {
    let unsupported = |detail: String| Err(Defect::new("unsupported-member", detail));
    if entry.flags().is_encrypted() {
        return unsupported("it is encrypted".to_owned());
    }
    let is_deflated = match entry.compression_method() {
        CompressionMethod::STORE => false,
        CompressionMethod::DEFLATE => true,
        other => return unsupported(format!("it is compressed by method {}", other.as_u16())),
    };
    Ok(Place::Zipped(Zipped {
        place: entry.wayfinder(),
        is_deflated,
    }))
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
