//! What a run reports: one [`Row`] every few steps, into `metrics.jsonl` and TensorBoard.
//!
//! All values but the timing keys (`pairs_per_s`, `step_s`, `data_wait_s`, `loader_cpu`, and those of
//! [`BetweenRanks`]) depend on
//! the config, the data and the number of threads alone: a run that was interrupted and resumed
//! writes the same rows as one that was not. Rows are written through at once; after a kill the file
//! is cut back to the checkpoint's step.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result};
use draw::Canvas;
use serde::{Deserialize, Serialize};

use super::between_ranks::BetweenRanks;
use super::diagnostics::Diagnostics;
use super::tensorboard::EventWriter;

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Optimizer steps done, this one included.
    pub step: u64,
    /// Epochs consumed so far.
    pub epoch: f64,
    /// What is optimised: -2cos summed over both directions, lambda-weighted; its minimum is -4.
    /// MoCo's 1D branch has InfoNCE in its place, unscaled.
    pub loss: f64,
    /// Mean -cos of the 1D branch over both directions, whose minimum is -1; or InfoNCE, which is
    /// positive.
    pub loss_1d: f64,
    /// Mean -cos of the 2D branch over both directions; its minimum is -1. Null for methods without
    /// one.
    pub loss_2d: Option<f64>,
    /// Spread of the normalised projections over the batch: 1 on the whole sphere, 0 when
    /// collapsed.
    pub z_std: f64,
    /// The same for the cells of the projected map; null likewise.
    pub z2d_std: Option<f64>,
    /// Learning rate of this step.
    pub lr: f64,
    /// EMA coefficient of this step.
    pub tau: f64,
    /// Mean IoU of the batch's crop pairs.
    pub iou: f64,
    /// mIoU of the linear probe in percent, at steps that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_miou: Option<f64>,
    /// `on`, or `off: ` and why: whether this step was made with the fused kernels. Rows of older
    /// versions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fused_kernels: Option<String>,
    /// Norms, trust ratios and further signs of collapse, each a key of its own.
    #[serde(flatten)]
    pub diagnostics: Diagnostics,
    /// Pairs a second since the last row. Timing.
    pub pairs_per_s: f64,
    /// Mean seconds of a step since the last row, the wait included. Timing.
    pub step_s: f64,
    /// Mean seconds of a step spent waiting for the loader. Timing.
    pub data_wait_s: f64,
    /// The loader's share of the program's CPU time since the last row, where the step computes on
    /// the same cores. Timing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loader_cpu: Option<f64>,
    /// What ranks spend on each other. Timing.
    #[serde(flatten)]
    pub between_ranks: BetweenRanks,
}

impl Row {
    /// The row without its timing keys: what must be the same in an interrupted and an undisturbed
    /// run.
    pub fn without_timing(&self) -> Row {
        Row {
            pairs_per_s: 0.0,
            step_s: 0.0,
            data_wait_s: 0.0,
            loader_cpu: None,
            between_ranks: BetweenRanks::default(),
            ..self.clone()
        }
    }

    fn scalars(&self) -> Vec<(&'static str, f64)> {
        let all = [
            ("epoch", Some(self.epoch)),
            ("loss/total", Some(self.loss)),
            ("loss/1d", Some(self.loss_1d)),
            ("loss/2d", self.loss_2d),
            ("collapse/z_std", Some(self.z_std)),
            ("collapse/z2d_std", self.z2d_std),
            ("schedule/lr", Some(self.lr)),
            ("schedule/tau", Some(self.tau)),
            ("data/iou", Some(self.iou)),
            ("probe/miou", self.probe_miou),
            ("speed/pairs_per_s", Some(self.pairs_per_s)),
            ("speed/step_s", Some(self.step_s)),
            ("speed/data_wait_s", Some(self.data_wait_s)),
            ("speed/loader_cpu", self.loader_cpu),
        ];
        all.into_iter()
            .chain(self.diagnostics.scalars())
            .chain(self.between_ranks.scalars())
            .filter_map(|(tag, value)| Some((tag, value?)))
            .collect()
    }
}

/// Writes rows to `metrics.jsonl` and to the events file; nothing on ranks that have no folder.
pub(crate) struct Recorder(Option<Files>);

struct Files {
    lines: File,
    events: EventWriter,
}

impl Recorder {
    /// Opens both files of `run_dir` for a run that goes on after `step` steps. Of the rows, those up
    /// to `kept` stay.
    pub(crate) fn open(run_dir: Option<&Path>, kept: u64, step: u64) -> Result<Self> {
        let Some(run_dir) = run_dir else {
            return Ok(Recorder(None));
        };
        let path = run_dir.join("metrics.jsonl");
        let lines = open_cut_back(&path, kept).with_context(|| format!("opening {path:?}"))?;
        Ok(Recorder(Some(Files {
            lines,
            events: EventWriter::new(run_dir, kept, step),
        })))
    }

    /// Appends one row to both.
    pub(crate) fn write(&mut self, row: &Row) -> Result<()> {
        let Some(files) = &mut self.0 else {
            return Ok(());
        };
        let mut line = serde_json::to_string(row).context("a metrics row holds a non-number")?;
        line.push('\n');
        files
            .lines
            .write_all(line.as_bytes())
            .context("writing metrics.jsonl")?;
        files.events.scalars(row.step, &row.scalars())
    }

    /// Shows pictures in TensorBoard.
    pub(crate) fn show(&mut self, step: u64, pictures: &[(&str, Canvas)]) -> Result<()> {
        let Some(files) = &mut self.0 else {
            return Ok(());
        };
        pictures
            .iter()
            .try_for_each(|(tag, picture)| files.events.picture(step, tag, picture))
    }
}

/// Reads a run's rows; a torn last line is left out.
pub fn read(run_dir: &Path) -> Result<Vec<Row>> {
    let path = run_dir.join("metrics.jsonl");
    let file = File::open(&path).with_context(|| format!("reading {path:?}"))?;
    let lines = BufReader::new(file).lines();
    let rows = lines.map_while(|line| serde_json::from_str(&line.ok()?).ok());
    Ok(rows.collect())
}

/// Of a line, all that says whether it stays: rows of other versions may lack keys.
#[derive(Deserialize)]
struct Step {
    step: u64,
}

/// Opens for appending after the last whole line whose step is at most `step`.
fn open_cut_back(path: &Path, step: u64) -> std::io::Result<File> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    let mut reader = BufReader::new(&file);
    let (mut keep, mut line) = (0, Vec::new());
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)?;
        let row = serde_json::from_slice::<Step>(&line);
        if !line.ends_with(b"\n") || row.map_or(true, |row| row.step > step) {
            break;
        }
        keep += read as u64;
    }
    file.set_len(keep)?;
    file.seek(SeekFrom::End(0))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(step: u64) -> Row {
        Row {
            step,
            epoch: step as f64 / 7.0,
            loss: -1.0 / 3.0,
            loss_1d: -0.5,
            loss_2d: Some(-0.25),
            z_std: 0.9,
            z2d_std: Some(0.8),
            lr: 0.1,
            tau: 0.996,
            iou: 0.6,
            probe_miou: None,
            fused_kernels: Some("off: the device is a CPU".to_owned()),
            diagnostics: Diagnostics {
                grad_norm: Some(1.0 / 3.0),
                ..Diagnostics::default()
            },
            pairs_per_s: 10.0,
            step_s: 0.1,
            data_wait_s: 0.001,
            loader_cpu: Some(0.25),
            between_ranks: BetweenRanks::default(),
        }
    }

    #[test]
    fn rows_after_the_checkpoint_and_torn_lines_are_cut() {
        let dir = tempfile::tempdir().unwrap();
        let mut recorder = Recorder::open(Some(dir.path()), 0, 0).unwrap();
        (1..=4).for_each(|step| recorder.write(&row(step)).unwrap());
        let files = recorder.0.as_mut().unwrap();
        files.lines.write_all(b"{\"step\": 5, \"epo").unwrap();
        drop(recorder);
        let mut recorder = Recorder::open(Some(dir.path()), 2, 2).unwrap();
        recorder.write(&row(3)).unwrap();
        assert_eq!(read(dir.path()).unwrap(), [row(1), row(2), row(3)]);
    }

    #[test]
    fn rows_of_another_version_are_rows_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let past = "{\"step\":1,\"other\":2}\n{\"step\":2}\n";
        std::fs::write(&path, format!("{past}{{\"step\":3}}\n")).unwrap();
        drop(Recorder::open(Some(dir.path()), 2, 2).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), past);
    }

    #[test]
    fn a_row_has_the_promised_keys() {
        let value = serde_json::to_value(row(1)).unwrap();
        let object = value.as_object().unwrap();
        for key in [
            "step",
            "epoch",
            "loss",
            "loss_1d",
            "loss_2d",
            "lr",
            "tau",
            "pairs_per_s",
            "step_s",
            "data_wait_s",
            "z_std",
            "z2d_std",
            "z_rank",
            "fused_kernels",
            "cluster_min",
            "cluster_max",
            "cluster_empty",
            "grad_norm",
            "weight_norm",
            "trust_min",
            "trust_median",
            "trust_max",
        ] {
            assert!(object.contains_key(key), "{key}");
        }
    }
}
