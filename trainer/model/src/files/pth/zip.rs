//! The container of PyTorch 1.6 and later: a zip of one pickle and a member for each storage.
//!
//! <https://docs.pytorch.org/docs/stable/notes/serialization.html>. PyTorch stores its members;
//! tools that pack archives anew deflate them, which is read too. CRCs are checked where there are
//! any (PyTorch can leave them out).

use std::collections::BTreeMap;
use std::io::Read;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use flate2::read::DeflateDecoder;
use rawzip::{CompressionMethod, ZipArchive};

use super::input::Input;
use super::machine::{Unpickled, unpickle};
use super::storages::Storages;
use super::write::METADATA;

/// The first bytes of a zip.
pub(super) const MAGIC: &[u8] = b"PK\x03\x04";
/// Most bytes of all members together, over bytes of the file. Weights shrink by a tenth.
const MAX_RATIO: usize = 16;
/// Bytes that may be more: constant tensors shrink to nothing.
const MAX_EXTRA: usize = 1 << 28;

/// What an archive holds.
pub(super) struct Archive {
    /// Its pickle.
    pub(super) value: Unpickled,
    /// Values of tensors.
    pub(super) storages: Storages,
    /// What our exports say beside them.
    pub(super) metadata: BTreeMap<String, String>,
}

/// Opens an archive.
///
/// # Errors
/// If it is damaged, packed in a way that is not read, or none of `torch.save`.
pub(super) fn open(file: &Bytes) -> Result<Archive> {
    let mut members = members(file)?;
    let pickles = members
        .keys()
        .filter(|name| *name == "data.pkl" || name.ends_with("/data.pkl"));
    let pickle = pickles.min_by_key(|name| name.len()).cloned();
    let pickle = pickle.context("it is a zip without data.pkl, so torch.save did not write it")?;
    let folder = pickle.trim_end_matches("data.pkl").to_owned();
    ensure!(
        !members.contains_key(&format!("{folder}constants.pkl")),
        "it is a TorchScript archive, a program with its weights: in Python, torch.save(torch.jit.load(FILE).state_dict(), \"weights.pth\")"
    );
    let value =
        unpickle(&mut Input::new(members[&pickle].clone())).with_context(|| pickle.clone())?;
    let order = members.remove(&format!("{folder}byteorder"));
    let metadata = below(&members, &format!("{folder}{METADATA}"));
    let metadata = metadata
        .into_iter()
        .map(|(key, bytes)| (key, String::from_utf8_lossy(&bytes).into_owned()))
        .collect();
    let storages = Storages {
        by_key: below(&members, &format!("{folder}data/")),
        big_endian: order.is_some_and(|order| order.starts_with(b"big")),
    };
    Ok(Archive {
        value,
        storages,
        metadata,
    })
}

/// The members below a folder, by their names there.
fn below(members: &BTreeMap<String, Bytes>, folder: &str) -> BTreeMap<String, Bytes> {
    let inside = members
        .iter()
        .filter_map(|(name, bytes)| Some((name.strip_prefix(folder)?.to_owned(), bytes.clone())));
    inside.collect()
}

/// Names and contents of all members.
fn members(file: &Bytes) -> Result<BTreeMap<String, Bytes>> {
    let archive = ZipArchive::from_slice(&file[..]).context("its zip is damaged")?;
    let mut room = file
        .len()
        .saturating_mul(MAX_RATIO)
        .saturating_add(MAX_EXTRA);
    let mut found = BTreeMap::new();
    let mut entries = archive.entries();
    while let Some(entry) = entries.next_entry().context("its zip is damaged")? {
        let name = String::from_utf8_lossy(entry.file_path().as_ref()).into_owned();
        let packed = archive.get_entry(entry.wayfinder());
        let packed = file.slice_ref(packed.with_context(|| format!("{name} is damaged"))?.data());
        let bytes = match entry.compression_method() {
            CompressionMethod::STORE => packed,
            CompressionMethod::DEFLATE => {
                inflate(&packed, room).with_context(|| format!("{name} is damaged"))?
            }
            other => bail!(
                "{name} is packed by method {other:?}; unzip it and zip it without compression"
            ),
        };
        let left = room.checked_sub(bytes.len());
        room = left.context("its members are far larger than the file")?;
        ensure!(has_crc(&bytes, entry.crc32()), "{name} is damaged (CRC32)");
        ensure!(
            found.insert(name.clone(), bytes).is_none(),
            "two members of it are called {name}"
        );
    }
    Ok(found)
}

/// Unpacks up to `room` bytes, and one more if there are more.
fn inflate(packed: &[u8], room: usize) -> Result<Bytes> {
    let mut bytes = Vec::new();
    DeflateDecoder::new(packed)
        .take(room as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// Whether the CRC fits, or is left out.
fn has_crc(bytes: &[u8], crc: u32) -> bool {
    crc == 0 || crc32fast::hash(bytes) == crc
}
