//! What a batch says of its pairs: where each view was cut out, and how the two overlap.

use schemas::geom::{BoxPx, Size};

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
