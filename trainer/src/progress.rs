//! What a person sees while a run goes on: a bar on a terminal, plain lines when piped.
//!
//! Both show the loss beside the spread of the projections (a collapse also makes the loss fall)
//! and the data wait beside the step time. Everything goes to stderr: stdout belongs to `--json`.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use crate::metrics::Row;

/// Seconds between two plain lines: a log file stays readable at any speed.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The console of one run.
pub struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
    last_line: Option<Instant>,
    stop: u64,
}

impl Progress {
    /// A console for the steps `done..stop`.
    pub fn new(done: u64, stop: u64) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(stop).with_position(done);
            let template = "{bar:24} {pos}/{len}  {msg}";
            let style = ProgressStyle::with_template(template).expect("the template is a constant");
            bar.set_style(style);
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        Progress {
            bar,
            started: Instant::now(),
            last_line: None,
            stop,
        }
    }

    /// Counts one step on the bar.
    pub fn step(&self, step: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(step);
        }
    }

    /// Shows a row: at once on a terminal, else every ten seconds and for the last step.
    pub fn row(&mut self, row: &Row) {
        self.show("step ", row.step, describe(row, self.stop));
    }

    /// Counts `done` of the things of which there are as many as steps, likewise; `what` is their
    /// name.
    pub fn count(&mut self, done: u64, what: &str) {
        let per_s = done as f64 / self.started.elapsed().as_secs_f64();
        let eta =
            Duration::from_secs_f64((self.stop - done.min(self.stop)) as f64 / per_s.max(1e-3));
        self.step(done);
        self.show(
            "",
            done,
            format!("{what}  {per_s:.1} {what}/s  ETA {}", HumanDuration(eta)),
        );
    }

    fn show(&mut self, before: &str, done: u64, text: String) {
        match &self.bar {
            Some(bar) => bar.set_message(text),
            None if done == self.stop
                || self.last_line.is_none_or(|at| at.elapsed() >= LINE_EVERY) =>
            {
                self.last_line = Some(Instant::now());
                eprintln!("{before}{done}/{}  {text}", self.stop);
            }
            None => {}
        }
    }

    /// Prints a line that stays, above the bar.
    pub fn note(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// Ends the bar, leaving its last state on the screen.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}

fn describe(row: &Row, stop: u64) -> String {
    let loss_2d = row
        .loss_2d
        .map_or(String::new(), |loss| format!("  2D {loss:+.3}"));
    let eta = Duration::from_secs_f64((stop - row.step.min(stop)) as f64 * row.step_s);
    format!(
        "epoch {:.2}  loss {:+.3}  1D {:+.3}{loss_2d}  z_std {:.2}  lr {:.3}  tau {:.4}  {:.1} pairs/s  step {:.3} s  data wait {:.0} %  ETA {}",
        row.epoch,
        row.loss,
        row.loss_1d,
        row.z_std,
        row.lr,
        row.tau,
        row.pairs_per_s,
        row.step_s,
        100.0 * row.data_wait_s / row.step_s,
        HumanDuration(eta),
    )
}
