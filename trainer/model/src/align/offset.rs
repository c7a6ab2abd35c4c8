//! Offset alignment: the way from each online cell to its partner, as two extra channels (paper,
//! equation 5).

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::grid::{cell_middles, column};

/// Where in its cell a cell's coordinate lies; the paper does not say (RECIPE 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CoordMode {
    /// The middle: x + (j + ½) w / W.
    Center,
    /// The upper left corner: x + j w / W.
    Corner,
    /// First and last cell on the crop's border: x + j w / (W − 1).
    Edge,
}

impl CoordMode {
    /// Places of `n` cells along a side of length 1: `[1, n]`.
    fn places(self, n: i64, like: &Tensor) -> Tensor {
        let index = || Tensor::arange(n, (like.kind(), like.device())).unsqueeze(0);
        match self {
            CoordMode::Center => cell_middles(n, like),
            CoordMode::Corner => index() / n as f64,
            CoordMode::Edge => index() / (n - 1).max(1) as f64,
        }
    }
}

/// The unit of offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OffsetUnit {
    /// The online view's coord(G_HW) − coord(G_11) along each axis: equation 5.
    View,
    /// The frame's width and height. With `Pixel`, one of two readings of the "nonorm" ablation
    /// (RECIPE 3.3).
    Image,
    /// A frame pixel: not divided at all.
    Pixel,
}

/// How offsets are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ruler {
    /// Their unit. Paper: the view.
    pub unit: OffsetUnit,
    /// Where in its cell a cell's coordinate lies.
    pub mode: CoordMode,
}

/// ΔC `[n, 2, h, w]`, channel 0 = dx, 1 = dy: target cell's coordinate minus online cell's, for
/// crops `[n, 4]` of frames `[n, 2]` (width, height). In units of the view, a map of one cell along
/// an axis has no offsets: its divisor is 0.
pub fn offset_map(
    online: &Tensor,
    target: &Tensor,
    frames: &Tensor,
    (height, width): (i64, i64),
    ruler: Ruler,
) -> Tensor {
    let n = online.size()[0];
    let axis = |start: i64, cells: i64| {
        let places = ruler.mode.places(cells, online);
        let coords = |crop: &Tensor| column(crop, start) + column(crop, start + 2) * &places; // [n, cells]
        let from = coords(online);
        let delta = coords(target) - &from;
        match ruler.unit {
            OffsetUnit::View => delta / (from.narrow(1, cells - 1, 1) - from.narrow(1, 0, 1)),
            OffsetUnit::Image => delta / column(frames, start),
            OffsetUnit::Pixel => delta,
        }
    };
    let dx = axis(0, width)
        .view([n, 1, width])
        .expand([n, height, width], false);
    let dy = axis(1, height)
        .view([n, height, 1])
        .expand([n, height, width], false);
    Tensor::stack(&[dx, dy], 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CROP: [f64; 4] = [10.0, 20.0, 70.0, 140.0];

    fn crop(values: [f64; 4]) -> Tensor {
        Tensor::from_slice(&values).view([1, 4])
    }

    fn measure(target: &Tensor, cells: (i64, i64), unit: OffsetUnit, mode: CoordMode) -> Tensor {
        let frame = Tensor::from_slice(&[140.0, 400.0]).view([1, 2]);
        offset_map(&crop(CROP), target, &frame, cells, Ruler { unit, mode })
    }

    #[test]
    fn identical_crops_have_no_offset() {
        for mode in [CoordMode::Center, CoordMode::Corner, CoordMode::Edge] {
            let map = measure(&crop(CROP), (5, 7), OffsetUnit::View, mode);
            assert_eq!(map.size(), [1, 2, 5, 7]);
            assert_eq!(map.abs().max().double_value(&[]), 0.0);
        }
    }

    #[test]
    fn a_shift_by_half_the_crop_is_half_its_width_in_cells() {
        let [x, y, w, h] = CROP;
        let shifted = crop([x + w / 2.0, y, w, h]);
        let at = |unit, mode| measure(&shifted, (7, 7), unit, mode).double_value(&[0, 0, 3, 3]);
        assert!((at(OffsetUnit::View, CoordMode::Center) - 0.5 * 7.0 / 6.0).abs() < 1e-12);
        assert!((at(OffsetUnit::View, CoordMode::Edge) - 0.5).abs() < 1e-12);
        assert_eq!(at(OffsetUnit::Pixel, CoordMode::Center), 35.0);
        assert_eq!(at(OffsetUnit::Image, CoordMode::Center), 0.25);
    }

    #[test]
    fn offsets_are_the_definition_at_every_cell() {
        let other = [25.0, 5.0, 50.0, 180.0];
        let (h, w) = (4, 3);
        let place = |mode, i: f64, n: f64| match mode {
            CoordMode::Center => (i + 0.5) / n,
            CoordMode::Corner => i / n,
            CoordMode::Edge => i / (n - 1.0),
        };
        for mode in [CoordMode::Center, CoordMode::Corner, CoordMode::Edge] {
            for unit in [OffsetUnit::View, OffsetUnit::Image, OffsetUnit::Pixel] {
                let map = measure(&crop(other), (h, w), unit, mode);
                for ix in 0..2 * h * w {
                    let (axis, i, j) = (ix / (h * w), ix / w % h, ix % w);
                    let a = axis as usize;
                    let (at, n) = [(j, w), (i, h)][a];
                    let coord =
                        |crop: [f64; 4], i| crop[a] + place(mode, i as f64, n as f64) * crop[a + 2];
                    let by = match unit {
                        OffsetUnit::View => coord(CROP, n - 1) - coord(CROP, 0),
                        OffsetUnit::Image => [140.0, 400.0][a],
                        OffsetUnit::Pixel => 1.0,
                    };
                    let expected = (coord(other, at) - coord(CROP, at)) / by;
                    let found = map.double_value(&[0, axis, i, j]);
                    assert!(
                        (found - expected).abs() < 1e-12,
                        "{mode:?} {unit:?} {axis} {i} {j}: {found} {expected}"
                    );
                }
            }
        }
    }
}
