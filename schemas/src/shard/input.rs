//! The input of a shard, as it was when the shard was made: what tells a changed one from the same.

use serde::{Deserialize, Serialize};

/// What a shard was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRecord {
    /// Command that reads it: `waymo`, `soda10m`, `images`.
    pub dataset: String,
    /// Size, if the input is one file or archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// CRC32C, if all of it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crc32c: Option<u32>,
}
