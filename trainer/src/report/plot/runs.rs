//! The runs of a plot: their names, their rows, and where each lies from left to right.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ValueEnum;
use console::usage;

use crate::report::metrics::{self, Row};

/// The file of a run that is read.
const METRICS: &str = "metrics.jsonl";
const SECONDS_PER_HOUR: f64 = 3600.0;

/// What runs from left to right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// Optimizer steps.
    Step,
    /// Passes over the data.
    Epoch,
    /// Hours of training; the time between an interruption and its resumption does not count.
    Hour,
}

impl By {
    /// The unit, for people.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Step => "steps",
            Self::Epoch => "epochs",
            Self::Hour => "hours",
        }
    }
}

/// A run's rows, and where each lies from left to right.
pub(super) struct Run {
    pub(super) name: String,
    pub(super) rows: Vec<(f64, Row)>,
}

/// Reads runs.
///
/// # Errors
/// If a folder holds no metrics.
pub(super) fn read_all(paths: &[PathBuf], by: By) -> Result<Vec<Run>> {
    let runs = paths.iter().zip(distinct_names(paths)).map(|(path, name)| {
        Ok(Run {
            name,
            rows: place(read(path)?, by),
        })
    });
    runs.collect()
}

fn read(run: &Path) -> Result<Vec<Row>> {
    if !run.join(METRICS).is_file() {
        return Err(usage(format!("no run at {run:?}: it holds no {}", METRICS)));
    }
    let rows = metrics::read(run)?;
    match rows.is_empty() {
        true => Err(usage(format!(
            "nothing to plot: {:?} holds no whole row yet",
            run.join(METRICS)
        ))),
        false => Ok(rows),
    }
}

fn place(rows: Vec<Row>, by: By) -> Vec<(f64, Row)> {
    let (mut seconds, mut step) = (0.0, 0);
    let placed = rows.into_iter().map(|row| {
        seconds += row.step_s * row.step.saturating_sub(step) as f64;
        step = row.step;
        let x = match by {
            By::Step => row.step as f64,
            By::Epoch => row.epoch,
            By::Hour => seconds / SECONDS_PER_HOUR,
        };
        (x, row)
    });
    placed.collect()
}

/// The last part of each path, or as many of the last parts as it takes to tell them apart.
fn distinct_names(paths: &[PathBuf]) -> Vec<String> {
    let parts: Vec<Vec<String>> = paths.iter().map(|path| parts(path)).collect();
    let most = parts.iter().map(Vec::len).max().unwrap_or(1);
    let named = |count: usize| -> Vec<String> {
        parts
            .iter()
            .map(|parts| parts[parts.len().saturating_sub(count)..].join("/"))
            .collect()
    };
    let are_distinct = |names: &[String]| {
        names
            .iter()
            .enumerate()
            .all(|(ix, name)| !names[..ix].contains(name))
    };
    (1..=most)
        .map(named)
        .find(|names| are_distinct(names))
        .unwrap_or_else(|| named(1))
}

/// What a path is made of; a name for `.` too.
fn parts(path: &Path) -> Vec<String> {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    whole
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_short_as_they_can_be() {
        let names =
            |paths: &[&str]| distinct_names(&paths.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(names(&["no/runs/a", "no/runs/b"]), ["a", "b"]);
        assert_eq!(
            names(&["no/x/seed_0", "no/y/seed_0"]),
            ["x/seed_0", "y/seed_0"]
        );
        assert_eq!(names(&["no/a", "no/a"]), ["a", "a"]);
    }

    /// A row as earlier versions wrote it: it can still be read.
    fn row(step: u64, step_s: f64) -> Row {
        let text = r#"{"step":1,"epoch":0.5,"loss":-2.9,"loss_1d":-0.6,"loss_2d":null,"z_std":0.7,"z2d_std":null,"lr":0.9,
            "tau":0.99,"iou":0.65,"pairs_per_s":26.7,"step_s":0.6,"data_wait_s":2.1e-6}"#;
        Row {
            step,
            step_s,
            ..serde_json::from_str(text).unwrap()
        }
    }

    #[test]
    fn hours_are_those_of_the_steps() {
        let placed = place(
            vec![row(1, 3600.0), row(11, 360.0), row(12, 1800.0)],
            By::Hour,
        );
        let hours: Vec<f64> = placed.iter().map(|(hours, _)| *hours).collect();
        assert_eq!(hours, [1.0, 2.0, 2.5]);
        assert_eq!(place(vec![row(7, 1.0)], By::Step)[0].0, 7.0);
        assert_eq!(place(vec![row(7, 1.0)], By::Epoch)[0].0, 0.5);
    }
}
