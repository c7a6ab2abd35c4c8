//! `[probe]`: a linear probe beside the training.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[probe]`: a linear probe of the backbone during training. It changes no weight and draws from
/// no stream of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProbeConfig {
    /// Optimizer steps between two probes; 0 never probes.
    pub every: u64,
    /// Folder of a labelled set with splits `train` and `val` (Cityscapes, BDD100K, or pairs).
    pub data: PathBuf,
    /// Height of its images as the backbone sees them, in pixels.
    pub height: i64,
    /// Most images of each split.
    pub images: usize,
    /// Epochs of the classifier.
    pub epochs: u64,
    /// Leave out images that have no label picture; false: they end the run before its first step.
    pub skip_unlabelled: bool,
}

impl Default for ProbeConfig {
    fn default() -> Self {
        Self {
            every: 0,
            data: PathBuf::new(),
            height: 256,
            images: 500,
            epochs: 30,
            skip_unlabelled: false,
        }
    }
}
