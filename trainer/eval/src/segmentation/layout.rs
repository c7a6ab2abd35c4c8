//! Where the images of a split lie, and the label picture of each, in the layouts that people have.
//!
//! | layout | image | label |
//! |---|---|---|
//! | Cityscapes | `leftImg8bit/SPLIT/CITY/X_leftImg8bit.png` | `gtFine/SPLIT/CITY/X_gtFine_labelTrainIds.png` or `…_labelIds.png` |
//! | BDD100K | `images/SPLIT/X.jpg`, `images/10k/SPLIT/X.jpg` | `X.png`, `X_train_id.png` or `X_train_color.png` in `labels/`, `labels/sem_seg/…`, `colormaps/` or `color_labels/` |
//! | pairs | `SPLIT/X.jpg` or `.png` | `SPLIT/X_labelTrainIds.png` or `…_labelIds.png` beside it |
//!
//! The first that fits is taken. Hidden files and folders are passed over, as `ingest` does.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use console::usage;
use host::file_name::{is_annotation, is_hidden};

use super::classes::Coding;

/// Folders below a BDD100K set that hold label pictures, with the split's folder inside.
const BDD_LABELS: [(&str, Coding); 5] = [
    ("labels/sem_seg/masks", Coding::TrainIds),
    ("labels/sem_seg/colormaps", Coding::Colors),
    ("labels", Coding::TrainIds),
    ("colormaps", Coding::Colors),
    ("color_labels", Coding::Colors),
];

/// What follows an image's stem in the name of its label picture, and what that says of its coding.
const LABEL_ENDINGS: [(&str, Option<Coding>); 5] = [
    ("_labelTrainIds.png", Some(Coding::TrainIds)),
    ("_labelIds.png", Some(Coding::LabelIds)),
    ("_train_id.png", Some(Coding::TrainIds)),
    ("_train_color.png", Some(Coding::Colors)),
    (".png", None),
];

/// The folders of a split.
pub(super) struct Layout {
    /// Of the images.
    images: PathBuf,
    /// Of the label pictures; the same if they lie side by side.
    labels: PathBuf,
    /// Of label pictures whose name says nothing of it.
    coding: Coding,
}

impl Layout {
    /// Finds the folders of `split` below `dir`.
    ///
    /// # Errors
    /// If `dir` has none of the layouts.
    pub(super) fn find(dir: &Path, split: &str) -> Result<Self> {
        let of = |images: PathBuf, labels: PathBuf, coding| Self {
            images,
            labels,
            coding,
        };
        let cityscapes = of(
            dir.join("leftImg8bit").join(split),
            dir.join("gtFine").join(split),
            Coding::TrainIds,
        );
        let images = ["images/10k", "images"].map(|images| dir.join(images).join(split));
        let bdd = images.into_iter().flat_map(|images| {
            BDD_LABELS
                .map(|(labels, coding)| of(images.clone(), dir.join(labels).join(split), coding))
        });
        let beside = [dir.join(split), dir.to_owned()]
            .into_iter()
            .filter(|folder| holds_labels(folder))
            .map(|folder| of(folder.clone(), folder, Coding::TrainIds));
        std::iter::once(cityscapes)
            .chain(bdd)
            .chain(beside)
            .find(|layout| layout.images.is_dir() && layout.labels.is_dir())
            .ok_or_else(|| {
                usage(format!(
                    "{dir:?} holds no labelled split {split:?}: looked for leftImg8bit/ and gtFine/ (Cityscapes), images/ \
                     and labels/ (BDD100K), X.jpg beside X_labelTrainIds.png"
                ))
            })
    }

    /// The folder of the images.
    pub(super) fn images(&self) -> &Path {
        &self.images
    }

    /// The folder of the label pictures.
    pub(super) fn labels(&self) -> &Path {
        &self.labels
    }

    /// All images, sorted by path.
    ///
    /// # Errors
    /// If a folder cannot be listed.
    pub(super) fn list(&self) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        list_images(&self.images, &mut found)?;
        found.sort();
        Ok(found)
    }

    /// The label picture of `image`, at the same place below the labels' folder, and its coding.
    pub(super) fn label(&self, image: &Path) -> Option<(PathBuf, Coding)> {
        let relative = image
            .strip_prefix(&self.images)
            .expect("it was found there");
        let stem = relative.file_stem().unwrap_or_default().to_string_lossy();
        let stems = match stem.strip_suffix("_leftImg8bit") {
            Some(scene) => vec![format!("{scene}_gtFine"), scene.to_owned()],
            None => vec![stem.into_owned()],
        };
        let names = LABEL_ENDINGS.iter().flat_map(|(ending, coding)| {
            let coding = coding.unwrap_or(self.coding);
            stems
                .iter()
                .map(move |stem| (format!("{stem}{ending}"), coding))
        });
        names
            .map(|(name, coding)| (self.labels.join(relative.with_file_name(name)), coding))
            .find(|(label, _)| label != image && label.is_file())
    }
}

/// Whether a folder holds label pictures beside images.
fn holds_labels(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|files| {
        files.flatten().any(|file| {
            let name = PathBuf::from(file.file_name());
            let stem = name.file_stem().unwrap_or_default().to_string_lossy();
            !is_hidden(&stem) && is_annotation(&stem)
        })
    })
}

fn list_images(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let unlisted = || format!("cannot list {folder:?}");
    for entry in fs::read_dir(folder).with_context(unlisted)? {
        let path = entry.with_context(unlisted)?.path();
        if is_hidden(&path.file_name().unwrap_or_default().to_string_lossy()) {
            continue;
        }
        if path.is_dir() {
            list_images(&path, found)?;
        } else if is_image(&path) {
            found.push(path);
        }
    }
    Ok(())
}

fn is_image(path: &Path) -> bool {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let ending = path.extension().unwrap_or_default();
    ["png", "jpg", "jpeg", "jpe"]
        .iter()
        .any(|known| ending.eq_ignore_ascii_case(known))
        && !is_annotation(&stem)
}
