//! Sizes, boxes and their overlap.
//!
//! A box belongs to a named space, and its variable says which: `crop_in_frame` is in pixels of the
//! frame (level 0), `rect_in_level` in pixels of a stored level, `overlap_in_view` in unit
//! coordinates of a view. Boxes are half-open (`x0 <= x < x1`) and continuous: the area of a box
//! from 0 to 2 is 2, with no "+ 1".
//!
//! Pure arithmetic: nothing here reads an image.

use serde::{Deserialize, Serialize};

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Size {
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
}

impl Size {
    /// A size of `width` × `height` pixels.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// The size of stored level `level`: each side is `ceil(side / 2^level)`, so that
    /// `level_xy = frame_xy / 2^level` holds exactly.
    pub const fn at_level(self, level: u8) -> Self {
        Self {
            width: self.width.div_ceil(1 << level),
            height: self.height.div_ceil(1 << level),
        }
    }

    /// The shorter side in pixels.
    pub fn min_side(self) -> u32 {
        self.width.min(self.height)
    }

    /// Number of pixels.
    pub const fn area(self) -> u64 {
        self.width as u64 * self.height as u64
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A half-open box in pixels (or unit coordinates) of a named space.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoxPx {
    /// Left edge.
    pub x0: f32,
    /// Top edge.
    pub y0: f32,
    /// Right edge, not inside the box.
    pub x1: f32,
    /// Bottom edge, not inside the box.
    pub y1: f32,
}

impl BoxPx {
    /// The box whose top left corner is (`x`, `y`).
    pub fn from_xywh(x: f32, y: f32, width: f32, height: f32) -> Self {
        Self {
            x0: x,
            y0: y,
            x1: x + width,
            y1: y + height,
        }
    }

    /// Horizontal extent.
    pub fn width(self) -> f32 {
        self.x1 - self.x0
    }

    /// Vertical extent.
    pub fn height(self) -> f32 {
        self.y1 - self.y0
    }

    /// Area; in `f64` because the area of a large frame exceeds the integers of `f32`.
    pub fn area(self) -> f64 {
        f64::from(self.width()) * f64::from(self.height())
    }

    /// The common part, or `None` when it has no area.
    pub fn intersection(self, other: Self) -> Option<Self> {
        let common = Self {
            x0: self.x0.max(other.x0),
            y0: self.y0.max(other.y0),
            x1: self.x1.min(other.x1),
            y1: self.y1.min(other.y1),
        };
        (common.x0 < common.x1 && common.y0 < common.y1).then_some(common)
    }

    /// The smallest box around both.
    pub fn hull(self, other: Self) -> Self {
        Self {
            x0: self.x0.min(other.x0),
            y0: self.y0.min(other.y0),
            x1: self.x1.max(other.x1),
            y1: self.y1.max(other.y1),
        }
    }

    /// Intersection over union in `0..=1` (paper, section 3.2; continuous areas, RECIPE 2.2).
    pub fn iou(self, other: Self) -> f64 {
        let common = self.intersection(other).map_or(0.0, Self::area);
        common / (self.area() + other.area() - common)
    }

    /// This box in unit coordinates of `outer`: `outer` itself becomes (0, 0, 1, 1) (paper eq. 3).
    pub fn relative_to(self, outer: Self) -> Self {
        Self {
            x0: (self.x0 - outer.x0) / outer.width(),
            y0: (self.y0 - outer.y0) / outer.height(),
            x1: (self.x1 - outer.x0) / outer.width(),
            y1: (self.y1 - outer.y0) / outer.height(),
        }
    }
}

/// A rectangle of whole pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rect {
    /// Left column.
    pub x: u32,
    /// Top row.
    pub y: u32,
    /// Number of columns.
    pub width: u32,
    /// Number of rows.
    pub height: u32,
}

impl From<Rect> for BoxPx {
    /// The same rectangle as a continuous box.
    fn from(rect: Rect) -> Self {
        Self::from_xywh(
            rect.x as f32,
            rect.y as f32,
            rect.width as f32,
            rect.height as f32,
        )
    }
}

impl Rect {
    /// The rectangle whose top left pixel is (`x`, `y`).
    pub const fn new(x: u32, y: u32, width: u32, height: u32) -> Self {
        Self {
            x,
            y,
            width,
            height,
        }
    }

    /// First column to the right of the rectangle.
    pub const fn right(self) -> u32 {
        self.x + self.width
    }

    /// First row below the rectangle.
    pub const fn bottom(self) -> u32 {
        self.y + self.height
    }

    /// Width and height.
    pub const fn size(self) -> Size {
        Size {
            width: self.width,
            height: self.height,
        }
    }

    /// Whether every pixel of `inner` lies inside.
    pub const fn contains(self, inner: Self) -> bool {
        self.x <= inner.x
            && self.y <= inner.y
            && inner.right() <= self.right()
            && inner.bottom() <= self.bottom()
    }

    /// The smallest rectangle around both.
    pub fn hull(self, other: Self) -> Self {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        Self {
            x,
            y,
            width: self.right().max(other.right()) - x,
            height: self.bottom().max(other.bottom()) - y,
        }
    }

    /// The pixels of stored level `level` that this rectangle of the frame touches.
    pub const fn at_level(self, level: u8) -> Self {
        let (x, y) = (self.x >> level, self.y >> level);
        let (right, bottom) = (
            self.right().div_ceil(1 << level),
            self.bottom().div_ceil(1 << level),
        );
        Self {
            x,
            y,
            width: right - x,
            height: bottom - y,
        }
    }
}

/// The level (index and number) from which a crop of `crop` pixels is decoded for a view of
/// `output` pixels: the coarsest stored one of `numbers` at which its sides are still at least
/// 21/20 of the view's, or else the finest.
///
/// The twentieth is for crops that a level would show at its own scale: they begin between its
/// pixels, and shifting pixels by a fraction blurs what a reduction from the original keeps (worst
/// of 1,000 views 33.3 dB without it, 34.3 with it).
pub fn choose_level(
    crop: Size,
    output: u32,
    numbers: &[u8],
    is_stored: impl Fn(usize) -> bool,
) -> Option<(usize, u8)> {
    let stored = || {
        numbers
            .iter()
            .copied()
            .enumerate()
            .filter(|&(level_ix, _)| is_stored(level_ix))
    };
    let suffices = |level: u8| 20 * u64::from(crop.min_side()) >= 21 * (u64::from(output) << level);
    let coarsest = stored()
        .filter(|&(_, level)| suffices(level))
        .max_by_key(|&(_, level)| level);
    coarsest.or_else(|| stored().min_by_key(|&(_, level)| level))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// IoU by counting unit pixels, for boxes with whole-number corners.
    fn iou_by_counting(a: BoxPx, b: BoxPx) -> f64 {
        let inside = |q: BoxPx, x: i32, y: i32| {
            let (x, y) = (x as f32 + 0.5, y as f32 + 0.5);
            q.x0 <= x && x < q.x1 && q.y0 <= y && y < q.y1
        };
        let (mut both, mut any) = (0u32, 0u32);
        for y in 0..40 {
            for x in 0..40 {
                let (in_a, in_b) = (inside(a, x, y), inside(b, x, y));
                both += u32::from(in_a && in_b);
                any += u32::from(in_a || in_b);
            }
        }
        f64::from(both) / f64::from(any)
    }

    fn whole_box() -> impl Strategy<Value = BoxPx> {
        (0u8..20, 0u8..20, 1u8..20, 1u8..20)
            .prop_map(|(x, y, w, h)| BoxPx::from_xywh(x.into(), y.into(), w.into(), h.into()))
    }

    proptest! {
        #[test]
        fn iou_equals_counted_pixels(a in whole_box(), b in whole_box()) {
            prop_assert!((a.iou(b) - iou_by_counting(a, b)).abs() < 1e-12);
            prop_assert_eq!(a.iou(b), b.iou(a));
        }

        /// Against the rule as it is written: try every level, the coarsest first.
        #[test]
        fn the_level_is_the_coarsest_stored_one_with_enough_pixels(
            width in 1u32..4000, height in 1u32..4000, output in 8u32..600, stored in 0u8..16,
        ) {
            let is_stored = |level: u8| stored & (1 << level) != 0;
            let suffices = |level: u8| {
                let scale = f64::from(1 << level);
                20.0 * f64::from(width.min(height)) >= 21.0 * f64::from(output) * scale
            };
            let expected = (0..4).rev().find(|&level| is_stored(level) && suffices(level));
            let expected = expected.or_else(|| (0..4).find(|&level| is_stored(level)));
            let chosen = choose_level(Size::new(width, height), output, &[0, 1, 2, 3], |ix| is_stored(ix as u8));
            prop_assert_eq!(chosen, expected.map(|level| (usize::from(level), level)));
        }

        #[test]
        fn hull_contains_both(a in whole_box(), b in whole_box()) {
            let hull = a.hull(b);
            for q in [a, b] {
                prop_assert!(hull.x0 <= q.x0 && hull.y0 <= q.y0 && q.x1 <= hull.x1 && q.y1 <= hull.y1);
            }
        }
    }

    #[test]
    fn iou_of_a_box_with_itself_is_one() {
        let a = BoxPx::from_xywh(3.0, 4.0, 100.0, 50.0);
        assert_eq!(a.iou(a), 1.0);
        assert_eq!(
            a.relative_to(a),
            BoxPx {
                x0: 0.0,
                y0: 0.0,
                x1: 1.0,
                y1: 1.0
            }
        );
    }

    #[test]
    fn touching_boxes_do_not_overlap() {
        let a = BoxPx::from_xywh(0.0, 0.0, 10.0, 10.0);
        assert_eq!(a.intersection(BoxPx::from_xywh(10.0, 0.0, 5.0, 5.0)), None);
    }

    #[test]
    fn levels_round_up() {
        assert_eq!(Size::new(1921, 885).at_level(2), Size::new(481, 222));
    }

    #[test]
    fn the_coarsest_level_that_suffices_is_chosen() {
        let all = |_: usize| true;
        let choose = |width, height| {
            choose_level(Size::new(width, height), 224, &[0, 1, 2], all)
                .unwrap()
                .1
        };
        assert_eq!(choose(941, 941), 2);
        assert_eq!(choose(940, 2000), 1);
        assert_eq!(choose(471, 500), 1);
        assert_eq!(choose(470, 500), 0);
        assert_eq!(choose(30, 20), 0);
    }

    #[test]
    fn levels_that_are_not_stored_are_passed_over() {
        let choose = |stored: &[usize]| {
            choose_level(Size::new(960, 960), 224, &[0, 1, 2], |ix| {
                stored.contains(&ix)
            })
        };
        assert_eq!(choose(&[0, 1]), Some((1, 1)));
        assert_eq!(choose(&[2]), Some((2, 2)));
        assert_eq!(choose(&[]), None);
        // Too small for any level: the finest one there is.
        let small = choose_level(Size::new(100, 100), 224, &[1, 2], |_| true);
        assert_eq!(small, Some((0, 1)));
    }
}
