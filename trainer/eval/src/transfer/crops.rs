//! What an image becomes in training: scaled, cropped, mirrored, with its labels; made on all
//! cores, ahead of the step.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use anyhow::{Context, Result, anyhow};
use model::random::{shuffled, stream, unit};
use native::torch;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use schemas::geom::{BoxPx, Size};
use tch::{Device, Kind, Tensor};

use super::config::TransferConfig;
use crate::segmentation::{Dataset, IGNORED, Labelled};

/// Batches that wait while a step computes.
const AHEAD: usize = 2;

/// Where an image is too small for its crop, it is filled with ImageNet's mean colour: zero for the
/// network.
const PADDING: [u8; 3] = [124, 116, 104];

/// One batch of crops, in page-locked memory if it goes to a GPU.
pub(crate) struct Crops {
    /// Bytes `[n, crop, crop, 3]`.
    pixels: Tensor,
    /// Train ids `[n, crop, crop]`, bytes.
    labels: Tensor,
    /// Whether a pixel has a class.
    has_labels: bool,
}

impl Crops {
    /// Whether any pixel has a class.
    pub(crate) fn has_labels(&self) -> bool {
        self.has_labels
    }

    /// Pixels and labels on `device`, as they are. The copies are queued, not waited for: libtorch
    /// keeps page-locked memory until they are done.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub(crate) fn upload(&self, device: Device) -> Result<[Tensor; 2]> {
        let upload = |host: &Tensor| {
            host.f_to_device_(device, Kind::Uint8, true, false)
                .map_err(torch)
        };
        Ok([upload(&self.pixels)?, upload(&self.labels)?])
    }

    fn pinned_for(self, device: Device) -> Result<Self> {
        if !device.is_cuda() {
            return Ok(self);
        }
        let pinned = |host: Tensor| host.f_pin_memory(device).map_err(torch);
        Ok(Self {
            pixels: pinned(self.pixels)?,
            labels: pinned(self.labels)?,
            has_labels: self.has_labels,
        })
    }
}

/// A crop: pixels and train ids, row by row.
type Crop = (Vec<u8>, Vec<u8>);

/// The batches of iterations `from..`, in order: a function of seed and iteration alone.
pub(crate) struct Loader {
    batches: Receiver<Result<Crops>>,
}

impl Loader {
    /// Starts to load for `device`; ends when it is dropped or an image cannot be read.
    pub(crate) fn start(set: &Dataset, config: &TransferConfig, from: u64, device: Device) -> Self {
        let (sender, batches) = sync_channel(AHEAD);
        let (set, config) = (Arc::new(set.clone()), config.clone());
        thread::spawn(move || {
            for iteration in from..config.iterations {
                let batch =
                    load(&set, &config, iteration).and_then(|crops| crops.pinned_for(device));
                let failed = batch.is_err();
                if sender.send(batch).is_err() || failed {
                    return;
                }
            }
        });
        Self { batches }
    }

    /// The next batch.
    ///
    /// # Errors
    /// If an image cannot be read.
    pub(crate) fn next_batch(&self) -> Result<Crops> {
        self.batches
            .recv()
            .map_err(|_| anyhow!("the loader has ended"))?
            .context("loading a batch")
    }
}

fn load(set: &Dataset, config: &TransferConfig, iteration: u64) -> Result<Crops> {
    let first = iteration * config.batch;
    let crops = (first..first + config.batch).into_par_iter().map(|number| {
        let sample = &set.samples()[place(number, set.len(), config.seed)];
        let mut rng = stream(config.seed, 1 + number);
        Ok(crop(&sample.load()?, config, &mut rng))
    });
    let crops: Vec<Crop> = crops.collect::<Result<_>>()?;
    let side = i64::from(config.crop_px);
    let pixels: Vec<Tensor> = crops
        .iter()
        .map(|(pixels, _)| Tensor::from_slice(pixels))
        .collect();
    let labels: Vec<Tensor> = crops
        .iter()
        .map(|(_, labels)| Tensor::from_slice(labels))
        .collect();
    let is_class = |label: &u8| *label != IGNORED;
    Ok(Crops {
        has_labels: crops.iter().any(|(_, labels)| labels.iter().any(is_class)),
        pixels: Tensor::stack(&pixels, 0).view([-1, side, side, 3]),
        labels: Tensor::stack(&labels, 0).view([-1, side, side]),
    })
}

/// Which of `len` samples is the `number`-th to be seen: each epoch is a permutation of its own.
fn place(number: u64, len: usize, seed: u64) -> usize {
    let (epoch, position) = (number / len as u64, (number % len as u64) as usize);
    shuffled(
        len,
        position + 1,
        &mut stream(seed ^ 0x5EED_0F0E_90C5, epoch),
    )[position]
}

/// Scales by a random factor, crops at a random place, mirrors half of the time. Only what the crop
/// shows is resized.
fn crop(pair: &Labelled, config: &TransferConfig, rng: &mut ChaCha8Rng) -> Crop {
    let [low, high] = config.scale;
    let factor = low + (high - low) * unit(rng);
    let size = pair.image.size();
    let across = Span::draw(size.width, factor, config.crop_px, rng);
    let down = Span::draw(size.height, factor, config.crop_px, rng);
    let mirrored = unit(rng) < 0.5;

    let area = BoxPx::from_xywh(
        across.start as f32,
        down.start as f32,
        across.len as f32,
        down.len as f32,
    );
    let shown = pair
        .image
        .part(area)
        .resized(Size::new(across.shown, down.shown));
    let side = config.crop_px as usize;
    let mut pixels = PADDING.repeat(side * side);
    let mut labels = vec![IGNORED; side * side];
    for y in 0..down.shown as usize {
        let source_row = down.source(y) * size.width as usize;
        for x in 0..across.shown as usize {
            let to = y * side + if mirrored { side - 1 - x } else { x };
            let from = (y * across.shown as usize + x) * 3;
            pixels[3 * to..3 * to + 3].copy_from_slice(&shown.rgb()[from..from + 3]);
            labels[to] = pair.labels[source_row + across.source(x)];
        }
    }
    (pixels, labels)
}

/// One axis of a crop: source pixels `start..start + len` become `shown` pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: u32,
    len: u32,
    shown: u32,
}

impl Span {
    fn draw(source: u32, factor: f64, crop: u32, rng: &mut ChaCha8Rng) -> Self {
        let scaled = (f64::from(source) * factor).round().max(1.0);
        let shown = scaled.min(f64::from(crop));
        let len = (shown / scaled * f64::from(source))
            .round()
            .clamp(1.0, f64::from(source)) as u32;
        let start = (unit(rng) * f64::from(source - len + 1)) as u32;
        Self {
            start: start.min(source - len),
            len,
            shown: shown as u32,
        }
    }

    /// The source pixel under the centre of a shown one.
    fn source(self, shown: usize) -> usize {
        let offset = (2 * shown + 1) * self.len as usize / (2 * self.shown as usize);
        self.start as usize + offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use draw::Canvas;

    fn config() -> TransferConfig {
        TransferConfig {
            crop_px: 40,
            ..TransferConfig::default()
        }
    }

    #[test]
    fn pixels_and_labels_stay_together() {
        // The label of a pixel is its colour divided by ten: a picture of vertical stripes, each 16
        // pixels wide.
        let size = Size::new(96, 64);
        let labels: Vec<u8> = (0..64 * 96).map(|ix| (ix % 96 / 16) as u8).collect();
        let rgb: Vec<u8> = labels.iter().flat_map(|&label| [10 * label; 3]).collect();
        let pair = Labelled {
            image: Canvas::from_rgb(size, &rgb),
            labels,
        };
        for number in 0..200 {
            let (pixels, labels) = crop(&pair, &config(), &mut stream(3, number));
            let known = labels
                .iter()
                .enumerate()
                .filter(|(_, label)| **label != IGNORED);
            let off = known
                .clone()
                .filter(|(ix, label)| pixels[3 * ix].abs_diff(10 * **label) > 5)
                .count();
            let num = known.count();
            assert!(
                num >= 32 * 40 && off * 10 < num,
                "crop {number}: {off} of {num} pixels have another label"
            );
        }
    }

    #[test]
    fn small_images_are_padded_and_ignored_there() {
        let pair = Labelled {
            image: Canvas::new(Size::new(10, 12), [9; 3]),
            labels: vec![4; 120],
        };
        let config = TransferConfig {
            scale: [1.0, 1.0],
            ..config()
        };
        let (pixels, labels) = crop(&pair, &config, &mut stream(1, 1));
        assert_eq!(labels.iter().filter(|&&label| label == 4).count(), 120);
        let padded = labels.iter().position(|&label| label == IGNORED).unwrap();
        assert_eq!(pixels[3 * padded..3 * padded + 3], PADDING);
    }

    #[test]
    fn an_epoch_shows_every_image_once_in_another_order() {
        let epoch = |epoch: u64| {
            (0..50)
                .map(|n| place(epoch * 50 + n, 50, 7))
                .collect::<Vec<_>>()
        };
        for order in [epoch(0), epoch(1)] {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..50).collect::<Vec<_>>());
        }
        assert_ne!(epoch(0), epoch(1));
    }
}
