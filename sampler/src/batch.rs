//! A batch as the consumer gets it: pixels, boxes, and where they come from.

use std::sync::Arc;

use schemas::geom::{BoxPx, Size};
use serde::{Deserialize, Serialize};

use crate::cursor::Cursor;
use crate::ring::Ready;
use crate::slot::Slots;

/// What the pixels of a batch are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pixels {
    /// RGB bytes, `[n, side, side, 3]`: a quarter of the size, for consumers whose device
    /// normalises.
    #[default]
    Bytes,
    /// Normalised `f32`, `[n, 3, side, side]`: for consumers that want what torchvision's pipeline
    /// ends with.
    Floats,
}

impl Pixels {
    /// Bytes of one value.
    pub(crate) const fn value_bytes(self) -> usize {
        match self {
            Self::Bytes => 1,
            Self::Floats => 4,
        }
    }
}

/// One view of a pair, in words and numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CropMeta {
    /// What was cut out, in frame pixels: whole numbers, inside the frame.
    pub crop_in_frame: BoxPx,
    /// Where the other view's crop lies, in unit coordinates of this view **before** its flip
    /// (paper eq. 3); all zeros if the crops are disjoint, which only happens with `min_iou = 0`.
    pub overlap_in_view: BoxPx,
    /// Whether the pixels are mirrored left to right.
    pub flip: bool,
    /// Stored level the pixels were decoded from: level `k` has 1/2^k of the frame's resolution.
    pub level: u8,
}

/// One pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairMeta {
    /// The frame's key ([`schemas::frame::FrameMeta::key`]).
    pub key: u64,
    /// The frame's row in the catalog.
    pub frame: u32,
    /// Size of the frame in pixels.
    pub frame_size: Size,
    /// Intersection over union of the two crops.
    pub iou: f32,
    /// Pairs of boxes drawn until this one.
    pub tries: u16,
    /// Whether no pair drawn reached `min_iou`, so that this is the best one seen.
    pub fell_back: bool,
    /// Broken frames that this one stands in for.
    pub replaced: u16,
    /// Both views.
    pub crops: [CropMeta; 2],
}

impl Default for PairMeta {
    fn default() -> Self {
        let nothing = BoxPx {
            x0: 0.0,
            y0: 0.0,
            x1: 0.0,
            y1: 0.0,
        };
        let crop = CropMeta {
            crop_in_frame: nothing,
            overlap_in_view: nothing,
            flip: false,
            level: 0,
        };
        Self {
            key: 0,
            frame: 0,
            frame_size: Size::new(0, 0),
            iou: 0.0,
            tries: 0,
            fell_back: false,
            replaced: 0,
            crops: [crop; 2],
        }
    }
}

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
    /// If the batch holds [`Pixels::Floats`].
    pub fn view(&self, view_ix: usize) -> &[u8] {
        assert_eq!(self.slots.pixels(), Pixels::Bytes, "what the batch holds");
        self.slots.view(self.ready(), view_ix)
    }

    /// The pixels of view `view_ix` (0 or 1) of all pairs, normalised with
    /// [`MEAN`](crate::augment::MEAN) and [`STD`](crate::augment::STD): `[n, 3, output, output]`,
    /// contiguous, starting on a page boundary.
    ///
    /// # Panics
    ///
    /// Unless the batch holds [`Pixels::Floats`].
    pub fn floats(&self, view_ix: usize) -> &[f32] {
        assert_eq!(self.slots.pixels(), Pixels::Floats, "what the batch holds");
        bytemuck::cast_slice(self.slots.view(self.ready(), view_ix))
    }

    /// The pairs, in the order of the pixels.
    pub fn pairs(&self) -> &[PairMeta] {
        self.slots.metas(self.ready())
    }

    /// Whether the pixels lie in page-locked memory.
    pub fn is_pinned(&self) -> bool {
        self.slots.is_pinned()
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
