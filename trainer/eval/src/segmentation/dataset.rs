//! Images and their label pictures, found in the layouts that people have on disk.
//!
//! | layout | image | label |
//! |---|---|---|
//! | Cityscapes | `leftImg8bit/SPLIT/CITY/X_leftImg8bit.png` | `gtFine/SPLIT/CITY/X_gtFine_labelTrainIds.png` or `…_labelIds.png` |
//! | BDD100K | `images/SPLIT/X.jpg`, `images/10k/SPLIT/X.jpg` | `X.png`, `X_train_id.png` or `X_train_color.png` in `labels/`, `labels/sem_seg/…`, `colormaps/` or `color_labels/` |
//! | pairs | `SPLIT/X.jpg` or `.png` | `SPLIT/X_labelTrainIds.png` or `…_labelIds.png` beside it |
//!
//! The first that fits is taken. Colour label pictures (palette or RGB) are read by the colours of
//! Cityscapes. An image without a label is an error: what is scored has to be what the user
//! believes is scored.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use console::usage;
use draw::Canvas;
use image::{DynamicImage, ImageReader};
use jpeg::Jpeg;
use schemas::geom::Size;

use super::classes::{Coding, of_color};

/// Folders below a BDD100K set that hold label pictures, with the split's folder inside.
const BDD_LABELS: [&str; 5] = [
    "labels/sem_seg/masks",
    "labels/sem_seg/colormaps",
    "labels",
    "colormaps",
    "color_labels",
];

/// Blocks of neighbours in which samples are held out.
const HOLDOUT_BLOCKS: usize = 5;

/// What follows an image's stem in the name of its label picture.
const LABEL_ENDINGS: [(&str, Coding); 5] = [
    ("_labelTrainIds.png", Coding::TrainIds),
    ("_labelIds.png", Coding::LabelIds),
    ("_train_id.png", Coding::TrainIds),
    ("_train_color.png", Coding::TrainIds),
    (".png", Coding::TrainIds),
];

/// One split of a set, sorted by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    samples: Vec<Sample>,
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
    /// If `dir` has none of the layouts, the split is empty, or an image has no label picture.
    pub fn open(dir: &Path, split: &str) -> Result<Self> {
        let (images, labels) = folders(dir, split)?;
        let mut files = Vec::new();
        list_images(&images, &mut files)?;
        files.sort();
        let samples = files
            .into_iter()
            .map(|image| sample(image, &images, &labels))
            .collect::<Result<Vec<_>>>()?;
        if samples.is_empty() {
            return Err(usage(format!(
                "{images:?} holds no PNG or JPEG images of the split {split:?}"
            )));
        }
        Ok(Self { samples })
    }

    /// The samples in order.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// The first `count` samples.
    pub fn first(&self, count: usize) -> Self {
        Self {
            samples: self.samples[..count.min(self.len())].to_vec(),
        }
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
        let of = |chosen: Vec<usize>| Self {
            samples: chosen
                .into_iter()
                .map(|ix| self.samples[ix].clone())
                .collect(),
        };
        (of(others), of(held))
    }
}

impl Sample {
    /// Reads both pictures.
    ///
    /// # Errors
    /// If one cannot be read, they differ in size, or a label is none of its coding.
    pub fn load(&self) -> Result<Labelled> {
        let image = decode(&self.image)?.into_rgb8();
        let size = Size::new(image.width(), image.height());
        let (label_size, labels) = self.labels()?;
        ensure!(
            size == label_size,
            "the label picture {:?} is {label_size}, its image {size}",
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
        let picture = decode(&self.label)?;
        let size = Size::new(picture.width(), picture.height());
        if picture.color().has_color() {
            return Ok((
                size,
                picture
                    .into_rgb8()
                    .pixels()
                    .map(|pixel| of_color(pixel.0))
                    .collect(),
            ));
        }
        let table = self.coding.table();
        let ids = picture.into_luma8().into_raw().into_iter().map(|value| {
            table[usize::from(value)].with_context(|| {
                format!(
                    "{:?} holds the label {value}, which {:?} do not have",
                    self.label, self.coding
                )
            })
        });
        Ok((size, ids.collect::<Result<_>>()?))
    }
}

fn decode(path: &Path) -> Result<DynamicImage> {
    let unreadable = || format!("cannot read {path:?}");
    let bytes = fs::read(path).with_context(unreadable)?;
    if bytes.starts_with(&[0xFF, 0xD8]) {
        let image = Jpeg::open(&bytes, u64::MAX).and_then(|jpeg| jpeg.decode_as_stored());
        return image
            .map_err(|defect| anyhow!(defect.detail))
            .with_context(unreadable);
    }
    let reader = ImageReader::new(std::io::Cursor::new(bytes))
        .with_guessed_format()
        .with_context(unreadable)?;
    reader.decode().with_context(unreadable)
}

/// The folders of a split's images and labels; equal if they lie side by side.
fn folders(dir: &Path, split: &str) -> Result<(PathBuf, PathBuf)> {
    let cityscapes = (
        dir.join("leftImg8bit").join(split),
        dir.join("gtFine").join(split),
    );
    let images = ["images/10k", "images"].map(|images| dir.join(images).join(split));
    let bdd = images
        .into_iter()
        .flat_map(|images| BDD_LABELS.map(|labels| (images.clone(), dir.join(labels).join(split))));
    let beside = [dir.join(split), dir.to_owned()].map(|folder| (folder.clone(), folder));
    let beside = beside.into_iter().filter(|(folder, _)| {
        fs::read_dir(folder).is_ok_and(|files| {
            let mut names = files.flatten().map(|file| file.file_name());
            names.any(|name| name.to_string_lossy().contains("_label"))
        })
    });
    let mut known = std::iter::once(cityscapes).chain(bdd).chain(beside);
    known.find(|(images, labels)| images.is_dir() && labels.is_dir()).ok_or_else(|| {
        usage(format!(
            "{dir:?} holds no labelled split {split:?}: looked for leftImg8bit/ and gtFine/ (Cityscapes), images/ and \
             labels/ (BDD100K), X.jpg beside X_labelTrainIds.png"
        ))
    })
}

fn list_images(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {folder:?}"))? {
        let path = entry
            .with_context(|| format!("cannot list {folder:?}"))?
            .path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let ending = name
            .rsplit_once('.')
            .map(|(_, ending)| ending.to_ascii_lowercase());
        if path.is_dir() {
            list_images(&path, found)?;
        } else if matches!(ending.as_deref(), Some("png" | "jpg" | "jpeg"))
            && !name.contains("_label")
        {
            found.push(path);
        }
    }
    Ok(())
}

/// The label picture of `image`: at the same place below `labels`, under one of the names of
/// [`LABEL_ENDINGS`].
fn sample(image: PathBuf, images: &Path, labels: &Path) -> Result<Sample> {
    let relative = image.strip_prefix(images).expect("it was found there");
    let stem = relative
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let stems = match stem.strip_suffix("_leftImg8bit") {
        Some(scene) => [format!("{scene}_gtFine"), scene.to_owned()],
        None => [stem.clone(), stem.clone()],
    };
    for (ending, coding) in LABEL_ENDINGS {
        for stem in &stems {
            let label = labels.join(relative.with_file_name(format!("{stem}{ending}")));
            if label != image && label.is_file() {
                return Ok(Sample {
                    image,
                    label,
                    coding,
                });
            }
        }
    }
    Err(usage(format!(
        "{image:?} has no label picture in {labels:?}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segmentation::IGNORED;

    fn save_grey(path: &Path, values: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::GrayImage::from_raw(values.len() as u32, 1, values.to_vec())
            .unwrap()
            .save(path)
            .unwrap();
    }

    fn save_rgb(path: &Path, values: &[[u8; 3]]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::RgbImage::from_raw(values.len() as u32, 1, values.concat())
            .unwrap()
            .save(path)
            .unwrap();
    }

    fn labels(dir: &Path, split: &str) -> Vec<Vec<u8>> {
        let set = Dataset::open(dir, split).unwrap();
        set.samples()
            .iter()
            .map(|sample| sample.load().unwrap().labels)
            .collect()
    }

    #[test]
    fn cityscapes_label_ids_become_train_ids() {
        let dir = tempfile::tempdir().unwrap();
        save_rgb(
            &dir.path().join("leftImg8bit/val/ulm/a_1_leftImg8bit.png"),
            &[[1; 3]; 3],
        );
        save_grey(
            &dir.path().join("gtFine/val/ulm/a_1_gtFine_labelIds.png"),
            &[7, 26, 4],
        );
        assert_eq!(labels(dir.path(), "val"), [[0, 13, IGNORED]]);
        save_grey(
            &dir.path()
                .join("gtFine/val/ulm/a_1_gtFine_labelTrainIds.png"),
            &[1, 2, 255],
        );
        assert_eq!(labels(dir.path(), "val"), [[1, 2, IGNORED]]);
        let message = Dataset::open(dir.path(), "train").unwrap_err().to_string();
        assert!(message.contains("no labelled split \"train\""), "{message}");
    }

    #[test]
    fn bdd_colours_and_ids_are_read() {
        let dir = tempfile::tempdir().unwrap();
        save_rgb(&dir.path().join("images/10k/train/x.png"), &[[9; 3]; 2]);
        save_rgb(
            &dir.path().join("labels/sem_seg/colormaps/train/x.png"),
            &[[128, 64, 128], [0, 0, 0]],
        );
        assert_eq!(labels(dir.path(), "train"), [[0, IGNORED]]);
        save_grey(
            &dir.path().join("labels/sem_seg/masks/train/x.png"),
            &[18, 255],
        );
        assert_eq!(labels(dir.path(), "train"), [[18, IGNORED]]);
    }

    #[test]
    fn pairs_lie_side_by_side_and_misfits_are_named() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b", "a"] {
            save_rgb(&dir.path().join(format!("train/{name}.png")), &[[9; 3]; 2]);
        }
        save_grey(&dir.path().join("train/a_labelTrainIds.png"), &[3, 255]);
        let message = Dataset::open(dir.path(), "train").unwrap_err().to_string();
        assert!(
            message.contains("b.png") && message.contains("no label picture"),
            "{message}"
        );
        save_grey(&dir.path().join("train/b_labelTrainIds.png"), &[19, 0]);
        let set = Dataset::open(dir.path(), "train").unwrap();
        assert_eq!(
            (set.len(), set.first(1).samples()),
            (2, &set.samples()[..1])
        );
        let message = set.samples()[1].load().unwrap_err().to_string();
        assert!(message.contains("the label 19"), "{message}");
        save_grey(&dir.path().join("train/b_labelTrainIds.png"), &[1]);
        let message = set.samples()[1].load().unwrap_err().to_string();
        assert!(
            message.contains("1×1") || message.contains("1x1"),
            "{message}"
        );
    }

    #[test]
    fn held_out_samples_are_blocks_of_neighbours() {
        let sample = |ix: usize| Sample {
            image: format!("{ix:04}").into(),
            label: "".into(),
            coding: Coding::TrainIds,
        };
        let set = Dataset {
            samples: (0..100).map(sample).collect(),
        };
        let (others, held) = set.hold_out(22);
        let held: Vec<usize> = held
            .samples
            .iter()
            .map(|sample| sample.image.to_string_lossy().parse().unwrap())
            .collect();
        let expected = [0..4, 20..24, 40..45, 60..64, 80..85].into_iter().flatten();
        assert_eq!((held, others.len()), (expected.collect::<Vec<_>>(), 78));
        assert_eq!(
            set.hold_out(0),
            (
                set.clone(),
                Dataset {
                    samples: Vec::new()
                }
            )
        );
    }

    #[test]
    fn real_sets_are_recognised() {
        let Some(sets) = testkit::real_data("segmentation") else {
            return;
        };
        for (set, split, len) in [
            ("cityscapes256", "val", 500),
            ("bdd24", "val", 8),
            ("bdd24", "train", 16),
        ] {
            let set = Dataset::open(&sets.join(set), split).unwrap();
            assert_eq!(set.len(), len);
            let pair = set.samples()[len - 1].load().unwrap();
            let known = pair
                .labels
                .iter()
                .filter(|&&label| label != IGNORED)
                .count();
            assert!(
                2 * known > pair.labels.len(),
                "most of a street scene has a label"
            );
        }
    }
}
