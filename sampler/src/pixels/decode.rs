//! From two crops of a frame to the RGB pixels around them.
//!
//! Each crop is decoded from the coarsest stored level at which both of its sides are still a
//! little longer than the view's ([`choose_level`]), and, if there is
//! none, from the finest one. Only the tiles it
//! touches are decoded. When both crops use one level and the box around them costs less than the
//! two apart, that box is decoded once: at IoU >= 0.5 it always does, nearly.
//!
//! A [`Decoder`] belongs to one thread and keeps its buffers: after the largest crop has been seen,
//! the only allocations left are those inside libjpeg-turbo.

use std::time::{Duration, Instant};

use schemas::geom::{Rect, Size, choose_level};
use schemas::index::LevelSlot;
use schemas::tiled::TiledJpeg;
use turbojpeg::{Decompressor, Image, PixelFormat};

use crate::error::{BrokenFrame, FrameError};
use crate::stages::{Clock, Stage, StageTimes};

/// What a decode costs besides its pixels (header, Huffman tables, set-up), as a number of pixels.
const CALL_COST_PX: u64 = 8_000;
/// Bytes of a pixel.
pub(crate) const RGB_BYTES: usize = 3;

/// Where the bytes of a frame's levels are found.
pub trait Levels {
    /// The levels of the set, finest first: level `k` has 1/2^k of the frame's resolution.
    fn numbers(&self) -> &[u8];
    /// Place of a level by its index in [`numbers`](Self::numbers), if it is stored for this frame.
    fn slot(&self, level_ix: usize) -> Option<LevelSlot>;
    /// The bytes at a place; `buffer` is there to hold them if they are not in memory yet.
    fn bytes<'a>(&'a self, slot: LevelSlot, buffer: &'a mut Vec<u8>) -> schemas::Result<&'a [u8]>;

    /// The level (index and number) from which a crop of `crop` pixels is decoded for a view of
    /// `output` pixels; with `exact` the finest one.
    fn choose(&self, crop: Size, output: u32, exact: bool) -> Option<(usize, u8)> {
        let output = if exact { u32::MAX } else { output };
        choose_level(crop, output, self.numbers(), |level_ix| {
            self.slot(level_ix).is_some()
        })
    }
}

/// The pixels of one crop, inside a somewhat larger decoded rectangle.
#[derive(Clone, Copy, Debug)]
pub struct Region<'a> {
    /// Level it was decoded from.
    pub level: u8,
    /// RGB pixels of the decoded rectangle, rows without gaps.
    pub rgb: &'a [u8],
    /// Size of the decoded rectangle.
    pub size: Size,
    /// The crop in pixels of the decoded rectangle: x, y, width, height; fractions where the level
    /// is not 0.
    pub crop: [f64; 4],
}

/// A crop at its level.
#[derive(Clone, Copy, Debug, PartialEq)]
struct LevelCrop {
    level_ix: usize,
    level: u8,
    /// x, y, width, height in level pixels, exact.
    exact: [f64; 4],
    /// The whole pixels it touches.
    touched: Rect,
}

impl LevelCrop {
    fn new(crop: Rect, level_ix: usize, level: u8) -> Self {
        let scale = f64::from(1u32 << level);
        let exact = [crop.x, crop.y, crop.width, crop.height].map(|value| f64::from(value) / scale);
        Self {
            level_ix,
            level,
            exact,
            touched: crop.at_level(level),
        }
    }

    /// A crop of `frame` at the level from which it is decoded.
    fn choose(
        frame: &impl Levels,
        crop: Rect,
        output: u32,
        exact: bool,
    ) -> Result<Self, BrokenFrame> {
        let chosen = frame.choose(crop.size(), output, exact);
        chosen
            .map(|(level_ix, level)| Self::new(crop, level_ix, level))
            .ok_or(BrokenFrame::NoLevel)
    }
}

/// Decodes crops. One for every thread.
#[derive(Debug)]
pub struct Decoder {
    /// Levels of the current frame, where they had to be read.
    fetched: [Vec<u8>; 2],
    last_fetch: Fetched,
    cutter: Cutter,
}

/// What it took to get the bytes of a pair.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fetched {
    /// How long it took.
    pub time: Duration,
    /// How many bytes the levels have.
    pub bytes: usize,
}

/// Cuts rectangles out of levels and decodes them.
#[derive(Debug)]
struct Cutter {
    decompressor: Decompressor,
    jpeg: Vec<u8>,
    rgb: [Vec<u8>; 2],
    bytes_read: u64,
}

impl Decoder {
    /// A decoder with empty buffers.
    ///
    /// # Errors
    /// When libjpeg-turbo has no memory left.
    pub fn new() -> Result<Self, turbojpeg::Error> {
        let cutter = Cutter {
            decompressor: Decompressor::new()?,
            jpeg: Vec::new(),
            rgb: Default::default(),
            bytes_read: 0,
        };
        Ok(Self {
            fetched: Default::default(),
            last_fetch: Fetched::default(),
            cutter,
        })
    }

    /// JPEG bytes cut out and decoded so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.cutter.bytes_read
    }

    /// What the levels of the last pair took.
    pub(crate) fn last_fetch(&self) -> Fetched {
        self.last_fetch
    }

    /// Decodes what two crops (in frame pixels, inside the frame) need for views of `output`
    /// pixels. `exact` uses the finest level in any case.
    ///
    /// # Errors
    /// [`FrameError::Broken`] if the frame's bytes are not what they were when they were ingested,
    /// [`FrameError::Set`] if they cannot be read.
    pub fn decode_pair(
        &mut self,
        frame: &impl Levels,
        crops: [Rect; 2],
        output: u32,
        exact: bool,
        times: &mut StageTimes,
    ) -> Result<[Region<'_>; 2], FrameError> {
        let at_level = |crop: Rect| LevelCrop::choose(frame, crop, output, exact);
        let [a, b] = [at_level(crops[0])?, at_level(crops[1])?];
        let Self {
            fetched: [buffer_a, buffer_b],
            last_fetch,
            cutter,
        } = self;
        let started = Instant::now();
        let bytes_a = fetch(frame, a.level_ix, buffer_a)?;
        let bytes_b = if a.level_ix == b.level_ix {
            bytes_a
        } else {
            fetch(frame, b.level_ix, buffer_b)?
        };
        *last_fetch = Fetched {
            time: started.elapsed(),
            bytes: bytes_a.len().max(bytes_b.len()),
        };
        let jpeg_a = TiledJpeg::parse(bytes_a)?;
        let jpeg_b = if a.level_ix == b.level_ix {
            jpeg_a.clone()
        } else {
            TiledJpeg::parse(bytes_b)?
        };
        times.lap(Stage::Fetch);

        let hull = a.touched.hull(b.touched);
        let shares = a.level_ix == b.level_ix
            && cost(&jpeg_a, hull) <= cost(&jpeg_a, a.touched) + cost(&jpeg_a, b.touched);
        if shares {
            let shown = cutter.decode(&jpeg_a, hull, 0, times)?;
            let rgb = &cutter.rgb[0][..];
            return Ok([region(a, shown, rgb), region(b, shown, rgb)]);
        }
        let shown_a = cutter.decode(&jpeg_a, a.touched, 0, times)?;
        let shown_b = cutter.decode(&jpeg_b, b.touched, 1, times)?;
        Ok([
            region(a, shown_a, &cutter.rgb[0]),
            region(b, shown_b, &cutter.rgb[1]),
        ])
    }

    /// Decodes all of a frame of `size` pixels, from the coarsest stored level that suffices for a
    /// picture whose shorter side has `min_side` pixels.
    ///
    /// # Errors
    /// [`FrameError::Broken`] if the frame's bytes are not what they were when they were ingested,
    /// [`FrameError::Set`] if they cannot be read.
    pub(crate) fn decode_whole(
        &mut self,
        frame: &impl Levels,
        size: Size,
        min_side: u32,
    ) -> Result<Region<'_>, FrameError> {
        let whole = Rect::new(0, 0, size.width, size.height);
        let whole = LevelCrop::choose(frame, whole, min_side, false)?;
        let Self {
            fetched: [buffer, _],
            cutter,
            ..
        } = self;
        let jpeg = TiledJpeg::parse(fetch(frame, whole.level_ix, buffer)?)?;
        let mut untimed = StageTimes::new(Clock::Off);
        let shown = cutter.decode(&jpeg, whole.touched, 0, &mut untimed)?;
        Ok(region(whole, shown, &cutter.rgb[0]))
    }
}

impl Cutter {
    /// Decodes at least `rect` into buffer `buffer_ix` and returns the rectangle that is there.
    fn decode(
        &mut self,
        jpeg: &TiledJpeg<'_>,
        rect: Rect,
        buffer_ix: usize,
        times: &mut StageTimes,
    ) -> Result<Rect, FrameError> {
        let shown = jpeg.cut(rect, &mut self.jpeg)?;
        self.bytes_read += self.jpeg.len() as u64;
        times.lap(Stage::Cut);
        let (width, height) = (shown.width as usize, shown.height as usize);
        let needed = width * height * RGB_BYTES;
        let rgb = &mut self.rgb[buffer_ix];
        if rgb.len() < needed {
            rgb.resize(needed, 0);
        }
        let pixels = &mut rgb[..needed];
        let image = Image {
            pixels,
            width,
            pitch: width * RGB_BYTES,
            height,
            format: PixelFormat::RGB,
        };
        self.decompressor.decompress(&self.jpeg, image)?;
        times.lap(Stage::Decode);
        Ok(shown)
    }
}

fn fetch<'a>(
    frame: &'a impl Levels,
    level_ix: usize,
    buffer: &'a mut Vec<u8>,
) -> Result<&'a [u8], FrameError> {
    let slot = frame.slot(level_ix).ok_or(BrokenFrame::NoLevel)?;
    Ok(frame.bytes(slot, buffer)?)
}

/// Pixels of all tiles that `rect` and its margin touch, and the call.
fn cost(jpeg: &TiledJpeg<'_>, rect: Rect) -> u64 {
    let tile = jpeg.tile();
    let tiles = |start: u32, end: u32, side: u32| {
        u64::from((end + 1).div_ceil(side) - start.saturating_sub(1) / side)
    };
    let columns = tiles(rect.x, rect.right(), tile.width);
    let rows = tiles(rect.y, rect.bottom(), tile.height);
    columns * rows * tile.area() + CALL_COST_PX
}

fn region(crop: LevelCrop, shown: Rect, rgb: &[u8]) -> Region<'_> {
    let [x, y, width, height] = crop.exact;
    Region {
        level: crop.level,
        rgb: &rgb[..shown.size().area() as usize * RGB_BYTES],
        size: shown.size(),
        crop: [
            x - f64::from(shown.x),
            y - f64::from(shown.y),
            width,
            height,
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn touched_pixels_cover_the_crop_and_stay_in_the_level(
            x in 0u32..500, y in 0u32..500, width in 1u32..500, height in 1u32..500, level in 0u8..4,
        ) {
            let crop = LevelCrop::new(Rect::new(x, y, width, height), 0, level);
            let [left, top, exact_width, exact_height] = crop.exact;
            prop_assert!(f64::from(crop.touched.x) <= left && left < f64::from(crop.touched.x + 1));
            prop_assert!(f64::from(crop.touched.y) <= top && top < f64::from(crop.touched.y + 1));
            let (right, bottom) = (left + exact_width, top + exact_height);
            prop_assert!(right <= f64::from(crop.touched.right()) && f64::from(crop.touched.right()) < right + 1.0);
            prop_assert!(bottom <= f64::from(crop.touched.bottom()));
            // The smallest frame that holds the crop ends where the crop ends.
            let frame = Size::new(x + width, y + height).at_level(level);
            prop_assert!(crop.touched.right() <= frame.width && crop.touched.bottom() <= frame.height);
        }
    }
}
