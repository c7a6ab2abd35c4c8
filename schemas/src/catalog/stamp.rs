//! What identifies a shard, so that whoever has drawn from a set can go on with the same frames after
//! it has grown.
//!
//! A shard never changes under its name, and the frames of some shards come in the same order
//! whatever other shards lie between them. So a list of stamps names an ordered list of frames.

use std::path::Path;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::{Catalog, ShardInfo, shard_paths};
use crate::shard::FRAMES_DIR;
use crate::{Error, Result};

/// Two shards with equal stamps hold the same frames in the same order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardStamp {
    /// File name inside `frames/`.
    pub name: String,
    /// Size of the file.
    pub bytes: u64,
    /// CRC32C of the file.
    pub crc32c: u32,
    /// Its rows.
    pub frames: u64,
}

impl ShardInfo {
    /// Its stamp.
    pub fn stamp(&self) -> ShardStamp {
        ShardStamp {
            name: self.name.clone(),
            bytes: self.bytes,
            crc32c: self.crc32c,
            frames: self.frames,
        }
    }
}

/// A number that names the frames of some shards: it changes when any frame, its bytes' place or
/// checksum changes, and not with other shards of their set.
pub fn fingerprint<'a>(shards: impl IntoIterator<Item = &'a ShardInfo>) -> u64 {
    let mut hash = Xxh3::new();
    for ShardInfo {
        name,
        bytes,
        crc32c,
        frames,
        ..
    } in shards
    {
        hash.update(&(name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
        hash.update(&bytes.to_le_bytes());
        hash.update(&crc32c.to_le_bytes());
        hash.update(&frames.to_le_bytes());
    }
    hash.digest()
}

impl Catalog {
    /// Opens the catalog of the set in `dir` for the shards of `stamps` alone. Other shards may lie
    /// there that it does not list yet, as they do while the set is being added to.
    ///
    /// # Errors
    /// [`Error::Changed`] if one of them is not there as it was; else as [`open`](Self::open).
    pub fn open_for(dir: &Path, stamps: &[ShardStamp]) -> Result<Self> {
        // That there is a set.
        shard_paths(dir)?;
        let catalog = Self::open_even_if_stale(dir)?;
        let changed = stamps
            .iter()
            .find_map(|stamp| Some((stamp, catalog.change_of(stamp)?)));
        match changed {
            None => Ok(catalog),
            Some((stamp, detail)) => Err(Error::Changed {
                detail,
                path: dir.join(FRAMES_DIR).join(&stamp.name),
            }),
        }
    }

    /// For every shard whether one of `stamps` is its.
    pub fn stamped(&self, stamps: &[ShardStamp]) -> Vec<bool> {
        let mut kept = vec![false; self.shards.len()];
        for ix in stamps.iter().filter_map(|stamp| self.number_of(stamp)) {
            kept[ix] = true;
        }
        kept
    }

    fn number_of(&self, stamp: &ShardStamp) -> Option<usize> {
        let by_name = |info: &ShardInfo| info.name.cmp(&stamp.name);
        self.shards.binary_search_by(by_name).ok()
    }

    /// What is not as `stamp` says.
    fn change_of(&self, stamp: &ShardStamp) -> Option<String> {
        let path = self.dir.join(FRAMES_DIR).join(&stamp.name);
        let Ok(found) = path.metadata() else {
            return Some("is gone".to_owned());
        };
        let Some(listed) = self.number_of(stamp).map(|ix| self.shards[ix].stamp()) else {
            return Some("is not listed in the catalog".to_owned());
        };
        let has =
            |bytes, frames, crc32c| format!("{frames} frames, {bytes} bytes, CRC32C {crc32c:08x}");
        let (was, is) = (
            has(stamp.bytes, stamp.frames, stamp.crc32c),
            has(found.len(), listed.frames, listed.crc32c),
        );
        (was != is).then(|| format!("has changed ({was} -> {is})"))
    }
}
