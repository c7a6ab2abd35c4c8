//! The images of a split at the probe's size, and how much of each cell every class covers.

use anyhow::{Result, ensure};
use rayon::prelude::*;
use schemas::geom::Size;
use tch::{Device, Kind, Tensor};

use super::deal::Deal;
use crate::cells::{self, Shown};
use crate::segmentation::{Dataset, NUM_CLASSES};

/// The one size at which all images of a probe are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Pixels down.
    pub height: i64,
    /// Pixels across.
    pub width: i64,
    /// Pixels between the centres of two cells.
    pub cell_px: i64,
}

impl Shape {
    /// About `height` pixels high, in the proportions of the first image; the first cell is centred on
    /// the first pixel, the last one on the last.
    ///
    /// # Errors
    /// If the first image cannot be read, or `height` has no whole cell.
    pub(crate) fn of(set: &Dataset, height: i64, cell_px: i64) -> Result<Self> {
        ensure!(
            height >= cell_px,
            "--height {height}: a cell of this backbone has {cell_px} pixels"
        );
        let first = set.samples()[0].load()?.image.size();
        let width = height as f64 * f64::from(first.width) / f64::from(first.height);
        Ok(Self {
            height: cells::nearest_length(height as f64, cell_px),
            width: cells::nearest_length(width, cell_px),
            cell_px,
        })
    }

    /// Cells down and across.
    pub(crate) fn grid(self) -> [i64; 2] {
        [self.height, self.width].map(|px| cells::count(px, self.cell_px))
    }

    /// The size in pixels.
    pub(crate) fn size(self) -> Size {
        Size::new(self.width as u32, self.height as u32)
    }

    /// How maps at this size lie on pictures of any size.
    pub(crate) fn shown(self) -> Shown {
        Shown {
            cell_px: self.cell_px,
            seen: self.size(),
        }
    }

    /// The cell whose centre is nearest to each of `of` pixels along an axis of `seen` pixels.
    fn nearest_cells(self, seen: i64, of: u32) -> Vec<usize> {
        let last = cells::count(seen, self.cell_px) - 1;
        let cell = |px: u32| {
            let seen_at = (f64::from(px) + 0.5) * seen as f64 / f64::from(of) - 0.5;
            ((seen_at / self.cell_px as f64).round() as i64).clamp(0, last) as usize
        };
        (0..of).map(cell).collect()
    }
}

/// This rank's images of a split, in memory.
pub(crate) struct Images {
    /// Bytes `[n, height, width, 3]`.
    pub pixels: Tensor,
    /// Share of each cell's pixels by class, `[n, 19, rows, columns]`; ignored pixels belong to
    /// none.
    pub shares: Tensor,
}

impl Images {
    /// Reads, resizes and counts this rank's samples of `set`, on all cores.
    ///
    /// # Errors
    /// The first sample that cannot be read.
    pub(crate) fn load(set: &Dataset, shape: Shape, deal: Deal<'_>) -> Result<Self> {
        let [rows, columns] = shape.grid();
        let mine = deal.mine();
        let loaded = mine.par_iter().map(|&ix| {
            let sample = &set.samples()[ix];
            let pair = sample.load()?;
            let shares = shares(&pair.labels, pair.image.size(), shape);
            Ok((pair.image.resized(shape.size()).rgb().to_vec(), shares))
        });
        let loaded: Vec<(Vec<u8>, Vec<f32>)> = loaded.collect::<Result<_>>()?;
        let pixels = loaded.iter().map(|(rgb, _)| Tensor::from_slice(rgb));
        let shares = loaded.iter().map(|(_, shares)| Tensor::from_slice(shares));
        let of_image = [NUM_CLASSES as i64, rows, columns];
        Ok(Self {
            pixels: stacked(pixels, [shape.height, shape.width, 3], Kind::Uint8),
            shares: stacked(shares, of_image, Kind::Float),
        })
    }

    /// The class shares of the images of all ranks, on the CPU: `[n, 19, rows, columns]`. `None` on
    /// other ranks than the first.
    pub(crate) fn all_shares(&self, deal: Deal<'_>, device: Device) -> Option<Tensor> {
        let [parts] = deal.map(&self.shares, |shares| [shares.to_device(device)]);
        let all = || Tensor::cat(&parts, 0).to_device(Device::Cpu).contiguous();
        deal.ranks.is_first().then(all)
    }
}

/// One row each of `rows`, of which there may be none.
fn stacked(rows: impl Iterator<Item = Tensor>, of_row: [i64; 3], kind: Kind) -> Tensor {
    let [a, b, c] = of_row;
    let rows: Vec<Tensor> = rows.map(|row| row.view(of_row)).collect();
    match rows.is_empty() {
        true => Tensor::zeros([0, a, b, c], (kind, Device::Cpu)),
        false => Tensor::stack(&rows, 0),
    }
}

/// Share of each cell's pixels by class: `[19, rows, columns]`, row by row. A pixel belongs to the cell
/// whose centre is nearest.
fn shares(labels: &[u8], size: Size, shape: Shape) -> Vec<f32> {
    let [rows, columns] = shape.grid().map(|cells| cells as usize);
    let row_of = shape.nearest_cells(shape.height, size.height);
    let column_of = shape.nearest_cells(shape.width, size.width);
    let mut counts = vec![0f32; NUM_CLASSES * rows * columns];
    let mut pixels = vec![0f32; rows * columns];
    for (line, row) in labels.chunks_exact(size.width as usize).zip(row_of) {
        for (&label, column) in line.iter().zip(&column_of) {
            let cell = row * columns + column;
            pixels[cell] += 1.0;
            if usize::from(label) < NUM_CLASSES {
                counts[usize::from(label) * rows * columns + cell] += 1.0;
            }
        }
    }
    for (ix, count) in counts.iter_mut().enumerate() {
        *count /= pixels[ix % (rows * columns)].max(1.0);
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segmentation::IGNORED;

    #[test]
    fn a_pixel_counts_for_the_cell_whose_centre_is_nearest() {
        let shape = Shape {
            height: 5,
            width: 9,
            cell_px: 4,
        };
        assert_eq!((shape.grid(), shape.size()), ([2, 3], Size::new(9, 5)));
        // As large as the network sees it: cells are centred on columns 0, 4 and 8.
        assert_eq!(shape.nearest_cells(9, 9), [0, 0, 1, 1, 1, 1, 2, 2, 2]);
        // Beyond the last centre by more than half a cell it is still the last cell.
        assert_eq!(
            shape.nearest_cells(12, 12),
            [0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2]
        );
        // Twice as large: their centres lie between columns 0 and 1, 8 and 9, 16 and 17.
        let twice = shape.nearest_cells(9, 18);
        assert_eq!(twice.iter().filter(|&&cell| cell == 1).count(), 8);
        assert_eq!((twice[4], twice[5], twice[12], twice[13]), (0, 1, 1, 2));
    }

    #[test]
    fn shares_are_those_of_a_cells_own_pixels() {
        let shape = Shape {
            height: 3,
            width: 5,
            cell_px: 2,
        };
        // One row of cells at a time: pixels 0; 1, 2; 3, 4 belong to the three columns of cells.
        let row = [0, 5, 7, IGNORED, 7];
        let shares = shares(&[row; 3].concat(), Size::new(5, 3), shape);
        let of = |class: usize, column: usize| shares[class * 6 + column];
        assert_eq!((of(0, 0), of(5, 0)), (1.0, 0.0));
        assert_eq!((of(5, 1), of(7, 1), of(7, 2)), (0.5, 0.5, 0.5));
    }
}
