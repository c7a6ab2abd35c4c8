//! Scores of logits on a grid, and the two bounds between which every probe lies.

use anyhow::Result;
use rayon::prelude::*;
use schemas::geom::Size;
use tch::{Kind, Tensor};

use super::images::Images;
use crate::segmentation::{Confusion, Dataset};

/// The class of every pixel of a picture of `size`, from logits `[19, rows, columns]`: bilinear,
/// then the largest.
pub(crate) fn predict(logits: &Tensor, size: Size) -> Vec<u8> {
    let to = [i64::from(size.height), i64::from(size.width)];
    let smooth = logits
        .unsqueeze(0)
        .upsample_bilinear2d(to, false, None, None);
    let classes = smooth.argmax(1, false).to_kind(Kind::Uint8).view([-1]);
    Vec::try_from(classes).expect("classes are bytes")
}

/// Counts the pixels of `set` against logits `[n, 19, rows, columns]`.
///
/// # Errors
/// If a label picture cannot be read.
pub(crate) fn score(set: &Dataset, logits: &Tensor) -> Result<Confusion> {
    counted(set, |ix| logits.select(0, ix))
}

/// What a predictor scores that knows the mean shares of the training images at each cell, and
/// nothing of the image.
///
/// # Errors
/// If a label picture cannot be read.
pub(crate) fn position_only(set: &Dataset, train: &Images) -> Result<Confusion> {
    let mean = train.shares.mean_dim([0].as_slice(), false, None::<Kind>);
    counted(set, |_| mean.shallow_clone())
}

/// What a predictor scores that knows the shares of every cell of `images`, which are those of
/// `set`: no classifier on this grid can score much higher.
///
/// # Errors
/// If a label picture cannot be read.
pub(crate) fn ceiling(set: &Dataset, images: &Images) -> Result<Confusion> {
    score(set, &images.shares)
}

fn counted(set: &Dataset, logits: impl Fn(i64) -> Tensor) -> Result<Confusion> {
    let logits: Vec<Tensor> = (0..set.len() as i64).map(logits).collect();
    let parts = set
        .samples()
        .par_iter()
        .zip(logits)
        .map(|(sample, logits)| {
            let (size, labels) = sample.labels()?;
            let mut confusion = Confusion::default();
            confusion.add(&labels, &predict(&logits, size));
            Ok(confusion)
        });
    let parts: Vec<Confusion> = parts.collect::<Result<_>>()?;
    Ok(parts.iter().fold(Confusion::default(), |mut sum, part| {
        sum += part;
        sum
    }))
}
