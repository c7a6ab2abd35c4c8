//! The input of a shard, as it was when the shard was made: what tells it from another input, and a
//! changed one from the same.

use serde::{Deserialize, Serialize};

/// Where a shard's input lay, how it was read, and what it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRecord {
    /// Command that reads it: `waymo`, `soda10m`, `images`.
    pub dataset: String,
    /// Absolute path that the command was given.
    pub root: String,
    /// Options of the command that say which files are read, as they were given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Size, if the input is one file or archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// CRC32C, if all of it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crc32c: Option<u32>,
}
