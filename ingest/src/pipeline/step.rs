//! What passes between the threads.

use schemas::frame::{FrameRow, Origin};

use crate::error::{Defect, Error, Result};

/// What passes from the reader to the writer; items go through a worker on the way.
pub(super) enum Step {
    Begin(usize),
    Item {
        source: String,
        weight: u64,
        unread_bytes: u64,
        origin: Option<Origin>,
        result: Result<Box<FrameRow>, Defect>,
    },
    /// With size and CRC32C of the input, if all of it was read.
    End(Option<(u64, u32)>),
    Failed(Error),
}

/// A step and its place in the order.
pub(super) type Numbered<T> = (u64, T);
