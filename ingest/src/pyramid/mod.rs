//! One image file -> its tile-addressable levels.
//!
//! Level 0 of an 8-bit YCbCr or grey JPEG is the original's own DCT coefficients, transcoded;
//! anything else (CMYK, RGB, more bits, unfinished scans, rotated by EXIF or XMP, PNG) is encoded again. Level k has
//! `ceil(frame / 2^k)` pixels with replicated edges, so `level_xy = frame_xy / 2^k` holds exactly.
//! A half comes out of the JPEG decoder, which reduces each block's DCT; every further level is the
//! one before it, halved with Lanczos' filter. Between 4:2:0 and 4:2:0 nothing is converted: luma
//! and chroma are reduced as they are.
//!
//! Pure: the same bytes and settings give the same levels on any thread.

mod halve;
mod large_images;
#[cfg(test)]
mod tests;

use fast_image_resize::Resizer;
use image::DynamicImage;
use jpeg::{Defect, Encoder, Format, Jpeg, Layout, Png, Raster, Restart, Transcoder, UNFINISHED};
use schemas::frame::{Encoding, LevelImage};
use schemas::geom::Size;
use schemas::shard::{Chroma, Settings};
use schemas::tiled::{embed_index, restart_interval};

use crate::cpu_time::{Stage, lap};
use halve::halved;
use large_images::Permit;

/// Levels above 0 whose shorter side would be less than this are not stored: a view needs so many
/// pixels.
pub(crate) const MIN_SIDE_PX: u32 = 224;

/// Scratch memory of the resizer that is kept from one image to the next: enough for ordinary
/// photographs.
const MAX_SCRATCH_BYTES: usize = 32 << 20;

/// The stored resolutions of one frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pyramid {
    /// Size of level 0.
    pub size: Size,
    /// One entry per level of the settings.
    pub levels: Vec<Option<LevelImage>>,
}

/// Makes pyramids, one after the other; every thread has its own.
pub struct Builder {
    settings: Settings,
    encoder: Encoder,
    resizer: Resizer,
}

impl Builder {
    /// A builder of the levels that `settings` asks for.
    pub fn new(settings: &Settings) -> Self {
        Self {
            settings: settings.clone(),
            encoder: Encoder::new(),
            resizer: Resizer::new(),
        }
    }

    /// Makes the levels of the image file `bytes`.
    ///
    /// # Errors
    /// [`Defect`] if it cannot be decoded without damage, is too large, or too small for any level
    /// of the settings.
    pub fn build(&mut self, bytes: &[u8]) -> Result<Pyramid, Defect> {
        match Format::of(bytes)? {
            Format::Jpeg => self.build_from_jpeg(bytes),
            Format::Png => {
                let png = Png::open(bytes, self.settings.max_pixels)?;
                let _permit = Permit::wait_for(png.size());
                self.build_from_image(png.decode()?)
            }
        }
    }

    fn build_from_jpeg(&mut self, bytes: &[u8]) -> Result<Pyramid, Defect> {
        let jpeg = Jpeg::open(bytes, self.settings.max_pixels)?;
        lap(Stage::Parse);
        let _permit = Permit::wait_for(jpeg.size());
        if !jpeg.can_be_transcoded() {
            return self.build_from_image(jpeg.decode()?);
        }
        match self.build_from_coefficients(&jpeg) {
            Err(defect) if defect.reason == UNFINISHED => self.build_from_image(jpeg.decode()?),
            pyramid => pyramid,
        }
    }

    fn build_from_coefficients(&mut self, jpeg: &Jpeg<'_>) -> Result<Pyramid, Defect> {
        let mut pyramid = self.empty(jpeg.size())?;
        let mut transcoder = jpeg.transcoder()?;
        let half = match self.last_level(jpeg.size()) {
            0 => None,
            _ => Some(self.decode_half(&mut transcoder, jpeg)?),
        };
        if let Some(ix) = self.level_ix(0) {
            pyramid.levels[ix] = Some(self.transcode(transcoder, jpeg)?);
        }
        if let Some(half) = half {
            self.add_reduced(half, &mut pyramid)?;
        }
        Ok(pyramid)
    }

    fn build_from_image(&mut self, image: DynamicImage) -> Result<Pyramid, Defect> {
        let full = Raster::from_image(&image, self.mcu_width(image.color().has_color()));
        drop(image);
        lap(Stage::Decode);
        let mut pyramid = self.empty(full.size())?;
        if let Some(ix) = self.level_ix(0) {
            pyramid.levels[ix] = Some(self.encode(&full)?);
        }
        if self.last_level(full.size()) >= 1 {
            let half = self.halve(&full);
            self.add_reduced(half, &mut pyramid)?;
        }
        Ok(pyramid)
    }

    /// Adds level 1, which `half` shows, and all further ones.
    fn add_reduced(&mut self, half: Raster, pyramid: &mut Pyramid) -> Result<(), Defect> {
        let mut raster = half;
        let last = self.last_level(pyramid.size);
        for level in 1..=last {
            if let Some(ix) = self.level_ix(level) {
                pyramid.levels[ix] = Some(self.encode(&raster)?);
            }
            if level < last {
                raster = self.halve(&raster);
            }
        }
        Ok(())
    }

    fn transcode(
        &mut self,
        transcoder: Transcoder<'_>,
        jpeg: &Jpeg<'_>,
    ) -> Result<LevelImage, Defect> {
        let (size, mcu_width) = (jpeg.size(), jpeg.mcu_width());
        let restart = Restart(restart_interval(size.width.div_ceil(mcu_width), mcu_width));
        let transcoded = self.encoder.transcode(transcoder, size, restart)?;
        let level = LevelImage {
            jpeg: indexed(transcoded)?,
            size,
            encoding: Encoding::Lossless,
        };
        lap(Stage::Transcode);
        Ok(level)
    }

    fn decode_half(
        &self,
        transcoder: &mut Transcoder<'_>,
        jpeg: &Jpeg<'_>,
    ) -> Result<Raster, Defect> {
        let layout = if jpeg.is_grey() {
            Layout::Grey
        } else if jpeg.is_420() && self.settings.chroma == Chroma::C420 {
            Layout::Ycc420
        } else {
            Layout::Rgb
        };
        let mcu_width = self.mcu_width(layout != Layout::Grey);
        let mut half = Raster::new(jpeg.size().at_level(1), layout, mcu_width);
        transcoder.decode_half(&mut half)?;
        lap(Stage::Decode);
        Ok(half)
    }

    fn halve(&mut self, raster: &Raster) -> Raster {
        let half = halved(raster, &mut self.resizer);
        if self.resizer.size_of_internal_buffers() > MAX_SCRATCH_BYTES {
            self.resizer.reset_internal_buffers();
        }
        lap(Stage::Resize);
        half
    }

    fn encode(&mut self, raster: &Raster) -> Result<LevelImage, Defect> {
        let quality = self.settings.quality;
        let mcus_per_row = raster.padded_width() / raster.mcu_width();
        let restart = Restart(restart_interval(mcus_per_row, raster.mcu_width()));
        let has_full_chroma = self.settings.chroma == Chroma::C444;
        let encoded = self
            .encoder
            .encode(raster, quality, has_full_chroma, restart)?;
        let level = LevelImage {
            jpeg: indexed(encoded)?,
            size: raster.size(),
            encoding: Encoding::Quality(quality),
        };
        lap(Stage::Encode);
        Ok(level)
    }

    /// A pyramid without images yet.
    fn empty(&self, size: Size) -> Result<Pyramid, Defect> {
        let last = self.last_level(size);
        if !self.settings.levels.iter().any(|&level| level <= last) {
            let detail = format!(
                "{size} pixels are too few for any of the levels {:?}",
                self.settings.levels
            );
            return Err(Defect::new("too-small", detail));
        }
        Ok(Pyramid {
            size,
            levels: vec![None; self.settings.levels.len()],
        })
    }

    /// The coarsest level of the settings that a frame of `size` is large enough for; 0 if none.
    fn last_level(&self, size: Size) -> u8 {
        let is_large_enough =
            |level: u8| u64::from(size.min_side()) >= u64::from(MIN_SIDE_PX) << level;
        self.settings
            .levels
            .iter()
            .copied()
            .filter(|&level| is_large_enough(level))
            .max()
            .unwrap_or(0)
    }

    fn level_ix(&self, level: u8) -> Option<usize> {
        self.settings.levels.iter().position(|&l| l == level)
    }

    /// MCU width of what this builder encodes.
    fn mcu_width(&self, has_color: bool) -> u32 {
        if has_color && self.settings.chroma == Chroma::C420 {
            16
        } else {
            8
        }
    }
}

fn indexed(jpeg: &[u8]) -> Result<Vec<u8>, Defect> {
    embed_index(jpeg).map_err(|error| Defect::new("untileable-jpeg", error.to_string()))
}
