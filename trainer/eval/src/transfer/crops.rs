//! What an image becomes in training: scaled, cropped, mirrored, with its labels; made on all
//! cores, ahead of the step.

use std::ops::Range;
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
    /// How many pixels have a class.
    labelled: i64,
}

impl Crops {
    /// How many pixels have a class.
    pub(crate) fn labelled(&self) -> i64 {
        self.labelled
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
            labelled: self.labelled,
        })
    }
}

/// A crop: pixels and train ids, row by row.
type Crop = (Vec<u8>, Vec<u8>);

/// A share of the batches of iterations `from..`, in order: a function of seed, iteration and place in
/// the batch alone.
pub(crate) struct Loader {
    batches: Receiver<Result<Crops>>,
}

impl Loader {
    /// Starts to load the crops `share` of each batch for `device`; ends when it is dropped or an image
    /// cannot be read.
    pub(crate) fn start(
        set: &Dataset,
        config: &TransferConfig,
        (from, share): (u64, Range<u64>),
        device: Device,
    ) -> Self {
        let (sender, batches) = sync_channel(AHEAD);
        let (set, config) = (Arc::new(set.clone()), config.clone());
        thread::spawn(move || {
            for iteration in from..config.iterations {
                let first = iteration * config.batch;
                let numbers = first + share.start..first + share.end;
                let batch = load(&set, &config, numbers).and_then(|crops| crops.pinned_for(device));
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

fn load(set: &Dataset, config: &TransferConfig, numbers: Range<u64>) -> Result<Crops> {
    let crops = numbers.into_par_iter().map(|number| {
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
    let is_class = |label: &&u8| **label != IGNORED;
    let of_crop = |(_, labels): &Crop| labels.iter().filter(is_class).count();
    let labelled = crops.iter().map(of_crop);
    Ok(Crops {
        labelled: labelled.sum::<usize>() as i64,
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
    use crate::segmentation::Unlabelled;
    use draw::Canvas;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn config() -> TransferConfig {
        TransferConfig {
            crop_px: 40,
            ..TransferConfig::default()
        }
    }

    /// A picture of tiles of so many pixels, whose labels grow by one to the right and down. The
    /// label of a pixel is its colour divided by ten.
    fn tiles(size: Size, px: u32) -> Labelled {
        let tile = |ix: u32| (ix % size.width) / px + ix / size.width / px;
        let labels: Vec<u8> = (0..size.width * size.height)
            .map(|ix| tile(ix) as u8)
            .collect();
        let rgb: Vec<u8> = labels.iter().flat_map(|&label| [10 * label; 3]).collect();
        Labelled {
            image: Canvas::from_rgb(size, &rgb),
            labels,
        }
    }

    /// Two pictures of [`tiles`] as a set in `dir`; all pixels of each have one label.
    fn set(dir: &Path, labels: [u8; 2]) -> Dataset {
        for (name, label) in ["a", "b"].into_iter().zip(labels) {
            let size = Size::new(192, 144);
            let pair = tiles(size, 24);
            let in_split = |ending: &str| dir.join(format!("train/{name}{ending}.png"));
            std::fs::create_dir_all(dir.join("train")).unwrap();
            pair.image.save(&in_split("")).unwrap();
            image::GrayImage::from_pixel(size.width, size.height, image::Luma([label]))
                .save(in_split("_labelTrainIds"))
                .unwrap();
        }
        Dataset::open(dir, "train", Unlabelled::Refuse).unwrap()
    }

    fn batches(set: &Dataset, batch: u64, iterations: u64, share: Range<u64>) -> Vec<Crops> {
        let config = TransferConfig {
            batch,
            iterations,
            // Every crop shows the border between two tiles.
            scale: [0.5, 0.6],
            ..config()
        };
        let loader = Loader::start(set, &config, (0, share), Device::Cpu);
        let all = (0..iterations)
            .map(|_| loader.next_batch().unwrap())
            .collect();
        assert!(loader.next_batch().is_err(), "there are no more");
        all
    }

    #[test]
    fn a_batch_goes_on_where_the_last_one_ended() {
        let dir = tempfile::tempdir().unwrap();
        let set = set(dir.path(), [3, 5]);
        let joined = |batches: &[Crops]| {
            let all = |of: fn(&Crops) -> &Tensor| {
                Tensor::cat(&batches.iter().map(of).collect::<Vec<_>>(), 0)
            };
            (all(|crops| &crops.pixels), all(|crops| &crops.labels))
        };
        let (pixels, labels) = joined(&batches(&set, 2, 3, 0..2));
        assert_eq!(pixels.size(), [6, 40, 40, 3]);
        assert_eq!(labels.size(), [6, 40, 40]);
        let whole = batches(&set, 6, 1, 0..6);
        assert_eq!((pixels.copy(), labels.copy()), joined(&whole));
        // Crops 1 and 2, then 4 and 5.
        let (of_share, _) = joined(&batches(&set, 3, 2, 1..3));
        let expected = pixels.index_select(0, &Tensor::from_slice(&[1_i64, 2, 4, 5]));
        assert_eq!(of_share, expected);
        // Three epochs of two images: each label is in three crops, and no crop is another one.
        let means = labels
            .to_kind(Kind::Double)
            .mean_dim([1, 2].as_slice(), false, None::<Kind>);
        let mut means = Vec::<f64>::try_from(means).unwrap();
        means.sort_by(f64::total_cmp);
        assert_eq!(means, [3.0, 3.0, 3.0, 5.0, 5.0, 5.0]);
        for (a, b) in (0..6).flat_map(|a| (0..a).map(move |b| (a, b))) {
            assert_ne!(pixels.get(a), pixels.get(b), "crops {a} and {b}");
        }
    }

    #[test]
    fn a_batch_knows_how_many_pixels_have_a_class() {
        for (labels, expected) in [([3, IGNORED], 1600), ([IGNORED; 2], 0)] {
            let dir = tempfile::tempdir().unwrap();
            let batches = batches(&set(dir.path(), labels), 2, 1, 0..2);
            assert_eq!(batches[0].labelled(), expected, "{labels:?}");
        }
    }

    #[test]
    fn crops_lie_anywhere_in_the_image_and_nowhere_beyond() {
        let mut rng = stream(5, 5);
        let spans: Vec<Span> = (0..400)
            .map(|_| Span::draw(20, 1.0, 12, &mut rng))
            .collect();
        let starts: BTreeSet<u32> = spans.iter().map(|span| span.start).collect();
        assert_eq!(starts, (0..=8).collect());
        assert!(spans.iter().all(|span| (span.len, span.shown) == (12, 12)));
        // Half the size: 24 source pixels for 12.
        let half = Span::draw(30, 0.5, 12, &mut rng);
        assert_eq!((half.len, half.shown), (24, 12));
        assert!(half.start <= 6);
        // Too small for the crop: all of it.
        let small = Span::draw(5, 2.0, 12, &mut rng);
        assert_eq!((small.start, small.len, small.shown), (0, 5, 10));
        let under: Vec<usize> = (0..10).map(|shown| small.source(shown)).collect();
        assert_eq!(under, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
    }

    #[test]
    fn pixels_and_labels_stay_together() {
        let pair = tiles(Size::new(192, 144), 24);
        let mut mirrored = 0;
        for number in 0..200 {
            let (pixels, labels) = crop(&pair, &config(), &mut stream(3, number));
            let shifted = labels.iter().zip(pixels.chunks_exact(3));
            let off = shifted.filter(|(label, rgb)| rgb[0].abs_diff(10 * **label) > 5);
            // Of labels one pixel away from theirs it would be 7 % and more.
            assert!(off.count() * 20 < 40 * 40, "crop {number}");
            assert!(!labels.contains(&IGNORED), "crop {number}");
            mirrored += usize::from(labels[0] > labels[39]);
        }
        assert!(
            (70..130).contains(&mirrored),
            "{mirrored} of 200 are mirrored"
        );
    }

    #[test]
    fn padding_lies_beside_the_picture_and_below() {
        let pair = tiles(Size::new(30, 20), 6);
        let config = TransferConfig {
            scale: [1.0, 1.0],
            ..config()
        };
        let is_mirrored = |number: u64| {
            let (pixels, labels) = crop(&pair, &config, &mut stream(3, number));
            let mirrored = labels[0] == IGNORED;
            for (ix, (label, rgb)) in labels.iter().zip(pixels.chunks_exact(3)).enumerate() {
                let (x, y) = (if mirrored { 39 - ix % 40 } else { ix % 40 }, ix / 40);
                let expected = match x < 30 && y < 20 {
                    true => (pair.labels[y * 30 + x], [10 * pair.labels[y * 30 + x]; 3]),
                    false => (IGNORED, PADDING),
                };
                assert_eq!((*label, rgb), (expected.0, &expected.1[..]), "{x}, {y}");
            }
            mirrored
        };
        let mirrored = (0..20).filter(|&number| is_mirrored(number)).count();
        assert!((1..20).contains(&mirrored), "both are seen");
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
