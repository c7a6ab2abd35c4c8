//! Whole frames at the network's size, decoded on all cores ahead of it.
//!
//! Each comes from the coarsest stored level that suffices, and is made smaller by an antialiased
//! bicubic filter, as the views of training are. Frames of one size form batches; the rest of a row
//! group that fills no batch is padded. Very long frames form smaller batches, so that a batch has at
//! most the pixels of one of frames four times as wide as high.
//!
//! Several ranks take the batches of a row group by turns. The batches are the same for any number of
//! ranks, and so is what a network makes of them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::mpsc::{Receiver, SendError, SyncSender, sync_channel};
use std::thread::Scope;

use anyhow::{Result, anyhow};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use native::Ranks;
use rayon::prelude::*;
use sampler::FrameError;
use sampler::frames::{Frames, Stored};
use sampler::pixels::decode::Decoder;
use schemas::geom::Size;

use super::table::GROUP_ROWS;
use crate::frames::shown_size;

/// Batches that are decoded together, and that wait for the network.
const BATCHES_AHEAD: usize = 4;
const RGB_BYTES: usize = 3;

/// Width over height of the longest frames that still form whole batches.
const LONGEST: i64 = 4;

/// Which pictures to make.
#[derive(Clone, Copy)]
pub(crate) struct Pictures<'a> {
    /// Of these frames, all.
    pub frames: &'a Frames,
    /// About so many pixels high.
    pub height: i64,
    /// Sides are multiples of this.
    pub cell_px: i64,
    /// So many at a time.
    pub batch: usize,
    /// Those that share them.
    pub ranks: &'a Ranks,
}

/// Frames that pass through the network together.
struct Planned {
    size: Size,
    /// Pictures in the batch, those that pad it included.
    count: usize,
    frames: Vec<usize>,
}

/// A decoded batch.
pub(crate) struct Shown {
    /// Size of each picture.
    pub size: Size,
    /// Numbers of the frames in the index.
    pub frames: Vec<usize>,
    /// Why a frame could not be decoded, one entry a frame.
    pub broken: Vec<Option<String>>,
    /// `[count, height, width, 3]`: pictures of the frames, then zeros.
    pub rgb: Vec<u8>,
}

impl<'a> Pictures<'a> {
    /// Starts a thread that decodes this rank's batches, row group by row group. It waits when it is
    /// [`BATCHES_AHEAD`] ahead, and ends when nobody receives any more.
    pub(crate) fn decode_ahead<'s>(self, scope: &'s Scope<'s, '_>) -> Receiver<Result<Shown>>
    where
        'a: 's,
    {
        let (sender, receiver) = sync_channel(BATCHES_AHEAD);
        scope.spawn(move || {
            // An error means that the receiver is gone, and with it the reason to go on.
            let _ = self
                .groups()
                .try_for_each(|group| self.decode_group(group, &sender));
        });
        receiver
    }

    /// Row groups, by the numbers of their frames in the index.
    pub(crate) fn groups(self) -> impl Iterator<Item = Range<usize>> {
        let num_frames = self.frames.index().len();
        (0..num_frames)
            .step_by(GROUP_ROWS)
            .map(move |start| start..num_frames.min(start + GROUP_ROWS))
    }

    /// This rank's batches of a group.
    pub(crate) fn num_batches(&self, group: Range<usize>) -> usize {
        self.plan(group).len()
    }

    fn decode_group(
        &self,
        group: Range<usize>,
        sender: &SyncSender<Result<Shown>>,
    ) -> Result<(), SendError<Result<Shown>>> {
        let planned = self.plan(group);
        let mut parts = planned.chunks(BATCHES_AHEAD).peekable();
        parts
            .peek()
            .into_iter()
            .for_each(|first| self.advise(first));
        while let Some(part) = parts.next() {
            parts.peek().into_iter().for_each(|next| self.advise(next));
            let decoded: Vec<Result<Shown>> =
                part.par_iter().map(|batch| self.decode(batch)).collect();
            decoded
                .into_iter()
                .try_for_each(|shown| sender.send(shown))?;
        }
        Ok(())
    }

    /// This rank's frames by their size as the network sees them, some at a time.
    fn plan(&self, group: Range<usize>) -> Vec<Planned> {
        let mut by_size: BTreeMap<(u32, u32), Vec<usize>> = BTreeMap::new();
        for frame in group {
            let Size { width, height } =
                shown_size(self.frames.index().size(frame), self.height, self.cell_px);
            by_size.entry((height, width)).or_default().push(frame);
        }
        let batches = by_size.iter().flat_map(|(&(height, width), frames)| {
            let size = Size::new(width, height);
            let count = at_a_time(size, self.batch, self.height);
            frames.chunks(count).map(move |frames| Planned {
                size,
                count,
                frames: frames.to_vec(),
            })
        });
        let (rank, size) = (self.ranks.rank(), self.ranks.size());
        batches.skip(rank).step_by(size).collect()
    }

    fn advise(&self, batches: &[Planned]) {
        for batch in batches {
            batch
                .frames
                .iter()
                .for_each(|&frame| self.frames.stored(frame).will_need(batch.size.min_side()));
        }
    }

    fn decode(&self, batch: &Planned) -> Result<Shown> {
        let picture_bytes = RGB_BYTES * batch.size.area() as usize;
        let mut rgb = vec![0; batch.count * picture_bytes];
        let pictures = rgb.par_chunks_exact_mut(picture_bytes).zip(&batch.frames);
        let broken = pictures.map_init(Artist::new, |artist, (picture, &frame)| {
            let artist = artist
                .as_mut()
                .map_err(|error| anyhow!("starting libjpeg-turbo: {error:#}"))?;
            match artist.show(&self.frames.stored(frame), batch.size, picture) {
                Ok(()) => Ok(None),
                Err(FrameError::Set(error)) => Err(error.into()),
                Err(FrameError::Broken(reason)) => Ok(Some(reason.to_string())),
            }
        });
        let broken = broken.collect::<Result<_>>()?;
        Ok(Shown {
            size: batch.size,
            frames: batch.frames.clone(),
            broken,
            rgb,
        })
    }
}

/// Pictures of one size that form a batch, of `batch` at most, whichever others there are.
fn at_a_time(size: Size, batch: usize, height: i64) -> usize {
    let most = batch as u64 * (LONGEST * height * height) as u64;
    (most / size.area()).clamp(1, batch as u64) as usize
}

/// What a thread needs to make pictures.
struct Artist {
    decoder: Decoder,
    resizer: Resizer,
    options: ResizeOptions,
}

impl Artist {
    fn new() -> Result<Self> {
        let options =
            ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
        Ok(Self {
            decoder: Decoder::new()?,
            resizer: Resizer::new(),
            options,
        })
    }

    /// Fills `picture`, RGB of `size`, with the whole frame.
    fn show(
        &mut self,
        frame: &Stored<'_>,
        size: Size,
        picture: &mut [u8],
    ) -> Result<(), FrameError> {
        let region = frame.decode(&mut self.decoder, size.min_side())?;
        let of_frame = ImageRef::new(
            region.size.width,
            region.size.height,
            region.rgb,
            PixelType::U8x3,
        );
        let of_frame = of_frame.expect("a region has three bytes a pixel");
        let shown = Image::from_slice_u8(size.width, size.height, picture, PixelType::U8x3);
        // A level's last pixels may lie half outside of the frame.
        let [x, y, width, height] = region.crop;
        let options = self.options.crop(x, y, width, height);
        let resized = self.resizer.resize(
            &of_frame,
            &mut shown.expect("a picture has its size"),
            &options,
        );
        resized.expect("the frame lies inside of the region");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_frames_form_smaller_batches() {
        for (width, count) in [(384, 32), (1024, 32), (2048, 16), (113_792, 1)] {
            assert_eq!(at_a_time(Size::new(width, 256), 32, 256), count, "{width}");
        }
    }
}
