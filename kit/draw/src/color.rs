//! Colours, and how they mix.

/// A colour: red, green, blue.
pub type Color = [u8; 3];

/// Colours that stay apart in print and for colour-blind readers (Okabe and Ito, 2008), and greys
/// for text.
pub mod palette {
    use super::Color;

    /// Canvas.
    pub const PAPER: Color = [255, 255, 255];
    /// Text.
    pub(crate) const INK: Color = [32, 33, 36];
    /// Captions, axes.
    pub const MUTED: Color = [112, 117, 122];
    /// Frames of panels.
    pub(crate) const FAINT: Color = [222, 224, 228];
    /// First view.
    pub const ORANGE: Color = [230, 122, 0];
    /// Second view.
    pub const BLUE: Color = [0, 114, 200];
    /// What both views share.
    pub const GREEN: Color = [0, 170, 120];
    /// Further series, in order.
    pub const SERIES: [Color; 8] = [
        ORANGE,
        BLUE,
        GREEN,
        [204, 80, 160],
        [240, 200, 40],
        [90, 190, 235],
        [150, 80, 30],
        [120, 120, 120],
    ];
}

/// `pixel` with so much of `color` in it; 1 replaces it.
pub(crate) fn mixed(pixel: Color, color: Color, share: f32) -> Color {
    let mix = |a: u8, b: u8| (f32::from(a) + (f32::from(b) - f32::from(a)) * share).round() as u8;
    [
        mix(pixel[0], color[0]),
        mix(pixel[1], color[1]),
        mix(pixel[2], color[2]),
    ]
}
