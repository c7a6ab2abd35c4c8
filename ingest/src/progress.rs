//! How far a run is, for whoever asked for it.

/// What has been done so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Share of `total_weight` that is done.
    pub weight: u64,
    /// How much there is to do, in bytes or images.
    pub total_weight: u64,
    /// Frames written.
    pub frames: u64,
    /// Items that became no frame.
    pub skipped: u64,
    /// Encoded image bytes read.
    pub bytes_in: u64,
    /// Bytes of the shards written.
    pub bytes_out: u64,
}

impl Progress {
    /// Adds a frame.
    pub(crate) fn add_frame(&mut self, weight: u64, bytes_in: u64, bytes_out: u64) {
        self.frames += 1;
        self.weight += weight;
        self.bytes_in += bytes_in;
        self.bytes_out += bytes_out;
    }

    /// Adds an item that became no frame.
    pub(crate) fn add_skipped(&mut self, weight: u64, bytes_in: u64) {
        self.skipped += 1;
        self.weight += weight;
        self.bytes_in += bytes_in;
    }

    /// Adds what of a finished shard no frame has claimed.
    pub(crate) fn add_shard(&mut self, weight: u64, bytes_out: u64) {
        self.weight += weight;
        self.bytes_out += bytes_out;
    }
}
