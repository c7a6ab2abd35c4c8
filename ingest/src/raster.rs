//! Decoded pixels between a decoder and an encoder.
//!
//! A raster is allocated larger than its image: to the padded width that gives the encoded level a
//! good tile grid, and to a multiple of 4 rows. [`Raster::replicate_edges`] fills that margin from
//! the last column and row, so that halving a side of odd length and encoding the padding both see
//! replicated edges.

use fast_image_resize::images::{CroppedImageMut, Image, ImageRef};
use fast_image_resize::{Filter, FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
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
    /// Valid pixels.
    pub size: Size,
    /// Allocated pixels; rows follow each other without gaps.
    pub allocated: Size,
    /// Bytes a pixel.
    pub channels: u32,
    /// `allocated.height` rows of `allocated.width * channels` bytes.
    pub data: Vec<u8>,
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

    /// Bytes from one row to the next.
    pub fn stride(&self) -> usize {
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

    /// Resizes exactly 2 : 1 into `half`, whose size is half of this one's, rounded up.
    fn halve_into(&self, half: &mut Self, resizer: &mut Resizer) {
        let pixel_type = if self.channels == 3 {
            PixelType::U8x3
        } else {
            PixelType::U8
        };
        let Size { width, height } = half.size;
        let source = ImageRef::new(
            self.allocated.width,
            self.allocated.height,
            &self.data,
            pixel_type,
        )
        .expect("a plane holds exactly its allocated pixels");
        let mut target = Image::from_slice_u8(
            half.allocated.width,
            half.allocated.height,
            &mut half.data,
            pixel_type,
        )
        .expect("a plane holds exactly its allocated pixels");
        let mut target =
            CroppedImageMut::new(&mut target, 0, 0, width, height).expect("it lies inside");
        let lanczos = Filter::new("Lanczos3 of halving", lanczos_of_halving, 3.0)
            .expect("its radius is positive");
        let options = ResizeOptions::new()
            .crop(0.0, 0.0, f64::from(2 * width), f64::from(2 * height))
            .resize_alg(ResizeAlg::Convolution(FilterType::Custom(lanczos)));
        resizer
            .resize(&source, &mut target, &options)
            .expect("the doubled half lies inside the allocation");
    }
}

/// Lanczos' filter at the places where halving needs it: odd multiples of a quarter.
///
/// The resizer asks for each weight of each row and column anew; sines would take as long as the
/// weighing. And a sine may differ by a bit from one C library to the next, a table does not.
fn lanczos_of_halving(x: f64) -> f64 {
    const AT_ODD_QUARTERS: [f64; 6] = [
        0.890_067_051_710_494_6,
        0.270_189_823_046_234_07,
        -0.132_871_018_365_064_04,
        -0.067_791_335_900_542_9,
        0.030_021_091_449_581_56,
        0.007_355_926_047_194_188,
    ];
    AT_ODD_QUARTERS
        .get((x.abs() * 2.0) as usize)
        .copied()
        .unwrap_or(0.0)
}

/// A decoded image.
#[derive(Clone, Debug)]
pub struct Raster {
    /// Valid pixels.
    pub size: Size,
    /// What the planes are.
    pub layout: Layout,
    /// Minimum coded unit of the encoding it is meant for, in pixels.
    pub mcu_width: u32,
    /// One or three planes.
    pub planes: Vec<Plane>,
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

    /// Width of its encoding: the valid width and its padding.
    pub fn padded_width(&self) -> u32 {
        self.planes[0].allocated.width
    }

    /// Fills the margin of every plane from its last valid column and row.
    pub fn replicate_edges(&mut self) {
        self.planes.iter_mut().for_each(Plane::replicate_edges);
    }

    /// Half the width and height, rounded up, with Lanczos' filter: pixel (x, y) of the result is
    /// centred on the corner that pixels (2x, 2y) to (2x + 1, 2y + 1) share.
    pub fn halved(&self, resizer: &mut Resizer) -> Self {
        let mut half = Self::new(self.size.at_level(1), self.layout, self.mcu_width);
        for (plane, half) in self.planes.iter().zip(&mut half.planes) {
            plane.halve_into(half, resizer);
        }
        half.replicate_edges();
        half
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

    #[test]
    fn a_ramp_stays_a_ramp_when_halved() {
        let size = Size::new(641, 479);
        let pixels: Vec<u8> = (0..size.height)
            .flat_map(|_| (0..size.width).map(|x| (x / 4) as u8))
            .collect();
        let half = Raster::from_pixels(size, Layout::Grey, 8, &pixels).halved(&mut Resizer::new());
        assert_eq!(half.size, Size::new(321, 240));
        let plane = &half.planes[0];
        for x in 4..317 {
            // The centre of level pixel x is frame coordinate 2x + 1; the ramp there is (2x + 0.5)
            // / 4.
            let expected = (2.0 * f64::from(x as u32) + 0.5) / 4.0 - 0.375;
            let value = f64::from(plane.data[100 * plane.stride() + x]);
            assert!((value - expected).abs() <= 1.0, "{x}: {value} {expected}");
        }
    }

    #[test]
    fn the_table_holds_lanczos_filter() {
        let sinc = |x: f64| (x * std::f64::consts::PI).sin() / (x * std::f64::consts::PI);
        for ix in -13..13 {
            let x = f64::from(2 * ix + 1) / 4.0;
            let expected = if x.abs() < 3.0 {
                sinc(x) * sinc(x / 3.0)
            } else {
                0.0
            };
            assert!((lanczos_of_halving(x) - expected).abs() < 1e-15, "{x}");
        }
    }

    #[test]
    fn planes_of_a_half_fit_those_of_its_double() {
        for (width, height) in [(333, 217), (1921, 885), (2, 2), (1, 1), (447, 449)] {
            let mut raster = Raster::new(Size::new(width, height), Layout::Ycc420, 16);
            raster.replicate_edges();
            let half = raster.halved(&mut Resizer::new());
            assert_eq!(half.planes[1].size, half.size.at_level(1));
        }
    }
}
