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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segmentation::{IGNORED, NUM_CLASSES, Unlabelled};
    use crate::transfer::TransferConfig;
    use model::files::weights::Weights;
    use model::{Arch, ModelConfig};

    #[test]
    fn every_pixel_counts_and_pictures_are_spread_over_the_split() {
        let dir = tempfile::tempdir().unwrap();
        let split = dir.path().join("val");
        std::fs::create_dir_all(&split).unwrap();
        for ix in 0..20_u8 {
            let label = if ix % 2 == 0 { 4 } else { IGNORED };
            image::RgbImage::from_pixel(16, 16, image::Rgb([10 * ix; 3]))
                .save(split.join(format!("{ix:02}.png")))
                .unwrap();
            image::GrayImage::from_pixel(16, 16, image::Luma([label]))
                .save(split.join(format!("{ix:02}_labelTrainIds.png")))
                .unwrap();
        }
        let set = Dataset::open(dir.path(), "val", Unlabelled::Refuse).unwrap();
        let model = ModelConfig {
            arch: Arch::Resnet18,
            ..ModelConfig::default()
        };
        let config = TransferConfig {
            channels: 8,
            ..TransferConfig::default()
        };
        let fcn = Fcn::new(&Weights::random(model, 5), &config, Device::Cpu).unwrap();
        let picture = dir.path().join("predictions.png");
        let confusion = evaluate(&fcn, &set, &picture).unwrap();
        let counted: u64 = (0..NUM_CLASSES)
            .map(|guess| confusion.count(4, guess))
            .sum();
        assert_eq!(counted, 10 * 256);
        // Every third of 20: seven rows of 400 pixels and their gaps below a head.
        let height = image::open(&picture).unwrap().height();
        assert_eq!(height, 36 + 7 * 412);
    }
}
