//! The confusion matrix of a whole set, and intersection over union from it.

use serde::{Serialize, Serializer};

use super::classes::{CATEGORIES, CLASSES, NUM_CLASSES};

/// Pixels by true class (row) and predicted class (column); ignored pixels are not counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Confusion {
    counts: Vec<u64>,
    classes: usize,
}

/// Scores of a set, in percent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scores {
    /// Mean over the classes that occur, in labels or predictions.
    pub miou: f64,
    /// The same over the seven categories.
    pub category_miou: f64,
    /// Share of pixels whose class is right.
    pub pixel_accuracy: f64,
    /// Each class; `None` if it occurs neither in labels nor in predictions. A map in JSON.
    #[serde(serialize_with = "as_map")]
    pub iou: Vec<(&'static str, Option<f64>)>,
}

impl Default for Confusion {
    fn default() -> Self {
        Self::new(NUM_CLASSES)
    }
}

impl Confusion {
    fn new(classes: usize) -> Self {
        Self {
            counts: vec![0; classes * classes],
            classes,
        }
    }

    /// Counts the pixels of one picture: train ids, and predictions below 19.
    ///
    /// # Panics
    /// If the lengths differ or a prediction is no class.
    pub(crate) fn add(&mut self, labels: &[u8], predicted: &[u8]) {
        assert_eq!(
            labels.len(),
            predicted.len(),
            "a prediction for every pixel"
        );
        for (&label, &guess) in labels.iter().zip(predicted) {
            if usize::from(label) < self.classes {
                assert!(
                    usize::from(guess) < self.classes,
                    "class {guess} is predicted"
                );
                self.counts[usize::from(label) * self.classes + usize::from(guess)] += 1;
            }
        }
    }

    /// The counts, for another rank.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.counts.iter().flat_map(|n| n.to_le_bytes()).collect()
    }

    /// Those of [`to_bytes`](Self::to_bytes), by class.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        let (counts, _) = bytes.as_chunks();
        Self {
            counts: counts.iter().copied().map(u64::from_le_bytes).collect(),
            classes: NUM_CLASSES,
        }
    }

    /// Pixels of `label` that were taken for `guess`.
    pub(crate) fn count(&self, label: usize, guess: usize) -> u64 {
        self.counts[label * self.classes + guess]
    }

    /// Intersection over union of each class: TP / (TP + FP + FN); `None` where that is 0 / 0.
    pub(crate) fn iou(&self) -> Vec<Option<f64>> {
        let one = |class: usize| {
            let of_label: u64 = (0..self.classes)
                .map(|guess| self.count(class, guess))
                .sum();
            let guessed: u64 = (0..self.classes)
                .map(|label| self.count(label, class))
                .sum();
            let hits = self.count(class, class);
            let union = of_label + guessed - hits;
            (union > 0).then(|| hits as f64 / union as f64)
        };
        (0..self.classes).map(one).collect()
    }

    /// The same pixels, counted by category.
    pub(crate) fn by_category(&self) -> Self {
        let mut grouped = Self::new(CATEGORIES.len());
        for (label, of_label) in CLASSES.iter().enumerate() {
            for (guess, of_guess) in CLASSES.iter().enumerate() {
                let place = of_label.category * CATEGORIES.len() + of_guess.category;
                grouped.counts[place] += self.count(label, guess);
            }
        }
        grouped
    }

    /// All scores, in percent.
    pub(crate) fn scores(&self) -> Scores {
        let iou = self.iou();
        let hits: u64 = (0..self.classes)
            .map(|class| self.count(class, class))
            .sum();
        let all: u64 = self.counts.iter().sum();
        Scores {
            miou: mean_percent(&iou),
            category_miou: mean_percent(&self.by_category().iou()),
            pixel_accuracy: 100.0 * hits as f64 / all.max(1) as f64,
            iou: CLASSES
                .iter()
                .map(|class| class.name)
                .zip(iou.iter().map(|iou| iou.map(|iou| 100.0 * iou)))
                .collect(),
        }
    }
}

impl std::ops::AddAssign<&Confusion> for Confusion {
    fn add_assign(&mut self, other: &Confusion) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }
}

impl std::fmt::Display for Scores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, iou) in &self.iou {
            match iou {
                Some(iou) => writeln!(f, "  {name:14} {iou:5.1}")?,
                None => writeln!(f, "  {name:14}     -")?,
            }
        }
        writeln!(f, "  {:14} {:5.1}", "mIoU", self.miou)?;
        writeln!(f, "  {:14} {:5.1}", "7 categories", self.category_miou)?;
        write!(f, "  {:14} {:5.1}", "pixel accuracy", self.pixel_accuracy)
    }
}

fn as_map<S: Serializer>(
    iou: &[(&'static str, Option<f64>)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(iou.iter().copied())
}

fn mean_percent(iou: &[Option<f64>]) -> f64 {
    let known: Vec<f64> = iou.iter().flatten().copied().collect();
    // The sum of nothing is -0.0 in floats.
    100.0 * known.iter().fold(0.0, |sum, iou| sum + iou) / known.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segmentation::IGNORED;
    use std::collections::HashSet;

    /// Made-up labels and predictions that agree in about two thirds of the pixels.
    fn pictures(len: usize) -> (Vec<u8>, Vec<u8>) {
        let mut state = 1u64;
        let mut draw = |n: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        let pixel = |draw: &mut dyn FnMut(u64) -> u64| {
            let label = draw(17) as u8;
            let guess = if draw(3) < 2 { label } else { draw(17) as u8 };
            (if draw(10) == 0 { IGNORED } else { label }, guess)
        };
        (0..len).map(|_| pixel(&mut draw)).unzip()
    }

    /// Intersection over union of the classes that `holds` names, from sets of pixel positions.
    fn iou_of_sets(labels: &[u8], guesses: &[u8], holds: impl Fn(u8) -> bool) -> Option<f64> {
        let pixels = |of: &[u8]| -> HashSet<usize> {
            let counted = |&ix: &usize| labels[ix] != IGNORED && holds(of[ix]);
            (0..labels.len()).filter(counted).collect()
        };
        let (truth, guess) = (pixels(labels), pixels(guesses));
        let union = truth.union(&guess).count();
        (union > 0).then(|| truth.intersection(&guess).count() as f64 / union as f64)
    }

    #[test]
    fn scores_are_those_of_the_sets_of_pixels() {
        let (labels, guesses) = pictures(5000);
        let mut confusion = Confusion::default();
        confusion.add(&labels[..2000], &guesses[..2000]);
        let mut rest = Confusion::default();
        rest.add(&labels[2000..], &guesses[2000..]);
        confusion += &rest;
        let of_sets = |holds: &dyn Fn(u8) -> bool| iou_of_sets(&labels, &guesses, holds);
        let classes: Vec<_> = (0..19).map(|class| of_sets(&|id| id == class)).collect();
        assert_eq!(confusion.iou(), classes);
        let category = |id: u8| CLASSES[usize::from(id)].category;
        let categories: Vec<_> = (0..CATEGORIES.len())
            .map(|group| of_sets(&|id| category(id) == group))
            .collect();
        assert_eq!(confusion.by_category().iou(), categories);

        let scores = confusion.scores();
        let mean = |iou: &[Option<f64>]| {
            let known: Vec<f64> = iou.iter().flatten().copied().collect();
            known.iter().sum::<f64>() / known.len() as f64
        };
        let pairs = || labels.iter().zip(&guesses).filter(|(l, _)| **l != IGNORED);
        let right = pairs().filter(|(label, guess)| label == guess).count();
        for (score, expected) in [
            (scores.miou, mean(&classes)),
            (scores.category_miou, mean(&categories)),
            (scores.pixel_accuracy, right as f64 / pairs().count() as f64),
        ] {
            assert!((score - 100.0 * expected).abs() < 1e-9, "{scores}");
        }
        let in_percent = classes.iter().map(|iou| iou.map(|iou| 100.0 * iou));
        let names = CLASSES.iter().map(|class| class.name);
        assert_eq!(scores.iou, names.zip(in_percent).collect::<Vec<_>>());
        assert_eq!(scores.iou[18], ("bicycle", None));
    }

    #[test]
    fn a_score_of_nothing_is_a_positive_zero() {
        let scores = Confusion::default().scores();
        for score in [scores.miou, scores.category_miou, scores.pixel_accuracy] {
            assert!(score == 0.0 && score.is_sign_positive());
        }
    }

    #[test]
    fn confusing_classes_of_one_category_costs_the_category_nothing() {
        let mut confusion = Confusion::default();
        confusion.add(&[0, 1, 13, IGNORED], &[1, 0, 14, 3]);
        let scores = confusion.scores();
        assert_eq!(
            (scores.miou, scores.category_miou, scores.pixel_accuracy),
            (0.0, 100.0, 0.0)
        );
    }
}
