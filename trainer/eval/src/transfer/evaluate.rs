//! The score of a network on a whole split, at full size.

use std::path::Path;

use anyhow::Result;
use model::device::normalised;
use native::Ranks;
use schemas::geom::Size;
use tch::{Cuda, Device, Kind, Tensor, no_grad};

use super::fcn::Fcn;
use crate::segmentation::{Confusion, Dataset, Labelled, Row, save};

/// Pictures in `predictions.png`.
const NUM_PICTURES: usize = 8;

/// Scores a network on every image of `set`, each at its full size, and draws some of them. All ranks
/// take images by turns and have the score; rank 0 draws.
///
/// # Errors
/// If an image cannot be read or the picture not written.
pub(super) fn evaluate(
    fcn: &Fcn,
    set: &Dataset,
    picture: &Path,
    ranks: &Ranks,
) -> Result<Confusion> {
    if fcn.device().is_cuda() {
        // The sizes of images differ, and a search for the fastest convolutions of each would cost
        // more than it gains.
        Cuda::cudnn_set_benchmark(false);
    }
    let every = set.len().div_ceil(NUM_PICTURES);
    let drawn: Vec<usize> = (0..set.len()).step_by(every).collect();
    let mine = ranks.together(predict_share(fcn, set, &drawn, ranks))?;

    let mut confusion = Confusion::default();
    for of_rank in ranks.gather_bytes(&mine.confusion.to_bytes())? {
        confusion += &Confusion::of_bytes(&of_rank);
    }
    let mut predicted = ranks.gather_bytes(&mine.drawn.concat())?;
    ranks.first_alone(|| draw(set, &drawn, &mut predicted, picture))?;
    Ok(confusion)
}

/// What a rank makes of its images.
#[derive(Default)]
struct Predicted {
    confusion: Confusion,
    /// The classes of those that are drawn, pixel by pixel.
    drawn: Vec<Vec<u8>>,
}

fn predict_share(fcn: &Fcn, set: &Dataset, drawn: &[usize], ranks: &Ranks) -> Result<Predicted> {
    let mut mine = Predicted::default();
    for ix in (ranks.rank()..set.len()).step_by(ranks.size()) {
        let pair = set.samples()[ix].load()?;
        let predicted = predict(fcn, pair.image.rgb(), pair.image.size());
        mine.confusion.add(&pair.labels, &predicted);
        if drawn.contains(&ix) {
            mine.drawn.push(predicted);
        }
    }
    Ok(mine)
}

/// Draws the images `drawn`, in order, from what each rank has predicted, one image after the other.
fn draw(set: &Dataset, drawn: &[usize], predicted: &mut [Vec<u8>], picture: &Path) -> Result<()> {
    let size = predicted.len();
    let mut next = |ix: usize| -> Result<(Labelled, Vec<u8>)> {
        let pair = set.samples()[ix].load()?;
        let of_rank = &mut predicted[ix % size];
        let len = pair.labels.len().min(of_rank.len());
        let rest = of_rank.split_off(len);
        Ok((pair, std::mem::replace(of_rank, rest)))
    };
    let shown: Vec<(Labelled, Vec<u8>)> =
        drawn.iter().map(|&ix| next(ix)).collect::<Result<_>>()?;
    let rows: Vec<Row<'_>> = shown
        .iter()
        .map(|(pair, predicted)| Row { pair, predicted })
        .collect();
    save(&rows, picture)
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

    const ON_CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    /// Twenty images in grey, of widths of their own; every second one has labels.
    fn set(dir: &Path) -> Dataset {
        let split = dir.join("val");
        std::fs::create_dir_all(&split).unwrap();
        for ix in 0..20_u8 {
            let label = if ix % 2 == 0 { 4 } else { IGNORED };
            let width = 16 + u32::from(ix) / 2;
            image::RgbImage::from_fn(width, 16, |x, _| image::Rgb([10 * ix + x as u8; 3]))
                .save(split.join(format!("{ix:02}.png")))
                .unwrap();
            image::GrayImage::from_pixel(width, 16, image::Luma([label]))
                .save(split.join(format!("{ix:02}_labelTrainIds.png")))
                .unwrap();
        }
        Dataset::open(dir, "val", Unlabelled::Refuse).unwrap()
    }

    fn evaluated(set: &Dataset, picture: &Path, ranks: &Ranks) -> Result<Confusion> {
        let model = ModelConfig {
            arch: Arch::Resnet18,
            ..ModelConfig::default()
        };
        let config = TransferConfig {
            channels: 8,
            ..TransferConfig::default()
        };
        let fcn = Fcn::new(&Weights::random(model, 5), &config, ranks, ON_CPU)?;
        evaluate(&fcn, set, picture, ranks)
    }

    #[test]
    fn every_pixel_counts_and_pictures_are_spread_over_the_split() {
        let dir = tempfile::tempdir().unwrap();
        let picture = dir.path().join("predictions.png");
        let confusion = evaluated(&set(dir.path()), &picture, &Ranks::alone()).unwrap();
        let counted: u64 = (0..NUM_CLASSES)
            .map(|guess| confusion.count(4, guess))
            .sum();
        let pixels = |ix: u64| 16 * (16 + ix / 2);
        assert_eq!(counted, (0..20).step_by(2).map(pixels).sum::<u64>());
        // Every third of 20: seven rows and their gaps below a head.
        let height = |ix: u32| 400 * 16 / (16 + ix / 2) + 12;
        let expected = 36 + (0..20).step_by(3).map(height).sum::<u32>();
        assert_eq!(image::open(&picture).unwrap().height(), expected);
    }

    #[test]
    fn several_ranks_count_and_draw_what_one_does() {
        let dir = tempfile::tempdir().unwrap();
        let set = set(dir.path());
        let of = |ranks: &Ranks| {
            let name = format!("{}_{}.png", ranks.size(), ranks.rank());
            let picture = dir.path().join(name);
            let confusion = evaluated(&set, &picture, ranks).unwrap();
            (confusion, std::fs::read(picture).ok())
        };
        let expected = of(&Ranks::alone());
        assert!(expected.1.is_some());
        for size in [2, 4] {
            for (rank, (confusion, picture)) in Ranks::in_threads(size, of).iter().enumerate() {
                assert_eq!(confusion, &expected.0, "rank {rank} of {size}");
                assert_eq!(picture.is_some(), rank == 0);
                assert!(rank > 0 || picture == &expected.1, "{size} ranks");
            }
        }
    }

    #[test]
    fn an_image_that_one_rank_cannot_read_ends_all() {
        let dir = tempfile::tempdir().unwrap();
        let set = set(dir.path());
        std::fs::write(dir.path().join("val/13.png"), b"no picture").unwrap();
        let lines = Ranks::in_threads(2, |ranks| {
            let refused = evaluated(&set, &dir.path().join("x.png"), ranks);
            format!("{:#}", refused.unwrap_err())
        });
        assert!(lines[1].contains("13.png"), "{lines:?}");
        assert!(lines[0].contains("rank 1"), "{lines:?}");
    }
}
