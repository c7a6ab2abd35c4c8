//! What a frozen backbone's maps know of a street scene.
//!
//! The backbone's batch norms get the statistics of the clean training images at the probe's size,
//! its maps are cached once (as they are, and mirrored), standardised per channel, and a linear 1×1
//! classifier is trained on them: from C5 alone, and from C4 beside it. Scores are mIoU at the
//! labels' own resolution. Two bounds frame them: what the position in the image alone says, and
//! what the grid of cells can say at best. Nearest neighbours of the pooled features tell which
//! classes an image shows, without any training.
//!
//! Several ranks share the images: each decodes its part and runs the backbone on it. All the rest
//! is small, and rank 0's. The report is that of one process, bit for bit on devices that compute
//! alike.

mod bounds;
mod deal;
mod features;
mod images;
mod linear;
mod neighbours;
mod report;
mod splits;

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use model::files::weights::{Backbone, Weights};
use native::Ranks;
use tch::{Device, Tensor};

use crate::agree::{agree, checksums};
use crate::cells::Shown;
use crate::segmentation::{Confusion, Dataset, Row, save};
use deal::Deal;
use features::Features;
use images::{Images, Shape};

pub use linear::LinearConfig;
pub use report::Report;
pub use splits::Splits;

/// Pictures in [`Request::pictures`].
const NUM_PICTURES: usize = 8;

/// How to measure.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Height of the images as the backbone sees them, in pixels; widths follow.
    pub height: i64,
    /// The classifier's training.
    pub linear: LinearConfig,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            height: 256,
            linear: LinearConfig::default(),
        }
    }
}

/// What to probe, and on what.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The backbone; its model may have other strides than it was trained with.
    pub weights: &'a Weights,
    /// The images.
    pub splits: &'a Splits,
    /// How.
    pub options: Options,
    /// Where the backbone computes.
    pub device: Device,
    /// A PNG for predictions beside labels.
    pub pictures: Option<&'a Path>,
    /// Those that share the images.
    pub ranks: &'a Ranks,
}

/// A split as the backbone sees it.
struct Seen {
    features: Features,
    /// Class shares of its images, `[n, 19, rows, columns]`, on the CPU.
    shares: Tensor,
}

/// Probes a backbone: trains on one split, scores on the other. Neither the weights nor any random
/// state of others change. All ranks call it; rank 0 has the report.
///
/// # Errors
/// If an image cannot be read, no pixel of a split has a class, or the weights do not fit their
/// model.
pub fn measure(request: &Request<'_>) -> Result<Option<Report>> {
    let Request {
        weights,
        splits: Splits { train, test },
        options,
        device,
        ranks,
        ..
    } = *request;
    let started = Instant::now();
    ranks.first_alone(|| train.check_labels().and_then(|()| test.check_labels()))?;
    let shape = ranks.together(Shape::of(train, options.height, weights.model.cell_px()))?;
    agree(ranks, || {
        let images = [train, test].map(Dataset::names);
        Ok(vec![
            ("weights", checksums(weights)?),
            ("images", format!("{images:?}")),
            ("settings", format!("{shape:?}")),
        ])
    })?;

    let deals = [train, test].map(|set| Deal {
        ranks,
        len: set.len(),
    });
    let load = |set: &Dataset, deal| ranks.together(Images::load(set, shape, deal));
    let images = [load(train, deals[0])?, load(test, deals[1])?];
    let backbone = ranks.together(weights.build(&weights.model, device))?;
    features::recalibrate(&backbone, &images[0], deals[0], device);
    let look = |ix: usize, mirrored| look(&backbone, &images[ix], mirrored, deals[ix], device);
    let seen = look(0, true).zip(look(1, false));
    let of_seen = || {
        let (train, test) = seen.expect("rank 0 sees all");
        report(request, shape, [train, test], started)
    };
    ranks.first_alone(of_seen)
}

/// `None` on other ranks than the first.
fn look(
    backbone: &Backbone,
    images: &Images,
    mirrored: bool,
    deal: Deal<'_>,
    device: Device,
) -> Option<Seen> {
    let features = Features::of(backbone, images, mirrored, deal, device);
    let shares = images.all_shares(deal, device);
    let (features, shares) = features.zip(shares)?;
    Some(Seen { features, shares })
}

/// Trains and scores on what was seen.
fn report(
    request: &Request<'_>,
    shape: Shape,
    [mut train_seen, mut test_seen]: [Seen; 2],
    started: Instant,
) -> Result<Report> {
    let Splits { train, test } = request.splits;
    let standard = train_seen.features.standardise();
    test_seen.features.apply(&standard);
    let (trained_on, tested_on) = (&train_seen.features, &test_seen.features);

    let shares = trained_on.mirrored_like(&train_seen.shares, request.device);
    let score = |name: &str, maps: [&Tensor; 2]| -> Result<Confusion> {
        let classifier = linear::train(maps[0], &shares, request.options.linear);
        let logits = classifier.logits(maps[1]);
        if let Some(path) = request.pictures.filter(|_| name == "c5") {
            draw(test, &logits, shape.shown(), path)?;
        }
        bounds::score(test, &logits, shape.shown())
    };
    let c5 = score("c5", [&trained_on.c5(), &tested_on.c5()])?;
    let c4_c5 = score("c4+c5", [&trained_on.c4_c5(), &tested_on.c4_c5()])?;
    Ok(Report {
        weights: request.weights.origin.clone(),
        train_images: train.len(),
        test_images: test.len(),
        unlabelled_images: train.unlabelled() + test.unlabelled(),
        grid: shape.grid(),
        c5: c5.scores(),
        c4_c5: c4_c5.scores(),
        neighbours_map: neighbours::mean_average_precision(
            &trained_on.pooled,
            &train_seen.shares,
            &tested_on.pooled,
            &test_seen.shares,
        ),
        position_only_miou: bounds::position_only(test, &train_seen.shares, shape.shown())?
            .scores()
            .miou,
        ceiling_miou: bounds::ceiling(test, &test_seen.shares, shape.shown())?
            .scores()
            .miou,
        seconds: started.elapsed().as_secs_f64(),
    })
}

fn draw(test: &Dataset, logits: &Tensor, shown: Shown, path: &Path) -> Result<()> {
    let drawn = chosen(test.len()).map(|ix| {
        let pair = test.samples()[ix].load()?;
        let predicted = bounds::predict(&logits.select(0, ix as i64), shown, pair.image.size());
        Ok((pair, predicted))
    });
    let drawn = drawn.collect::<Result<Vec<_>>>()?;
    let rows: Vec<Row<'_>> = drawn
        .iter()
        .map(|(pair, predicted)| Row { pair, predicted })
        .collect();
    save(&rows, path)
}

/// Which of `len` images are drawn: the middles of as many parts of the split.
fn chosen(len: usize) -> impl Iterator<Item = usize> {
    let count = NUM_PICTURES.min(len);
    (0..count).map(move |part| (2 * part + 1) * len / (2 * count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::see_through::{self, Scene};
    use crate::segmentation::Unlabelled;
    use schemas::geom::Size;
    use std::fs;

    /// Images of four classes in cells `px` pixels apart, in the splits `train` and `val`.
    fn scenes(dir: &Path, size: Size, px: usize, counts: [u64; 2]) -> Splits {
        for (split, count) in ["train", "val"].into_iter().zip(counts) {
            let folder = dir.join(split);
            fs::create_dir_all(&folder).unwrap();
            for ix in 0..count {
                let scene = Scene::random(size, px, 4, 1 + ix + 1000 * u64::from(split == "val"));
                let (width, height) = (size.width, size.height);
                let image = image::RgbImage::from_raw(width, height, scene.rgb()).unwrap();
                let labels = image::GrayImage::from_raw(width, height, scene.labels()).unwrap();
                image.save(folder.join(format!("{ix:02}.png"))).unwrap();
                labels
                    .save(folder.join(format!("{ix:02}_labelTrainIds.png")))
                    .unwrap();
            }
        }
        Splits::open(dir, Unlabelled::Refuse).unwrap()
    }

    /// A map that holds the class of every cell has to score as the cells can, at either stride.
    #[test]
    fn a_map_that_holds_the_classes_scores_near_the_ceiling() {
        for (layer4_stride, px, size) in [(1, 16, Size::new(129, 97)), (2, 32, Size::new(257, 193))]
        {
            let dir = tempfile::tempdir().unwrap();
            let report = measure(&Request {
                weights: &see_through::weights(layer4_stride),
                splits: &scenes(dir.path(), size, px, [24, 4]),
                options: Options {
                    height: size.height.into(),
                    linear: LinearConfig {
                        epochs: 60,
                        lr: 0.05,
                        ..LinearConfig::default()
                    },
                },
                device: Device::Cpu,
                pictures: None,
                ranks: &Ranks::alone(),
            })
            .unwrap()
            .unwrap();
            assert_eq!(report.grid, [7, 9]);
            assert!(report.ceiling_miou > 80.0, "{report}");
            assert!(report.c5.miou > 95.0, "{report}");
            assert!(report.c4_c5.miou > 75.0, "{report}");
        }
    }

    #[test]
    fn pictures_are_spread_over_the_split() {
        let drawn = |len| chosen(len).collect::<Vec<_>>();
        assert_eq!(drawn(3), [0, 1, 2]);
        assert_eq!(drawn(8), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(drawn(80), [5, 15, 25, 35, 45, 55, 65, 75]);
    }

    #[test]
    fn images_that_are_left_out_are_counted_and_pictures_drawn() {
        let dir = tempfile::tempdir().unwrap();
        let size = Size::new(65, 65);
        scenes(dir.path(), size, 16, [5, 12]);
        for name in ["train/00", "train/01", "val/00"] {
            fs::remove_file(dir.path().join(format!("{name}_labelTrainIds.png"))).unwrap();
        }
        let picture = dir.path().join("predictions.png");
        let linear = LinearConfig {
            epochs: 1,
            ..LinearConfig::default()
        };
        let report = measure(&Request {
            weights: &see_through::weights(1),
            splits: &Splits::open(dir.path(), Unlabelled::Skip).unwrap(),
            options: Options { height: 65, linear },
            device: Device::Cpu,
            pictures: Some(&picture),
            ranks: &Ranks::alone(),
        })
        .unwrap()
        .unwrap();
        let counts = [
            report.train_images,
            report.test_images,
            report.unlabelled_images,
        ];
        assert_eq!(counts, [3, 11, 3]);
        // Eight rows of square pictures below a head.
        assert_eq!(image::open(&picture).unwrap().height(), 36 + 8 * 412);
    }

    #[test]
    fn splits_without_labelled_pixels_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let splits = scenes(dir.path(), Size::new(33, 33), 16, [2, 1]);
        let label = dir.path().join("val/00_labelTrainIds.png");
        image::GrayImage::from_pixel(33, 33, image::Luma([255]))
            .save(&label)
            .unwrap();
        let refused = measure(&Request {
            weights: &see_through::weights(1),
            splits: &splits,
            options: Options::default(),
            device: Device::Cpu,
            pictures: None,
            ranks: &Ranks::alone(),
        });
        let line = refused.unwrap_err().to_string();
        assert!(line.contains("00_labelTrainIds.png"), "{line}");
    }

    /// Several batches of each split, of which the last ones are not whole, and a rank without any.
    #[test]
    fn several_ranks_report_what_one_does_to_the_bit() {
        let dir = tempfile::tempdir().unwrap();
        let splits = scenes(dir.path(), Size::new(65, 49), 16, [70, 35]);
        let of = |ranks: &Ranks| {
            let picture = dir.path().join(format!("{}.png", ranks.size()));
            let mut report = measure(&Request {
                weights: &Weights::random(see_through::weights(1).model, 3),
                splits: &splits,
                options: Options {
                    height: 49,
                    linear: LinearConfig {
                        epochs: 2,
                        lr: 0.05,
                        ..LinearConfig::default()
                    },
                },
                device: Device::Cpu,
                pictures: Some(&picture),
                ranks,
            })
            .unwrap()?;
            report.seconds = 0.0;
            Some((format!("{report:?}"), fs::read(&picture).unwrap()))
        };
        let expected = of(&Ranks::alone());
        assert!(expected.is_some());
        for size in [1, 2, 4] {
            let mut found = Ranks::in_threads(size, of);
            assert!(found.remove(0) == expected, "{size} ranks");
            assert!(found.iter().all(Option::is_none), "{size} ranks");
        }
    }

    #[test]
    fn an_image_that_one_rank_cannot_read_ends_all() {
        let dir = tempfile::tempdir().unwrap();
        let splits = scenes(dir.path(), Size::new(33, 33), 16, [35, 1]);
        // The first of the second batch.
        fs::write(dir.path().join("train/32.png"), b"no picture").unwrap();
        let lines = Ranks::in_threads(2, |ranks| {
            let refused = measure(&Request {
                weights: &see_through::weights(1),
                splits: &splits,
                options: Options {
                    height: 33,
                    ..Options::default()
                },
                device: Device::Cpu,
                pictures: None,
                ranks,
            });
            format!("{:#}", refused.unwrap_err())
        });
        assert!(lines[1].contains("32.png"), "{lines:?}");
        assert!(lines[0].contains('1'), "names the rank: {lines:?}");
    }
}
