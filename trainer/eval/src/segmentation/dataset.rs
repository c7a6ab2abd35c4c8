//! The labelled images of a split: found, listed, decoded.
//!
//! An image without a label picture is an error unless the user says that it may be left out: what
//! is scored has to be what the user believes is scored. Images are turned upright; label pictures
//! are drawn on upright ones.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use console::usage;
use draw::Canvas;
use schemas::geom::Size;

use super::classes::{Coding, IGNORED};
use super::labels;
use super::layout::Layout;

/// Blocks of neighbours in which samples are held out.
const HOLDOUT_BLOCKS: usize = 5;

/// What becomes of an image without a label picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlabelled {
    /// All of them are listed in an error.
    Refuse,
    /// It is left out, and counted.
    Skip,
}

impl Unlabelled {
    /// What a user asks for.
    pub fn of(may_skip: bool) -> Self {
        if may_skip { Self::Skip } else { Self::Refuse }
    }
}

/// One split of a set, sorted by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    samples: Vec<Sample>,
    unlabelled: usize,
}

/// Where one image and its labels lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The image, PNG or JPEG.
    pub image: PathBuf,
    /// The label picture, PNG.
    pub label: PathBuf,
    coding: Coding,
}

/// An image and its labels, decoded.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// The image.
    pub image: Canvas,
    /// Train id of every pixel, row by row; 255 is ignored.
    pub labels: Vec<u8>,
}

impl Dataset {
    /// Finds the images of `split` (`train`, `val`) below `dir` and the label picture of each.
    ///
    /// # Errors
    /// If `dir` has none of the layouts, the split is empty, or images have no label picture and may
    /// not be left out.
    pub fn open(dir: &Path, split: &str, unlabelled: Unlabelled) -> Result<Self> {
        let layout = Layout::find(dir, split)?;
        let (mut samples, mut lacking) = (Vec::new(), Vec::new());
        for image in layout.list()? {
            match layout.label(&image) {
                Some((label, coding)) => samples.push(Sample {
                    image,
                    label,
                    coding,
                }),
                None => lacking.push(image),
            }
        }
        match (samples.is_empty(), lacking.is_empty(), unlabelled) {
            (true, true, _) => Err(usage(format!(
                "{:?} holds no PNG or JPEG images of the split {split:?}",
                layout.images()
            ))),
            (true, false, _) => Err(usage(format!(
                "none of the {} images in {:?} has a label picture in {:?}",
                lacking.len(),
                layout.images(),
                layout.labels()
            ))),
            (false, false, Unlabelled::Refuse) => Err(usage(format!(
                "{} of {} images have no label picture in {:?}: {}; add them, or leave the images out with \
                 --skip-unlabelled (beside a run: probe.skip_unlabelled=true)",
                lacking.len(),
                lacking.len() + samples.len(),
                layout.labels(),
                listed(&lacking, layout.images())
            ))),
            _ => Ok(Self {
                samples,
                unlabelled: lacking.len(),
            }),
        }
    }

    /// The samples in order.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Names of the images without their folders, which may lie elsewhere on each machine.
    pub(crate) fn names(&self) -> Vec<&OsStr> {
        let names = self.samples.iter().map(|sample| sample.image.file_name());
        names.flatten().collect()
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Images of the split that were left out because they have no label picture.
    pub fn unlabelled(&self) -> usize {
        self.unlabelled
    }

    /// The first `count` samples.
    pub fn first(&self, count: usize) -> Self {
        self.of(self.samples[..count.min(self.len())].to_vec())
    }

    /// Refuses samples of which no pixel has a class: a score of them would be one of nothing. Reads
    /// label pictures up to the first that has one.
    ///
    /// # Errors
    /// If that is so, or a label picture cannot be read.
    pub fn check_labels(&self) -> Result<()> {
        for sample in &self.samples {
            let (_, labels) = sample.labels()?;
            if labels.iter().any(|&label| label != IGNORED) {
                return Ok(());
            }
        }
        let first = self.samples.first().context("a split has images")?;
        Err(usage(format!(
            "no pixel of {} label pictures has a class, all are ignored (255): the first is {:?}",
            self.len(),
            first.label
        )))
    }

    /// Takes `count` samples out in five blocks of neighbours, evenly spread: (the others, those).
    /// Blocks, because neighbours in a drive look alike, and a sample whose neighbour is trained on
    /// is no test.
    pub(crate) fn hold_out(&self, count: usize) -> (Self, Self) {
        let blocks = HOLDOUT_BLOCKS.min(count.max(1));
        let is_held = |ix: usize| {
            let block = ix * blocks / self.len();
            let start = block * self.len() / blocks;
            let size = (block + 1) * count / blocks - block * count / blocks;
            ix - start < size
        };
        let (held, others) = (0..self.len()).partition::<Vec<usize>, _>(|&ix| is_held(ix));
        let of = |chosen: Vec<usize>| {
            self.of(chosen
                .into_iter()
                .map(|ix| self.samples[ix].clone())
                .collect())
        };
        let held = of(held);
        (
            of(others),
            Self {
                unlabelled: 0,
                ..held
            },
        )
    }

    fn of(&self, samples: Vec<Sample>) -> Self {
        Self {
            samples,
            unlabelled: self.unlabelled,
        }
    }
}

/// Paths below `folder`, in one line.
fn listed(paths: &[PathBuf], folder: &Path) -> String {
    let names = paths.iter().map(|path| {
        let name = path.strip_prefix(folder).unwrap_or(path);
        name.display().to_string()
    });
    names.collect::<Vec<_>>().join(", ")
}

impl Sample {
    /// Reads both pictures.
    ///
    /// # Errors
    /// If one cannot be read, they differ in size, or a label is none of its coding.
    pub fn load(&self) -> Result<Labelled> {
        let unreadable = || format!("cannot read {:?}", self.image);
        let bytes = fs::read(&self.image).with_context(unreadable)?;
        let image = jpeg::decode_rgb(&bytes)
            .map_err(|defect| anyhow!(defect.detail))
            .with_context(unreadable)?;
        let size = Size::new(image.width(), image.height());
        let (label_size, labels) = self.labels()?;
        ensure!(
            size == label_size,
            "the label picture {:?} is {label_size}, its image (upright) {size}",
            self.label
        );
        Ok(Labelled {
            image: Canvas::from_rgb(size, image.as_raw()),
            labels,
        })
    }

    /// Reads the labels alone: their size and train ids.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn labels(&self) -> Result<(Size, Vec<u8>)> {
        labels::read(&self.label, self.coding)
    }
}

#[cfg(test)]
mod tests;
