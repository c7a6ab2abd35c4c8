//! Scores of logits on a grid, and the two bounds between which every probe lies.

use anyhow::Result;
use rayon::prelude::*;
use schemas::geom::Size;
use tch::{Kind, Tensor};

use crate::cells::Shown;
use crate::segmentation::{Confusion, Dataset};

/// The class of every pixel of a picture of `size`, from logits `[19, rows, columns]`: bilinear
/// between the cells' centres, then the largest.
pub(crate) fn predict(logits: &Tensor, shown: Shown, size: Size) -> Vec<u8> {
    let smooth = shown.resample(&logits.unsqueeze(0), size);
    let classes = smooth.argmax(1, false).to_kind(Kind::Uint8).view([-1]);
    Vec::try_from(classes).expect("classes are bytes")
}

/// Counts the pixels of `set` against logits `[n, 19, rows, columns]`.
///
/// # Errors
/// If a label picture cannot be read.
pub(crate) fn score(set: &Dataset, logits: &Tensor, shown: Shown) -> Result<Confusion> {
    counted(set, shown, |ix| logits.select(0, ix))
}

/// What a predictor scores that knows the mean of the training images' shares `[n, 19, rows, columns]`
/// at each cell, and nothing of the image.
///
/// # Errors
/// If a label picture cannot be read.
pub(crate) fn position_only(
    set: &Dataset,
    train_shares: &Tensor,
    shown: Shown,
) -> Result<Confusion> {
    let mean = train_shares.mean_dim([0].as_slice(), false, None::<Kind>);
    counted(set, shown, |_| mean.shallow_clone())
}

/// What a predictor scores that knows the shares of every cell of the images of `set`: no classifier
/// on this grid can score much higher.
///
/// # Errors
/// If a label picture cannot be read.
pub(crate) fn ceiling(set: &Dataset, shares: &Tensor, shown: Shown) -> Result<Confusion> {
    score(set, shares, shown)
}

fn counted(set: &Dataset, shown: Shown, logits: impl Fn(i64) -> Tensor) -> Result<Confusion> {
    let logits: Vec<Tensor> = (0..set.len() as i64).map(logits).collect();
    let parts = set
        .samples()
        .par_iter()
        .zip(logits)
        .map(|(sample, logits)| {
            let (size, labels) = sample.labels()?;
            let mut confusion = Confusion::default();
            confusion.add(&labels, &predict(&logits, shown, size));
            Ok(confusion)
        });
    let parts: Vec<Confusion> = parts.collect::<Result<_>>()?;
    Ok(parts.iter().fold(Confusion::default(), |mut sum, part| {
        sum += part;
        sum
    }))
}
