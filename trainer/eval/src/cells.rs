//! Where the cells of a ResNet's map lie on its input, and what is said of cells said of pixels.
//!
//! Every filter of the trunk is padded by half its size. So cell `o` of a map whose cells are
//! `cell_px` pixels apart is centred on pixel `cell_px * o`: the first cell on the first pixel, not
//! half a cell inside the image. An input of `cell_px * k + 1` pixels has k + 1 cells, and the last
//! one is centred on its last pixel. Of such an input, cells are enlarged with aligned corners
//! (RECIPE 6). An input of any other length is continued to the next such length, and the logits of
//! what was added are cut off.

use schemas::geom::Size;
use tch::{Device, Kind, Tensor};

/// The length with a cell on its last pixel that is nearest to `px`: at least two cells.
pub(crate) fn nearest_length(px: f64, cell_px: i64) -> i64 {
    let cells = ((px - 1.0) / cell_px as f64).round() as i64;
    cells.max(1) * cell_px + 1
}

/// Cells along `px` pixels, which have a cell on their last one.
pub(crate) fn count(px: i64, cell_px: i64) -> i64 {
    (px - 1) / cell_px + 1
}

/// Continues images `[n, c, h, w]` at their right and lower edge to the next lengths with a cell on
/// the last pixel, by what lies at the edge: the last cell sees the image rather than a colour of
/// ours.
pub(crate) fn pad(images: &Tensor, cell_px: i64) -> Tensor {
    let (_, _, height, width) = images.size4().expect("images have four axes");
    let continued = |images: Tensor, axis: i64, px: i64| {
        let whole = (px - 1 + cell_px - 1) / cell_px * cell_px + 1;
        if whole == px {
            return images;
        }
        let places = Tensor::arange(whole, (Kind::Int64, images.device())).clamp_max(px - 1);
        images.index_select(axis, &places)
    };
    // Channels stay innermost in memory, as convolutions want them.
    let images = images.permute([0, 2, 3, 1]);
    let images = continued(continued(images, 1, height), 2, width);
    images.permute([0, 3, 1, 2])
}

/// Maps `[n, c, rows, columns]` of [`pad`]ded images to values `[n, c, h, w]` of their pixels.
pub(crate) fn enlarge(maps: &Tensor, cell_px: i64, [height, width]: [i64; 2]) -> Tensor {
    let (_, _, rows, columns) = maps.size4().expect("maps have four axes");
    let whole = [rows, columns].map(|cells| (cells - 1) * cell_px + 1);
    maps.upsample_bilinear2d(whole, true, None, None)
        .narrow(2, 0, height)
        .narrow(3, 0, width)
}

/// The map of a picture that a network saw at one size, for the same picture at another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Pixels between the centres of two cells, as the network saw the picture.
    pub cell_px: i64,
    /// The picture as the network saw it.
    pub seen: Size,
}

impl Shown {
    /// Maps `[n, c, rows, columns]` to values `[n, c, height, width]` of the pixels of the picture at
    /// the size `to`: bilinear between the cells' centres; beyond the last one its own value.
    pub(crate) fn resample(self, maps: &Tensor, to: Size) -> Tensor {
        let (_, _, rows, columns) = maps.size4().expect("maps have four axes");
        let down = self.weights(rows, self.seen.height, to.height); // [height, rows]
        let across = self.weights(columns, self.seen.width, to.width); // [width, columns]
        down.to_device(maps.device())
            .matmul(maps)
            .matmul(&across.to_device(maps.device()).transpose(0, 1))
    }

    /// How much of each of `cells` cells is in each of `to` pixels, `[to, cells]`, where the network
    /// saw `seen` pixels.
    fn weights(self, cells: i64, seen: u32, to: u32) -> Tensor {
        let scale = f64::from(seen) / f64::from(to);
        let pixels = Tensor::arange(i64::from(to), (Kind::Double, Device::Cpu));
        // Pixels are squares: the centre of pixel p is at p + 1/2 in either size.
        let seen_at = (pixels + 0.5) * scale - 0.5;
        let cell_at = (seen_at / self.cell_px as f64).clamp(0.0, (cells - 1) as f64);
        let centres = Tensor::arange(cells, (Kind::Double, Device::Cpu));
        let distance = (cell_at.unsqueeze(1) - centres.unsqueeze(0)).abs();
        let weight: Tensor = 1.0 - distance;
        weight.clamp_min(0.0).to_kind(Kind::Float)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Init;

    fn random(shape: &[i64]) -> Tensor {
        Init::Normal(1.0)
            .draw(5, "cells", shape)
            .to_kind(Kind::Float)
    }

    #[test]
    fn lengths_have_a_cell_on_their_last_pixel() {
        assert_eq!(nearest_length(256.0, 32), 257);
        assert_eq!(nearest_length(272.0, 32), 257);
        assert_eq!(nearest_length(1.0, 16), 17);
        assert_eq!((count(257, 32), count(17, 16), count(1, 16)), (9, 2, 1));
    }

    #[test]
    fn images_are_continued_by_their_edges() {
        let images = random(&[2, 3, 20, 33]);
        let padded = pad(&images, 16);
        assert_eq!(padded.size(), [2, 3, 33, 33]);
        assert_eq!(padded.narrow(2, 0, 20), images);
        assert_eq!(padded.select(2, 32), images.select(2, 19));
        let whole = random(&[1, 3, 17, 33]);
        assert_eq!(pad(&whole, 16), whole);
    }

    /// The value at a pixel, between the four cells around it.
    fn between(map: &Tensor, cell_px: i64, y: i64, x: i64) -> f64 {
        let (rows, columns) = map.size2().unwrap();
        let (mut sum, at) = (0.0, |px: i64| px as f64 / cell_px as f64);
        for row in 0..rows {
            for column in 0..columns {
                let near = |cell: i64, px: i64| (1.0 - (at(px) - cell as f64).abs()).max(0.0);
                sum += near(row, y) * near(column, x) * map.double_value(&[row, column]);
            }
        }
        sum
    }

    #[test]
    fn cells_are_enlarged_around_their_centres() {
        let map = random(&[1, 1, 3, 4]);
        let enlarged = enlarge(&map, 8, [15, 25]);
        assert_eq!(enlarged.size(), [1, 1, 15, 25]);
        for (y, x) in [(0, 0), (8, 16), (14, 24), (3, 11)] {
            let expected = between(&map.select(0, 0).select(0, 0), 8, y, x);
            let found = enlarged.double_value(&[0, 0, y, x]);
            assert!(
                (found - expected).abs() < 1e-6,
                "{y}, {x}: {found}, {expected}"
            );
        }
    }

    #[test]
    fn resampling_to_the_size_that_was_seen_is_enlarging() {
        let maps = random(&[2, 5, 3, 4]);
        let shown = Shown {
            cell_px: 8,
            seen: Size::new(25, 17),
        };
        let off = shown.resample(&maps, shown.seen) - enlarge(&maps, 8, [17, 25]);
        assert!(off.abs().max().double_value(&[]) < 1e-5);
    }

    #[test]
    fn a_ramp_stays_a_ramp_at_any_size() {
        // What is said of a cell is where its centre is, in the picture's width.
        let ramp = (Tensor::arange(5, (Kind::Float, Device::Cpu)) * 16.0 + 0.5) / 65.0;
        let map = ramp.view([1, 1, 1, 5]).expand([1, 1, 2, 5], false);
        let shown = Shown {
            cell_px: 16,
            seen: Size::new(65, 17),
        };
        for width in [130, 65, 40] {
            let row = shown.resample(&map, Size::new(width, 30)).select(2, 7);
            let expected = (Tensor::arange(i64::from(width), (Kind::Float, Device::Cpu)) + 0.5)
                / f64::from(width);
            let inside = expected
                .ge(0.5 / 65.0)
                .logical_and(&expected.le(64.5 / 65.0));
            let off = (row.view([-1]) - expected).abs() * inside;
            assert!(off.max().double_value(&[]) < 1e-6, "{width}");
        }
    }
}
