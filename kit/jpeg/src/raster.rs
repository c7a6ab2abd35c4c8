//! Decoded pixels between a decoder and an encoder.
//!
//! A raster is allocated larger than its image: to the padded width that gives the encoded level a
//! good tile grid, and to a multiple of 4 rows. [`Raster::replicate_edges`] fills that margin from
//! the last column and row, so that halving a side of odd length and encoding the padding both see
//! replicated edges.

use image::DynamicImage;
use schemas::geom::Size;

/// Which samples a raster holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One plane of one byte a pixel.
    Grey,
    /// One plane of three bytes a pixel.
    Rgb,
    /// Three planes, Cb and Cr of half the width and height.
    Ycc420,
}

/// A plane of interleaved 8-bit samples.
#[derive(Clone, Debug)]
pub struct Plane {
    pub(crate) size: Size,
    pub(crate) allocated: Size,
    pub(crate) channels: u32,
    /// `allocated.height` rows of `allocated.width * channels` bytes.
    pub(crate) data: Vec<u8>,
}

impl Plane {
    fn new(size: Size, allocated: Size, channels: u32) -> Self {
        let bytes = allocated.area() as usize * channels as usize;
        Self {
            size,
            allocated,
            channels,
            data: vec![0; bytes],
        }
    }

    /// Valid pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Allocated pixels; rows follow each other without gaps.
    pub fn allocated(&self) -> Size {
        self.allocated
    }

    /// Bytes a pixel.
    pub fn channels(&self) -> u32 {
        self.channels
    }

    /// All allocated samples.
    pub fn samples(&self) -> &[u8] {
        &self.data
    }

    /// Bytes from one row to the next.
    pub(crate) fn stride(&self) -> usize {
        self.allocated.width as usize * self.channels as usize
    }

    fn replicate_edges(&mut self) {
        let (stride, channels) = (self.stride(), self.channels as usize);
        let valid = self.size.width as usize * channels;
        let rows = self.size.height as usize;
        if valid < stride {
            for row in self.data.chunks_exact_mut(stride).take(rows) {
                let (pixels, margin) = row.split_at_mut(valid);
                let last = &pixels[valid - channels..];
                margin
                    .chunks_exact_mut(channels)
                    .for_each(|pixel| pixel.copy_from_slice(last));
            }
        }
        let (image, below) = self.data.split_at_mut(rows * stride);
        let last_row = &image[(rows - 1) * stride..];
        below
            .chunks_exact_mut(stride)
            .for_each(|row| row.copy_from_slice(last_row));
    }
}

/// A decoded image.
#[derive(Clone, Debug)]
pub struct Raster {
    pub(crate) size: Size,
    pub(crate) layout: Layout,
    mcu_width: u32,
    /// As many as the layout has, of the sizes that `new` gave them: the encoder relies on that.
    pub(crate) planes: Vec<Plane>,
}

impl Raster {
    /// A black raster of `size`, with room for the padding of an encoding whose MCU is `mcu_width`
    /// pixels wide.
    pub fn new(size: Size, layout: Layout, mcu_width: u32) -> Self {
        let width = schemas::tiled::padded_width(size.width, mcu_width);
        let allocated = Size::new(width, size.height.next_multiple_of(4));
        let plane = |divisor: u32, channels| {
            let part =
                |size: Size| Size::new(size.width.div_ceil(divisor), size.height.div_ceil(divisor));
            Plane::new(part(size), part(allocated), channels)
        };
        let planes = match layout {
            Layout::Grey => vec![plane(1, 1)],
            Layout::Rgb => vec![plane(1, 3)],
            Layout::Ycc420 => vec![plane(1, 1), plane(2, 1), plane(2, 1)],
        };
        Self {
            size,
            layout,
            mcu_width,
            planes,
        }
    }

    /// A raster of interleaved `pixels`, 1 (grey) or 3 (RGB) bytes each, without gaps between rows.
    pub fn from_pixels(size: Size, layout: Layout, mcu_width: u32, pixels: &[u8]) -> Self {
        let mut raster = Self::new(size, layout, mcu_width);
        let plane = &mut raster.planes[0];
        let (stride, row_bytes) = (
            plane.stride(),
            size.width as usize * plane.channels as usize,
        );
        for (row, source) in plane
            .data
            .chunks_exact_mut(stride)
            .zip(pixels.chunks_exact(row_bytes))
        {
            row[..row_bytes].copy_from_slice(source);
        }
        raster.replicate_edges();
        raster
    }

    /// A raster of the pixels of `image`, grey or RGB of 8 bits.
    ///
    /// # Panics
    /// If it is of another kind.
    pub fn from_image(image: &DynamicImage, mcu_width: u32) -> Self {
        let layout = match image {
            DynamicImage::ImageLuma8(_) => Layout::Grey,
            DynamicImage::ImageRgb8(_) => Layout::Rgb,
            other => panic!("a decoder does not return {:?}", other.color()),
        };
        let size = Size::new(image.width(), image.height());
        Self::from_pixels(size, layout, mcu_width, image.as_bytes())
    }

    /// Valid pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// What the planes are.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Minimum coded unit of the encoding it is meant for, in pixels.
    pub fn mcu_width(&self) -> u32 {
        self.mcu_width
    }

    /// One or three planes.
    pub fn planes(&self) -> &[Plane] {
        &self.planes
    }

    /// The samples of one plane, to be written.
    pub fn samples_mut(&mut self, plane_ix: usize) -> &mut [u8] {
        &mut self.planes[plane_ix].data
    }

    /// Width of its encoding: the valid width and its padding.
    pub fn padded_width(&self) -> u32 {
        self.planes[0].allocated.width
    }

    /// Fills the margin of every plane from its last valid column and row.
    pub fn replicate_edges(&mut self) {
        self.planes.iter_mut().for_each(Plane::replicate_edges);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margins_repeat_the_last_column_and_row() {
        let pixels: Vec<u8> = (0..5 * 3).collect();
        let raster = Raster::from_pixels(Size::new(5, 3), Layout::Grey, 8, &pixels);
        let plane = &raster.planes[0];
        assert_eq!(plane.allocated, Size::new(8, 4));
        assert_eq!(plane.data[..8], [0, 1, 2, 3, 4, 4, 4, 4]);
        assert_eq!(plane.data[24..], plane.data[16..24]);
    }
}
