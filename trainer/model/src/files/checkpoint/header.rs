//! What a checkpoint says of itself, in the metadata of its file.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use schemas::catalog::ShardStamp;
use serde::{Deserialize, Serialize};

use super::error::ReadError;
use crate::files::safetensors::HostTensor;

/// Version of the layout described in the module's head.
pub(super) const VERSION: u32 = 1;
/// Key of the metadata entry, and of its CRC.
const HEADER_KEY: &str = "checkpoint";
const HEADER_CRC_KEY: &str = "checkpoint_crc32c";

/// What a checkpoint knows beside its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Layout version.
    pub version: u32,
    /// Optimizer steps done.
    pub step: u64,
    /// Ranks that made it, 1 in checkpoints that do not say.
    #[serde(default = "one")]
    pub world: u64,
    /// The next batch to take from the loader.
    pub cursor: LoaderPosition,
    /// The resolved config, as TOML.
    pub config: String,
    /// What the loader draws from (shards and filter).
    pub data: DataId,
    /// The shards it draws from. None in checkpoints from before they were listed; then `data` is
    /// the fingerprint of the whole catalog.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<ShardStamp>,
    /// Threads that libtorch computed with: on CPU another number rounds differently.
    pub torch_threads: i32,
    /// `cpu` or `cuda`.
    pub device: String,
    /// CRC32C of every tensor, by name.
    pub crc32c: BTreeMap<String, u32>,
}

fn one() -> u64 {
    1
}

/// A batch of the loader's endless sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoaderPosition {
    /// Pass through the set, from 0.
    pub epoch: u64,
    /// Batch within the epoch, from 0.
    pub step: u64,
}

/// Which frames a run draws from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataId {
    /// Fingerprint of shards and filter, in hexadecimal.
    pub fingerprint: String,
    /// Frames that pass the filter.
    pub frames: u64,
}

/// Beginnings of tensors' names: every checkpoint has all three, no export has, and hardly a file of
/// others.
const PARTS: [&str; 3] = ["online.", "target.", "optim."];

/// Whether a file is a checkpoint, or was one before it was damaged: it has the entry that no other
/// file has, or the names of a checkpoint's tensors. Damage in one place leaves one of both.
pub(in crate::files) fn is_claimed(
    metadata: &BTreeMap<String, String>,
    tensors: &[HostTensor],
) -> bool {
    let has_part = |part: &&str| tensors.iter().any(|tensor| tensor.name.starts_with(*part));
    metadata.contains_key(HEADER_CRC_KEY) || PARTS.iter().all(has_part)
}

impl Header {
    /// The entries of the file's metadata.
    pub(super) fn to_metadata(&self) -> Result<BTreeMap<String, String>> {
        let header = serde_json::to_string(self).context("encoding the header")?;
        let crc = crc32c::crc32c(header.as_bytes()).to_string();
        let metadata = [(HEADER_KEY, header), (HEADER_CRC_KEY, crc)];
        Ok(metadata.map(|(k, v)| (k.to_owned(), v)).into())
    }

    /// Reads them back from the file `path`.
    ///
    /// # Errors
    /// What is wrong with them: another layout, damage, or that they are none of a checkpoint.
    pub(super) fn of_file(
        metadata: &BTreeMap<String, String>,
        tensors: &[HostTensor],
        path: &Path,
    ) -> Result<Self, ReadError> {
        let damaged = |what: String| ReadError::damaged(what, path);
        let get = |key| {
            metadata
                .get(key)
                .ok_or_else(|| match is_claimed(metadata, tensors) {
                    true => damaged(format!("its header is damaged (no {key:?})")),
                    false => damaged(format!("not a checkpoint (no {key:?})")),
                })
        };
        let text = get(HEADER_KEY)?;
        if get(HEADER_CRC_KEY)?.parse() != Ok(crc32c::crc32c(text.as_bytes())) {
            return Err(damaged("its header is damaged (CRC32C)".to_owned()));
        }
        parse(text).map_err(|what| ReadError::foreign(what, path))
    }
}

/// A header whose bytes are those that were written; what keeps this build from reading it.
fn parse(text: &str) -> Result<Header, String> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let not_ours = |error| format!("its header is not ours ({error})");
    let Version { version } = serde_json::from_str(text).map_err(not_ours)?;
    match version == VERSION {
        true => serde_json::from_str(text).map_err(not_ours),
        false => Err(format!(
            "checkpoint layout {version}, this build reads {VERSION}"
        )),
    }
}
