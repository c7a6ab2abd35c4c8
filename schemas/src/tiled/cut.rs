//! Cutting a rectangle out of a tile-addressable JPEG without decoding it.

use memchr::memchr;

use super::TiledJpeg;
use crate::geom::Rect;
use crate::{Error, Result};

/// Chroma upsampling looks one pixel beyond a block, so the rectangle grows by that much.
const UPSAMPLING_MARGIN_PX: u32 = 1;

impl TiledJpeg<'_> {
    /// Makes `out` a JPEG of the tiles that `rect` (in pixels of this JPEG) and its one-pixel
    /// margin touch, and returns the rectangle which that JPEG shows. It contains `rect`, and
    /// inside `rect` its decoded pixels equal those of the full decode. Allocates nothing once
    /// `out` has the capacity.
    ///
    /// # Errors
    /// [`Error::Tiled`] if `rect` is empty or leaves the image, or if the index or the restart
    /// markers are damaged.
    pub fn cut(&self, rect: Rect, out: &mut Vec<u8>) -> Result<Rect> {
        let size = self.size();
        if rect.width == 0
            || rect.height == 0
            || !Rect::new(0, 0, size.width, size.height).contains(rect)
        {
            return Err(Error::Tiled("the rectangle to cut leaves the image"));
        }
        let tile = self.tile();
        let first_column = rect.x.saturating_sub(UPSAMPLING_MARGIN_PX) / tile.width;
        let first_row = rect.y.saturating_sub(UPSAMPLING_MARGIN_PX) / tile.height;
        let end_column = (rect.right() + UPSAMPLING_MARGIN_PX)
            .div_ceil(tile.width)
            .min(self.columns());
        let end_row = (rect.bottom() + UPSAMPLING_MARGIN_PX)
            .div_ceil(tile.height)
            .min(self.rows());

        let (x, y) = (first_column * tile.width, first_row * tile.height);
        let width = (end_column * tile.width).min(size.width) - x;
        let height = (end_row * tile.height).min(size.height) - y;
        let shown = Rect::new(x, y, width, height);

        out.clear();
        self.push_header(shown, out);
        let mut tiles_written = 0;
        for row in first_row..end_row {
            self.push_row(row, first_column, end_column, &mut tiles_written, out)?;
        }
        out.extend_from_slice(&[0xFF, 0xD9]);
        Ok(shown)
    }

    /// Everything in front of the scan but the index, with the size replaced.
    fn push_header(&self, shown: Rect, out: &mut Vec<u8>) {
        let header = &self.header;
        let index = header.index.clone().unwrap_or(0..0);
        out.extend_from_slice(&header.jpeg[..index.start]);
        out.extend_from_slice(&header.jpeg[index.end..header.scan.start]);
        let removed = if header.size_at > index.start {
            index.len()
        } else {
            0
        };
        let at = header.size_at - removed;
        // Both fit: they are at most the 16-bit size they replace.
        out[at..at + 2].copy_from_slice(&(shown.height as u16).to_be_bytes());
        out[at + 2..at + 4].copy_from_slice(&(shown.width as u16).to_be_bytes());
    }

    /// Copies tiles `first..end` of `row`, numbering their restart markers on from `tiles_written`.
    fn push_row(
        &self,
        row: u32,
        first: u32,
        end: u32,
        tiles_written: &mut u32,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let columns = self.columns();
        let entropy = self.row_bytes(row)?;
        let mut start = 0;
        for column in 0..end {
            let tile_end = if column + 1 == columns {
                entropy.len()
            } else {
                find_marker(
                    entropy,
                    start,
                    row.wrapping_mul(columns).wrapping_add(column),
                )?
            };
            if column >= first {
                if *tiles_written > 0 {
                    out.extend_from_slice(&[0xFF, 0xD0 + ((*tiles_written - 1) % 8) as u8]);
                }
                out.extend_from_slice(&entropy[start..tile_end]);
                *tiles_written += 1;
            }
            start = (tile_end + 2).min(entropy.len());
        }
        Ok(())
    }

    /// The entropy-coded bytes of one MCU row, without the restart markers at its two ends.
    fn row_bytes(&self, row: u32) -> Result<&[u8]> {
        let scan = &self.header.jpeg[self.header.scan.clone()];
        let bad_index = || Error::Tiled("its tile index does not point at its restart markers");
        // Where the marker before `row` begins.
        let marker_at = |row: u32, start: usize| {
            let number = row.wrapping_mul(self.columns()).wrapping_sub(1);
            let at = start.checked_sub(2).ok_or_else(bad_index)?;
            match scan.get(at..start) == Some(&[0xFF, 0xD0 + (number % 8) as u8]) {
                true => Ok(at),
                false => Err(bad_index()),
            }
        };
        let start = self.rows.get(row).ok_or_else(bad_index)?;
        match row {
            0 if start != 0 => return Err(bad_index()),
            0 => {}
            _ => drop(marker_at(row, start)?),
        }
        let end = match self.rows.get(row + 1) {
            Some(next) => marker_at(row + 1, next)?,
            None => scan.len(),
        };
        scan.get(start..end).ok_or_else(bad_index)
    }
}

/// Position of the next restart marker at or behind `from`; it must carry `number` modulo 8.
fn find_marker(entropy: &[u8], mut from: usize, number: u32) -> Result<usize> {
    while let Some(found) = memchr(0xFF, &entropy[from..]) {
        let at = from + found;
        match entropy.get(at + 1) {
            Some(0) => from = at + 2,
            Some(&marker) if marker == 0xD0 + (number % 8) as u8 => return Ok(at),
            _ => break,
        }
    }
    Err(Error::Tiled("a restart marker is missing"))
}
