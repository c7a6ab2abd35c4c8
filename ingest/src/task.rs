//! A job and the input that it is of: what a run plans, writes and compares.

use std::sync::Arc;

use schemas::inputs::GivenInput;
use schemas::shard::InputRecord;

use crate::output::Lacks;
use crate::source::Job;

/// One shard to be.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) job: Job,
    /// The argument that names its input.
    pub(crate) given: Arc<GivenInput>,
    /// What the finished shard has and lacks that it is to replace: one that lacks more does not.
    pub(crate) replaces: Option<Lacks>,
}

impl Task {
    /// Name of the shard's file.
    pub(crate) fn file_name(&self) -> String {
        self.job.id.file_name()
    }

    /// What is said of its input, which lacks something by now, if its shards of before stay.
    pub(crate) fn keeps_frames_of_before(&self, lack: &str) -> String {
        let advice = match self.job.bytes() {
            Some(_) => "fetch it again",
            None => "make it readable again",
        };
        let path = self.job.path().display();
        format!("{path} lacks something by now ({lack}); its frames of before are kept: {advice}")
    }

    /// The input as it is now, if its CRC32C is `checksum`.
    pub(crate) fn record(&self, checksum: Option<(u64, u32)>) -> InputRecord {
        InputRecord {
            bytes: checksum.map(|(bytes, _)| bytes).or(self.job.bytes()),
            crc32c: checksum.map(|(_, crc32c)| crc32c),
            dataset: self.given.dataset.clone(),
        }
    }
}
