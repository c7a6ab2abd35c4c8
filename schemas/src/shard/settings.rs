//! The settings that decide a set's bytes.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Chroma subsampling of re-encoded levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Chroma {
    /// Half resolution in both directions.
    #[default]
    #[serde(rename = "4:2:0")]
    C420,
    /// Full resolution.
    #[serde(rename = "4:4:4")]
    C444,
}

/// Everything besides the input that decides what a shard holds. All shards of a set share one
/// value, but for the cameras.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Stored levels, ascending: level `k` is `1 / 2^k` of the frame, 0 the original.
    pub levels: Vec<u8>,
    /// JPEG quality of re-encoded levels, 1 to 100.
    pub quality: u8,
    /// Chroma subsampling of re-encoded levels.
    pub chroma: Chroma,
    /// A frame with more pixels is skipped.
    pub max_pixels: u64,
    /// Cameras to keep; empty: all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub cameras: BTreeSet<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            levels: vec![0, 1, 2],
            quality: 93,
            chroma: Chroma::C420,
            max_pixels: 100_000_000,
            cameras: BTreeSet::new(),
        }
    }
}

impl Settings {
    /// Whether shards of both may lie in one set: which cameras were kept is a matter of each input.
    pub fn goes_with(&self, other: &Self) -> bool {
        let common = |settings: &Self| Self {
            cameras: BTreeSet::new(),
            ..settings.clone()
        };
        common(self) == common(other)
    }

    /// The settings as they stand in a footer.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain data serialises")
    }
}
