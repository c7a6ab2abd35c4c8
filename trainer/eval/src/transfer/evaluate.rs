//! The score of a network on a whole split, at full size.

use std::path::Path;

use anyhow::Result;
use model::device::normalised;
use schemas::geom::Size;
use tch::{Cuda, Device, Kind, Tensor, no_grad};

use super::fcn::Fcn;
use crate::segmentation::{Confusion, Dataset, Labelled, Row, save};

/// Pictures in `predictions.png`.
const NUM_PICTURES: usize = 8;

/// Scores a network on every image of `set`, each at its full size, and draws some of them.
///
/// # Errors
/// If an image cannot be read or the picture not written.
pub(super) fn evaluate(fcn: &Fcn, set: &Dataset, picture: &Path) -> Result<Confusion> {
    if fcn.device().is_cuda() {
        // The sizes of images differ, and a search for the fastest convolutions of each would cost
        // more than it gains.
        Cuda::cudnn_set_benchmark(false);
    }
    let mut confusion = Confusion::default();
    let mut shown: Vec<(Labelled, Vec<u8>)> = Vec::new();
    let every = set.len().div_ceil(NUM_PICTURES);
    for (ix, sample) in set.samples().iter().enumerate() {
        let pair = sample.load()?;
        let predicted = predict(fcn, pair.image.rgb(), pair.image.size());
        confusion.add(&pair.labels, &predicted);
        if ix % every == 0 {
            shown.push((pair, predicted));
        }
    }
    let rows: Vec<Row<'_>> = shown
        .iter()
        .map(|(pair, predicted)| Row { pair, predicted })
        .collect();
    save(&rows, picture)?;
    Ok(confusion)
}

fn predict(fcn: &Fcn, rgb: &[u8], size: Size) -> Vec<u8> {
    let shape = [1, i64::from(size.height), i64::from(size.width), 3];
    let classes = no_grad(|| {
        let input = normalised(&Tensor::from_slice(rgb).view(shape), fcn.device());
        fcn.forward(&input, false)
            .argmax(1, false)
            .to_kind(Kind::Uint8)
            .view([-1])
    });
    Vec::try_from(classes.to_device(Device::Cpu)).expect("classes are bytes")
}
