//! Shards: Parquet files whose JPEGs are read in place.
//!
//! A shard is a pure function of one input and a range of its items ([`ShardId`]) under given
//! [`Settings`]; both stand in its footer, with the list of what was skipped. So a set is
//! byte-identical however many threads or machines wrote it, and a shard that exists need not be
//! made again.

pub(crate) mod columns;
mod input;
pub(crate) mod map;
mod parts;
pub(crate) mod read;
mod settings;
pub(crate) mod write;

pub use input::InputRecord;
pub use parts::Part;
pub use read::{FrameEntry, LevelEntry, ShardReader};
pub use settings::{Chroma, Settings};
pub use write::{SealedShard, ShardSummary, ShardWriter};

pub(crate) use columns::{LevelColumns, MetaColumns, level_fields, meta_fields};

use serde::{Deserialize, Serialize};

use crate::frame::Origin;

/// Version of the shard and catalog format that is written.
pub(crate) const FORMAT_VERSION: u32 = 3;

/// Versions that are read. Format 2 says nothing of the input's bytes; else it is the same.
pub(crate) const READ_VERSIONS: [u32; 2] = [2, FORMAT_VERSION];

/// Folder of the shards inside a set; the catalog lies beside it.
pub const FRAMES_DIR: &str = "frames";

/// Rows of a row group: bounds what a writer keeps in memory.
pub(crate) const ROW_GROUP_ROWS: usize = 64;

/// Names of the footer's key-value entries.
pub(crate) mod key {
    pub(crate) const VERSION: &str = "multisiam.format_version";
    pub(crate) const ID: &str = "multisiam.shard";
    pub(crate) const SETTINGS: &str = "multisiam.settings";
    pub(crate) const INPUT: &str = "multisiam.input";
    pub(crate) const SKIPPED: &str = "multisiam.skipped";
    pub(crate) const BODY: &str = "multisiam.body";
    pub(crate) const SHARDS: &str = "multisiam.shards";
}

/// Which part of which input a shard holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShardId {
    /// The input: a file's name, or a folder's, as it shall stand in the shard (no machine's
    /// absolute path).
    pub input: String,
    /// First item of the input, counted from 0.
    pub first_item: u64,
    /// First item that is not in the shard; `None`: to the end of the input.
    pub end_item: Option<u64>,
}

impl ShardId {
    /// `<stem>-<hash of the input>-<first item>.parquet`: unique, sorted by item, readable.
    pub fn file_name(&self) -> String {
        let last = self
            .input
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or_default();
        let stem: String = last
            .split_once('.')
            .map_or(last, |(stem, _)| stem)
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || c == '-' || c == '_' {
                    c
                } else {
                    '_'
                }
            })
            .take(80)
            .collect();
        let hash = xxhash_rust::xxh3::xxh3_64(self.input.as_bytes()) as u32;
        format!("{stem}-{hash:08x}-{:08}.parquet", self.first_item)
    }
}

/// An input item that became no frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// File and offset, or folder and member.
    pub source: String,
    /// Short, stable name of the reason: `truncated-jpeg`, `bad-data-crc`, …
    pub reason: String,
    /// What exactly was wrong.
    pub detail: String,
    /// Its bytes, if they could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Bytes of the input behind it that could not be read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unread_bytes: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's interface")]
pub(crate) fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod damage;
#[cfg(test)]
pub(crate) mod tests;
