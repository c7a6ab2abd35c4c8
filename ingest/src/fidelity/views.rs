//! Views of originals and of stored levels, made as a sampler makes them: cut out the pixels that
//! the crop touches, resize with Pillow's antialiased bicubic (a = -1/2), rows before columns.

use std::io;
use std::path::Path;

use fast_image_resize::images::{CroppedImage, Image, ImageRef};
use fast_image_resize::{FilterType, IntoImageView, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::{GenericImage, ImageFormat, Rgb, RgbImage};
use schemas::geom::{Rect, Size};
use schemas::shard::{FrameEntry, ShardReader};

use crate::error::{Defect, Error, Result};
use crate::pyramid;

/// Side of a view in pixels.
pub(crate) const VIEW_PX: u32 = pyramid::MIN_SIDE_PX;

/// The contact sheet shows differences so many times as large as they are.
const DIFFERENCE_GAIN: u8 = 8;

/// One crop as a view, made in two ways: RGB, 224 pixels wide and high.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// From the original image.
    pub original: RgbImage,
    /// From the level that a sampler chooses.
    pub stored: RgbImage,
}

impl Comparison {
    /// Peak signal-to-noise ratio over all channels in decibels. Equal views count as if one sample
    /// differed by one, which is 99.9 dB.
    pub(crate) fn psnr_db(&self) -> f64 {
        let samples = self.original.as_raw().iter().zip(self.stored.as_raw());
        let squared: u64 = samples
            .map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2))
            .sum();
        let mean = squared.max(1) as f64 / self.original.as_raw().len() as f64;
        10.0 * (255.0 * 255.0 / mean).log10()
    }
}

/// Decodes a stored level of a frame, with its padding.
pub(super) fn decode_level(
    shard: &ShardReader,
    row: &FrameEntry,
    level_ix: usize,
) -> Result<RgbImage> {
    let entry = row.levels[level_ix]
        .as_ref()
        .expect("a level is chosen from the stored ones");
    let jpeg = shard.jpeg(entry)?;
    jpeg::decode_rgb(&jpeg).map_err(|Defect { reason, detail }| {
        let advice = format!("run `ingest verify` ({reason}: {detail})");
        Error::input(
            "a stored level of this frame cannot be decoded",
            &row.meta.frame_id,
            advice,
        )
    })
}

/// Makes views of decoded images.
pub(super) struct Viewer {
    resizer: Resizer,
}

impl Viewer {
    pub(super) fn new() -> Self {
        Self {
            resizer: Resizer::new(),
        }
    }

    /// The view of `crop`, in pixels of the frame, from `image`, which is the frame at `level`.
    pub(super) fn view(&mut self, image: &RgbImage, crop: Rect, level: u8) -> RgbImage {
        let touched = crop.at_level(level);
        let scale = f64::from(1u32 << level);
        let [x, y, width, height] =
            [crop.x, crop.y, crop.width, crop.height].map(|value| f64::from(value) / scale);
        let (left, top) = (x - f64::from(touched.x), y - f64::from(touched.y));

        let whole = ImageRef::new(
            image.width(),
            image.height(),
            image.as_raw(),
            PixelType::U8x3,
        );
        let whole = whole.expect("an image holds exactly its pixels");
        let cut = CroppedImage::new(&whole, touched.x, touched.y, touched.width, touched.height);
        let cut = cut.expect("a crop of a frame lies inside each of its levels");
        let rows = f64::from(touched.height);
        let narrow = self.resize(
            &cut,
            [left, 0.0, width, rows],
            Size::new(VIEW_PX, touched.height),
        );
        let view = self.resize(
            &narrow,
            [0.0, top, f64::from(VIEW_PX), height],
            Size::new(VIEW_PX, VIEW_PX),
        );
        RgbImage::from_raw(VIEW_PX, VIEW_PX, view.into_vec())
            .expect("a view has three bytes a pixel")
    }

    /// Resizes the part `[x, y, width, height]` of `source`; a direction in which nothing changes
    /// is left as it is.
    fn resize(
        &mut self,
        source: &impl IntoImageView,
        [x, y, width, height]: [f64; 4],
        size: Size,
    ) -> Image<'static> {
        let options = ResizeOptions::new()
            .crop(x, y, width, height)
            .resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom))
            .use_alpha(false);
        let mut target = Image::new(size.width, size.height, PixelType::U8x3);
        self.resizer
            .resize(source, &mut target, &options)
            .expect("the part lies inside the source");
        target
    }
}

/// Writes a PNG of `comparisons`, one a row: from the original, from the stored level, and their
/// difference from grey, eight times as large.
///
/// # Errors
/// If it cannot be written.
pub fn write_contact_sheet(comparisons: &[Comparison], path: &Path) -> Result<()> {
    let written = contact_sheet(comparisons).save_with_format(path, ImageFormat::Png);
    written.map_err(|error| Error::io("write", path)(io::Error::other(error)))
}

fn contact_sheet(comparisons: &[Comparison]) -> RgbImage {
    let mut sheet = RgbImage::new(3 * VIEW_PX, comparisons.len() as u32 * VIEW_PX);
    for (row, comparison) in comparisons.iter().enumerate() {
        let difference = difference(comparison);
        for (column, view) in [&comparison.original, &comparison.stored, &difference]
            .into_iter()
            .enumerate()
        {
            let (x, y) = (column as u32 * VIEW_PX, row as u32 * VIEW_PX);
            sheet
                .copy_from(view, x, y)
                .expect("the sheet has a place for every view");
        }
    }
    sheet
}

fn difference(comparison: &Comparison) -> RgbImage {
    let amplified = |(&a, &b): (&u8, &u8)| {
        let difference = (i16::from(b) - i16::from(a)) * i16::from(DIFFERENCE_GAIN);
        (128 + difference).clamp(0, 255) as u8
    };
    RgbImage::from_fn(VIEW_PX, VIEW_PX, |x, y| {
        let [a, b] = [&comparison.original, &comparison.stored].map(|view| view.get_pixel(x, y).0);
        Rgb(std::array::from_fn(|channel| {
            amplified((&a[channel], &b[channel]))
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(value: u8) -> RgbImage {
        RgbImage::from_pixel(VIEW_PX, VIEW_PX, Rgb([value; 3]))
    }

    #[test]
    fn psnr_is_that_of_the_mean_squared_difference() {
        let psnr = |a, b| {
            Comparison {
                original: plain(a),
                stored: plain(b),
            }
            .psnr_db()
        };
        assert!((psnr(100, 90) - 28.1308).abs() < 1e-4, "{}", psnr(100, 90));
        assert_eq!(psnr(0, 255), 0.0);
        assert!((psnr(7, 7) - 99.9).abs() < 0.01, "{}", psnr(7, 7));
    }

    /// A ramp of one grey level a pixel stays one when it is resized, so the view's values say
    /// which place each pixel was taken from: the crop's, to a small part of a pixel, at every
    /// level.
    #[test]
    fn views_of_all_levels_show_the_same_place() {
        let crop = Rect::new(13, 7, 190, 225);
        let mut viewer = Viewer::new();
        for level in 0..3u8 {
            let scale = f64::from(1u32 << level);
            let size = Size::new(240, 240).at_level(level);
            let frame_at = |pixel: u32| ((f64::from(pixel) + 0.5) * scale - 0.5).round() as u8;
            let ramp = RgbImage::from_fn(size.width, size.height, |x, y| {
                Rgb([frame_at(x), frame_at(y), 0])
            });
            let view = viewer.view(&ramp, crop, level);
            // Away from the edges, where there is nothing to extrapolate from.
            for at in 30..VIEW_PX - 30 {
                let place = |start: u32, length: u32| {
                    f64::from(start)
                        + (f64::from(at) + 0.5) * f64::from(length) / f64::from(VIEW_PX)
                        - 0.5
                };
                let Rgb([x, y, _]) = *view.get_pixel(at, at);
                let off = [
                    f64::from(x) - place(crop.x, crop.width),
                    f64::from(y) - place(crop.y, crop.height),
                ];
                assert!(
                    off.iter().all(|off| off.abs() < 1.2),
                    "level {level}, pixel {at}: {off:?}"
                );
            }
        }
    }

    #[test]
    fn a_contact_sheet_shows_both_views_and_their_difference() {
        let sheet = contact_sheet(&[Comparison {
            original: plain(100),
            stored: plain(103),
        }]);
        let row = [0, 1, 2].map(|column| sheet.get_pixel(column * VIEW_PX + 5, 5).0[0]);
        assert_eq!(
            (sheet.dimensions(), row),
            ((672, 224), [100, 103, 128 + 24])
        );
    }
}
