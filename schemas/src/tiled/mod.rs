//! Tile-addressable JPEG: a JPEG that every reader opens, and of which a rectangle can be decoded
//! alone.
//!
//! A baseline JPEG whose restart interval divides its row of MCUs is a grid of *tiles*, one MCU row
//! high, each of which starts with a fresh DC prediction on a byte boundary. To decode a rectangle,
//! [`TiledJpeg::cut`] copies the header with the size patched and the tiles that the rectangle
//! touches; any decoder then decodes just those. The pixels equal those of the full decode, because
//! the rectangle grows by one pixel before it is rounded out to tiles: that pixel is all that
//! chroma upsampling looks at beyond its own block.
//!
//! Where each MCU row starts lies in an APP9 segment of the JPEG itself ([`embed_index`]); tile
//! boundaries inside a row are found by their RST markers. Nothing of the index is trusted:
//! [`TiledJpeg::cut`] checks every marker it relies on and returns [`Error::Tiled`] otherwise.

mod cut;
mod embed;
mod grid;
mod header;
mod row_starts;

pub use embed::embed_index;
pub use grid::{padded_width, restart_interval};

use crate::geom::Size;
use crate::{Error, Result};
use header::Header;
use row_starts::RowStarts;

/// A parsed, borrowed tile-addressable JPEG. Parsing reads the header only and allocates nothing.
#[derive(Clone, Debug)]
pub struct TiledJpeg<'a> {
    header: Header<'a>,
    rows: RowStarts<'a>,
}

impl<'a> TiledJpeg<'a> {
    /// Parses the header of `jpeg` and finds its index.
    ///
    /// # Errors
    /// [`Error::Tiled`] if it is no baseline JPEG, its restart interval does not divide its rows,
    /// it carries no index, or the index does not fit its size.
    pub fn parse(jpeg: &'a [u8]) -> Result<Self> {
        let header = Header::parse(jpeg)?;
        header.check_tiling()?;
        let segment = header
            .index
            .clone()
            .ok_or(Error::Tiled("it carries no tile index"))?;
        let rows = RowStarts::parse(&jpeg[segment], header.rows())?;
        Ok(Self { header, rows })
    }

    /// Size of the JPEG in pixels. A level may use less of it: the rest is padding to a good grid.
    pub fn size(&self) -> Size {
        self.header.size
    }

    /// Size of a minimum coded unit in pixels: 8 × 8 for grey, 16 × 16 for 4:2:0.
    pub fn mcu(&self) -> Size {
        self.header.mcu
    }

    /// Size of a tile in pixels: a restart interval wide, one MCU high.
    pub fn tile(&self) -> Size {
        Size::new(
            self.header.restart_interval * self.header.mcu.width,
            self.header.mcu.height,
        )
    }

    /// Number of tiles in a row.
    pub fn columns(&self) -> u32 {
        self.header.mcus_per_row() / self.header.restart_interval
    }

    /// Number of rows of tiles.
    pub fn rows(&self) -> u32 {
        self.header.rows()
    }
}

#[cfg(test)]
pub(crate) mod tests;
