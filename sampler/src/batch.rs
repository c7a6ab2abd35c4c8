//! A batch as the consumer gets it: pixels, boxes, and where they come from.

use std::sync::Arc;

use crate::config::PixelFormat;
use crate::cursor::Cursor;
use crate::meta::PairMeta;
use crate::pipeline::ring::Ready;
use crate::pipeline::slot::Slots;

/// A complete batch. It borrows its slot from the pipeline and returns it when dropped, from
/// whichever thread; while `depth` batches are held, no further one can be made.
#[derive(Debug)]
pub struct Batch {
    slots: Arc<Slots>,
    /// `None` only while dropping.
    ready: Option<Ready>,
    at: Cursor,
    output: u32,
}

impl Batch {
    pub(crate) fn new(slots: Arc<Slots>, ready: Ready, at: Cursor, output: u32) -> Self {
        Self {
            slots,
            ready: Some(ready),
            at,
            output,
        }
    }

    /// Pass through the set that the batch belongs to.
    pub fn epoch(&self) -> u64 {
        self.at.epoch
    }

    /// Its step within the epoch.
    pub fn step(&self) -> u64 {
        self.at.step
    }

    /// Number of pairs.
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.pairs().len()
    }

    /// Side of a view in pixels.
    pub fn output(&self) -> u32 {
        self.output
    }

    /// The pixels of view `view_ix` (0 or 1) of all pairs: RGB bytes, `[n, output, output, 3]`,
    /// contiguous, starting on a page boundary.
    ///
    /// # Panics
    ///
    /// If the batch holds [`PixelFormat::Floats`], or `view_ix` is neither 0 nor 1.
    pub fn view(&self, view_ix: usize) -> &[u8] {
        assert_eq!(
            self.slots.pixels(),
            PixelFormat::Bytes,
            "what the batch holds"
        );
        self.slots.view(self.ready(), view_ix)
    }

    /// The pixels of view `view_ix` (0 or 1) of all pairs, normalised with ImageNet's statistics
    /// ([`schemas::imagenet`]): `[n, 3, output, output]`, contiguous, starting on a page boundary.
    ///
    /// # Panics
    ///
    /// Unless the batch holds [`PixelFormat::Floats`], or if `view_ix` is neither 0 nor 1.
    pub fn floats(&self, view_ix: usize) -> &[f32] {
        assert_eq!(
            self.slots.pixels(),
            PixelFormat::Floats,
            "what the batch holds"
        );
        bytemuck::cast_slice(self.slots.view(self.ready(), view_ix))
    }

    /// The pairs, in the order of the pixels.
    pub fn pairs(&self) -> &[PairMeta] {
        self.slots.metas(self.ready())
    }

    /// How many bytes a second reach the device from here, measured with some copies of the first
    /// view. `None` if the batch does not lie in page-locked memory, or the device has no memory
    /// left for a view.
    pub fn upload_bytes_per_s(&self) -> Option<f64> {
        self.slots.upload_bytes_per_s(self.ready())
    }

    fn ready(&self) -> &Ready {
        self.ready.as_ref().expect("only drop takes the token")
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if let Some(ready) = self.ready.take() {
            self.slots.release(ready);
        }
    }
}
