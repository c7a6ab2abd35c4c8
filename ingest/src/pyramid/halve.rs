//! From one level to the next: half the width and height.

use fast_image_resize::images::{CroppedImageMut, Image, ImageRef};
use fast_image_resize::{Filter, FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use jpeg::{Plane, Raster};
use schemas::geom::Size;

/// `raster` at half the width and height, rounded up, with Lanczos' filter: pixel (x, y) of the
/// result is centred on the corner that pixels (2x, 2y) to (2x + 1, 2y + 1) share.
pub(super) fn halved(raster: &Raster, resizer: &mut Resizer) -> Raster {
    let mut half = Raster::new(
        raster.size().at_level(1),
        raster.layout(),
        raster.mcu_width(),
    );
    for (ix, plane) in raster.planes().iter().enumerate() {
        let (size, allocated) = (half.planes()[ix].size(), half.planes()[ix].allocated());
        let pixel_type = pixel_type(plane);
        let target = Image::from_slice_u8(
            allocated.width,
            allocated.height,
            half.samples_mut(ix),
            pixel_type,
        );
        let target = target.expect("a plane holds exactly its allocated pixels");
        halve_into(plane, target, size, resizer);
    }
    half.replicate_edges();
    half
}

/// Resizes `plane` exactly 2 : 1 to the first `size` pixels of `half`.
fn halve_into(plane: &Plane, mut half: Image<'_>, size: Size, resizer: &mut Resizer) {
    let Size { width, height } = plane.allocated();
    let source = ImageRef::new(width, height, plane.samples(), pixel_type(plane))
        .expect("a plane holds exactly its allocated pixels");
    let Size { width, height } = size;
    let mut half = CroppedImageMut::new(&mut half, 0, 0, width, height).expect("it lies inside");
    let lanczos = Filter::new("Lanczos3 of halving", lanczos_of_halving, 3.0)
        .expect("its radius is positive");
    let options = ResizeOptions::new()
        .crop(0.0, 0.0, f64::from(2 * width), f64::from(2 * height))
        .resize_alg(ResizeAlg::Convolution(FilterType::Custom(lanczos)));
    resizer
        .resize(&source, &mut half, &options)
        .expect("the doubled half lies inside the allocation");
}

fn pixel_type(plane: &Plane) -> PixelType {
    if plane.channels() == 3 {
        PixelType::U8x3
    } else {
        PixelType::U8
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

#[cfg(test)]
mod tests {
    use jpeg::Layout;

    use super::*;

    #[test]
    fn a_ramp_stays_a_ramp_when_halved() {
        let size = Size::new(641, 479);
        let pixels: Vec<u8> = (0..size.height)
            .flat_map(|_| (0..size.width).map(|x| (x / 4) as u8))
            .collect();
        let full = Raster::from_pixels(size, Layout::Grey, 8, &pixels);
        let half = halved(&full, &mut Resizer::new());
        assert_eq!(half.size(), Size::new(321, 240));
        let plane = &half.planes()[0];
        let stride = plane.allocated().width as usize;
        for x in 4..317 {
            // The centre of level pixel x is frame coordinate 2x + 1; the ramp there is (2x + 0.5)
            // / 4.
            let expected = (2.0 * f64::from(x as u32) + 0.5) / 4.0 - 0.375;
            let value = f64::from(plane.samples()[100 * stride + x]);
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
            let half = halved(&raster, &mut Resizer::new());
            assert_eq!(half.planes()[1].size(), half.size().at_level(1));
        }
    }
}
