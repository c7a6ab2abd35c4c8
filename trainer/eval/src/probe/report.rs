//! What a probe found, for people and for scripts.

use std::fmt;

use serde::Serialize;

use crate::segmentation::Scores;

/// The scores of one backbone, in percent.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Which weights.
    pub weights: String,
    /// Images that the classifier was trained on.
    pub train_images: usize,
    /// Images that it was scored on.
    pub test_images: usize,
    /// Images left out because they have no label picture.
    pub unlabelled_images: usize,
    /// Cells down and across.
    pub grid: [i64; 2],
    /// Linear classifier on C5.
    pub c5: Scores,
    /// Linear classifier on C4 and C5.
    pub c4_c5: Scores,
    /// Nearest neighbours of pooled features: mean average precision of the classes that an image
    /// shows.
    pub neighbours_map: Option<f64>,
    /// mIoU of a predictor that knows only the position.
    pub position_only_miou: f64,
    /// mIoU of a predictor that knows every cell.
    pub ceiling_miou: f64,
    /// Duration of the probe.
    pub seconds: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [rows, columns] = self.grid;
        writeln!(f, "{}", self.weights)?;
        writeln!(
            f,
            "{} training and {} test images, {rows} x {columns} cells, {:.0} s\n",
            self.train_images, self.test_images, self.seconds
        )?;
        if self.unlabelled_images > 0 {
            writeln!(
                f,
                "{} images have no labels and are left out\n",
                self.unlabelled_images
            )?;
        }
        writeln!(
            f,
            "{:28} {:>6} {:>13} {:>9}",
            "", "mIoU", "7 categories", "pixels"
        )?;
        for (name, scores) in [("linear, C5", &self.c5), ("linear, C4 + C5", &self.c4_c5)] {
            let Scores {
                miou,
                category_miou,
                pixel_accuracy,
                ..
            } = scores;
            writeln!(
                f,
                "{name:28} {miou:6.1} {category_miou:13.1} {pixel_accuracy:9.1}"
            )?;
        }
        writeln!(f, "{:28} {:6.1}", "position only", self.position_only_miou)?;
        writeln!(f, "{:28} {:6.1}", "ceiling of the grid", self.ceiling_miou)?;
        if let Some(map) = self.neighbours_map {
            writeln!(f, "{:28} {map:6.1}", "nearest neighbours, mAP")?;
        }
        write!(f, "\nIoU by class, linear on C5\n{}", self.c5)
    }
}
