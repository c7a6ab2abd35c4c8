//! The images of a split at the probe's size, and how much of each cell every class covers.

use anyhow::{Result, ensure};
use rayon::prelude::*;
use schemas::geom::Size;
use tch::Tensor;

use crate::segmentation::{Dataset, NUM_CLASSES};

/// The one size at which all images of a probe are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Pixels down and across.
    pub height: i64,
    /// Pixels across.
    pub width: i64,
    /// Cells down.
    pub rows: i64,
    /// Cells across.
    pub columns: i64,
}

impl Shape {
    /// About `height` pixels high, in the proportions of the first image, whole cells of `cell_px`
    /// pixels.
    ///
    /// # Errors
    /// If the first image cannot be read, or `height` has no whole cell.
    pub(crate) fn of(set: &Dataset, height: i64, cell_px: i64) -> Result<Self> {
        ensure!(
            height >= cell_px,
            "--height {height}: a cell of this backbone has {cell_px} pixels"
        );
        let first = set.samples()[0].load()?.image.size();
        let cells = |px: f64| ((px / cell_px as f64).round() as i64).max(1);
        let rows = cells(height as f64);
        let columns = cells(height as f64 * f64::from(first.width) / f64::from(first.height));
        Ok(Self {
            height: rows * cell_px,
            width: columns * cell_px,
            rows,
            columns,
        })
    }
}

/// A split in memory.
pub(crate) struct Images {
    /// Bytes `[n, height, width, 3]`.
    pub pixels: Tensor,
    /// Share of each cell's pixels by class, `[n, 19, rows, columns]`; ignored pixels belong to
    /// none.
    pub shares: Tensor,
}

impl Images {
    /// Reads, resizes and counts all samples of `set`, on all cores.
    ///
    /// # Errors
    /// The first sample that cannot be read.
    pub(crate) fn load(set: &Dataset, shape: Shape) -> Result<Self> {
        let size = Size::new(shape.width as u32, shape.height as u32);
        let loaded = set.samples().par_iter().map(|sample| {
            let pair = sample.load()?;
            let shares = shares(&pair.labels, pair.image.size(), shape);
            Ok((pair.image.resized(size).rgb().to_vec(), shares))
        });
        let loaded: Vec<(Vec<u8>, Vec<f32>)> = loaded.collect::<Result<_>>()?;
        let pixels: Vec<Tensor> = loaded
            .iter()
            .map(|(rgb, _)| Tensor::from_slice(rgb))
            .collect();
        let shares: Vec<Tensor> = loaded
            .iter()
            .map(|(_, shares)| Tensor::from_slice(shares))
            .collect();
        Ok(Self {
            pixels: Tensor::stack(&pixels, 0).view([-1, shape.height, shape.width, 3]),
            shares: Tensor::stack(&shares, 0).view([
                -1,
                NUM_CLASSES as i64,
                shape.rows,
                shape.columns,
            ]),
        })
    }

    /// Number of images.
    pub(crate) fn len(&self) -> i64 {
        self.pixels.size()[0]
    }
}

/// Share of each cell's pixels by class: `[19, rows, columns]`, row by row.
fn shares(labels: &[u8], size: Size, shape: Shape) -> Vec<f32> {
    let (rows, columns) = (shape.rows as usize, shape.columns as usize);
    let (width, height) = (size.width as usize, size.height as usize);
    let mut counts = vec![0f32; NUM_CLASSES * rows * columns];
    let mut pixels = vec![0f32; rows * columns];
    for (y, line) in labels.chunks_exact(width).enumerate() {
        let row = y * rows / height;
        for (x, &label) in line.iter().enumerate() {
            let cell = row * columns + x * columns / width;
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
    fn shares_count_every_pixel_of_a_cell_once() {
        let shape = Shape {
            height: 32,
            width: 64,
            rows: 1,
            columns: 2,
        };
        // Six columns of pixels: the first three are one cell.
        let labels = [[0, 0, 5, 7, IGNORED, 7], [0, 0, 5, 7, 7, 7]].concat();
        let shares = shares(&labels, Size::new(6, 2), shape);
        let of = |class: usize, cell: usize| shares[class * 2 + cell];
        assert_eq!((of(0, 0), of(5, 0), of(7, 0)), (4.0 / 6.0, 2.0 / 6.0, 0.0));
        assert_eq!((of(7, 1), of(0, 1)), (5.0 / 6.0, 0.0));
    }
}
