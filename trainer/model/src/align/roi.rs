//! RoI alignment: both maps resampled on the overlap of their crops (paper, equations 3 and 4).
//!
//! RoI Align (He et al., "Mask R-CNN", 2017, section 3) with one box per sample and as many bins as
//! the map has cells is a separable bilinear resampling: R = A_y G A_xᵀ, with A_y, A_x made from
//! the box alone. Here both factors are joined into one matrix per sample, so forward and backward
//! are one batched matrix product each, and deterministic.

use tch::{Kind, Tensor};

use super::grid::column;

/// How RoI Align samples its bins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// Sample points per bin and axis, at least 1. Fixed: the adaptive rule of torchvision gives 1
    /// here but for rounding.
    pub points: i64,
    /// Half-pixel alignment: the full box is the identity. Without it, samples lie half a cell
    /// further and a box covers at least one cell.
    pub aligned: bool,
}

/// Box of `view` ∩ `other` in unit coordinates of the un-flipped `view`: `[n, 4]` x0, y0, x1, y1.
/// Crops are `[n, 4]`.
pub fn overlap_box(view: &Tensor, other: &Tensor) -> Tensor {
    let corner = |crop: &Tensor, axis| column(crop, axis) + column(crop, axis + 2);
    let relative = |at: Tensor, axis| (at - column(view, axis)) / column(view, axis + 2);
    let low = |axis| relative(column(view, axis).maximum(&column(other, axis)), axis);
    let high = |axis| relative(corner(view, axis).minimum(&corner(other, axis)), axis);
    Tensor::cat(&[low(0), low(1), high(0), high(1)], 1)
}

/// The map `[n, c, h, w]` resampled on unit boxes `[n, 4]`, to the same shape.
pub fn roi_align(map: &Tensor, boxes: &Tensor, sampling: Sampling) -> Tensor {
    let (n, c, h, w) = map.size4().expect("a map has four axes");
    let rows = axis_weights(&column(boxes, 1), &column(boxes, 3), h, sampling); // [n, h, h]
    let columns = axis_weights(&column(boxes, 0), &column(boxes, 2), w, sampling); // [n, w, w]
    // [n, h, 1, h, 1] * [n, 1, w, 1, w]: every output cell's weight of every input cell
    let weights =
        (rows.view([n, h, 1, h, 1]) * columns.view([n, 1, w, 1, w])).view([n, h * w, h * w]);
    let cells = map.permute([0, 2, 3, 1]).reshape([n, h * w, c]);
    weights.bmm(&cells).view([n, h, w, c]).permute([0, 3, 1, 2])
}

/// Weights `[n, cells, cells]` of input cells (last axis) in output bins, along one axis; `low`,
/// `high` are `[n, 1]`.
fn axis_weights(low: &Tensor, high: &Tensor, cells: i64, sampling: Sampling) -> Tensor {
    let shift = if sampling.aligned { 0.5 } else { 0.0 };
    let start = low * cells as f64 - shift;
    let mut length = (high * cells as f64 - shift) - &start;
    if !sampling.aligned {
        length = length.clamp_min(1.0);
    }
    let n = start.size()[0];
    let options = (low.kind(), low.device());
    let bin = Tensor::arange(cells, options).view([1, cells, 1]);
    let point =
        (Tensor::arange(sampling.points, options).view([1, 1, -1]) + 0.5) / sampling.points as f64;
    let at = start.view([n, 1, 1]) + (bin + point) * (length / cells as f64).view([n, 1, 1]); // [n, bin, point]
    // RoI Align's border: beyond one cell outside nothing is sampled; nearer, the border cell is.
    let inside = at
        .ge(-1.0)
        .logical_and(&at.le(cells as f64))
        .to_kind(low.kind());
    let at = at.clamp(0.0, (cells - 1) as f64).unsqueeze(-1);
    let input = Tensor::arange(cells, options).view([1, 1, 1, cells]);
    let hat = (-(at - input).abs() + 1.0).clamp_min(0.0) * inside.unsqueeze(-1); // [n, bin, point, cell]
    hat.mean_dim(2, false, None::<Kind>)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    const ALIGNED: Sampling = Sampling {
        points: 1,
        aligned: true,
    };

    fn ramp(n: i64, c: i64, h: i64, w: i64) -> Tensor {
        let count = n * c * h * w;
        (Tensor::arange(count, (Kind::Double, Device::Cpu)) * 0.7)
            .sin()
            .view([n, c, h, w])
    }

    /// One value of RoI Align as Mask R-CNN words it: bins, sample points, bilinear interpolation.
    fn naive(map: &Tensor, unit: [f64; 4], s: Sampling, (n, c, i, j): (i64, i64, i64, i64)) -> f64 {
        let (_, _, h, w) = map.size4().unwrap();
        let shift = if s.aligned { 0.5 } else { 0.0 };
        let [x0, y0, x1, y1] = unit;
        let span = |low: f64, high: f64, cells: i64| {
            let start = low * cells as f64 - shift;
            let length = high * cells as f64 - shift - start;
            (
                start,
                if s.aligned { length } else { length.max(1.0) } / cells as f64,
            )
        };
        let ((ys, yb), (xs, xb)) = (span(y0, y1, h), span(x0, x1, w));
        let tap = |at: f64, cells: i64| {
            let at = at.clamp(0.0, (cells - 1) as f64);
            let low = (at.floor() as i64).min(cells - 1);
            (low, (low + 1).min(cells - 1), at - low as f64)
        };
        let mut sum = 0.0;
        for p in 0..s.points * s.points {
            let part = |k: i64| (k as f64 + 0.5) / s.points as f64;
            let y = ys + (i as f64 + part(p / s.points)) * yb;
            let x = xs + (j as f64 + part(p % s.points)) * xb;
            if y < -1.0 || y > h as f64 || x < -1.0 || x > w as f64 {
                continue;
            }
            let ((a, b, fy), (d, e, fx)) = (tap(y, h), tap(x, w));
            let v = |r, q| map.double_value(&[n, c, r, q]);
            sum += (1.0 - fy) * ((1.0 - fx) * v(a, d) + fx * v(a, e))
                + fy * ((1.0 - fx) * v(b, d) + fx * v(b, e));
        }
        sum / (s.points * s.points) as f64
    }

    #[test]
    fn the_full_box_is_the_identity() {
        let map = ramp(2, 3, 5, 4);
        let full = Tensor::from_slice(&[0.0, 0.0, 1.0, 1.0]).repeat([2, 1]);
        let out = roi_align(&map, &full, ALIGNED);
        assert!((out - map).abs().max().double_value(&[]) < 1e-14);
    }

    #[test]
    fn equals_the_definition_at_every_cell() {
        let map = ramp(2, 2, 5, 4);
        let boxes = [[0.13, 0.4, 0.9, 1.0], [0.0, 0.05, 0.31, 0.22]];
        let tensor = Tensor::from_slice(&boxes.concat()).view([2, 4]);
        for aligned in [true, false] {
            for points in [1, 2, 3] {
                let sampling = Sampling { points, aligned };
                let out = roi_align(&map, &tensor, sampling);
                for ix in 0..out.numel() as i64 {
                    let at = (ix / 40, ix / 20 % 2, ix / 4 % 5, ix % 4);
                    let expected = naive(&map, boxes[at.0 as usize], sampling, at);
                    let found = out.double_value(&[at.0, at.1, at.2, at.3]);
                    assert!(
                        (found - expected).abs() < 1e-13,
                        "{sampling:?} {at:?}: {found} {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn overlap_is_relative_to_its_view() {
        let crop = |v: [f32; 4]| Tensor::from_slice(&v).view([1, 4]);
        let (view, other) = (crop([100., 50., 200., 100.]), crop([150., 0., 300., 125.]));
        let values: Vec<f32> = Vec::try_from(overlap_box(&view, &other).view([-1])).unwrap();
        assert_eq!(values, [0.25, 0.0, 1.0, 0.75]);
    }
}
