//! What the loader's pairs are to a method.

use tch::Tensor;

/// One augmented view of a batch of frames.
#[derive(Debug)]
pub struct View {
    /// `[n, 3, h, w]`, floating point, channels-last, normalised.
    pub image: Tensor,
    /// Crop in the frame, `[n, 4]` x, y, w, h in pixels.
    pub crop: Tensor,
    /// The frame, `[n, 2]` width, height in pixels.
    pub frame: Tensor,
    /// Whether the view was mirrored, `[n]` bool.
    pub flip: Tensor,
}

/// Both views of a batch of frames.
#[derive(Debug)]
pub struct Views {
    /// First view.
    pub a: View,
    /// Second view.
    pub b: View,
}
