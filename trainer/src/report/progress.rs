//! What a person sees while a run goes on: a bar on a terminal, plain lines when piped.
//!
//! Both show the loss beside the spread of the projections (a collapse also makes the loss fall)
//! and the data wait beside the step time.

use std::time::Duration;

use console::HumanDuration;

use super::metrics::Row;

/// The bar on a terminal.
const BAR: &str = "{bar:24} {pos}/{len}  {msg}";

/// The console of one run.
pub struct Progress(console::Progress);

impl Progress {
    /// A console for the steps `done..stop`.
    pub fn new(done: u64, stop: u64) -> Self {
        Progress(console::Progress::new(BAR, done, stop).with_tick())
    }

    /// Counts one step on the bar.
    pub fn step(&self, step: u64) {
        self.0.at(step);
    }

    /// Shows a row: at once on a terminal, else every ten seconds and for the last step.
    pub fn row(&mut self, row: &Row) {
        let stop = self.0.len();
        self.0.show(
            row.step,
            || describe(row, stop),
            |_| format!("step {}/{stop}  {}", row.step, describe(row, stop)),
        );
    }

    /// Prints a line that stays, above the bar.
    pub fn note(&self, line: &str) {
        self.0.note(line);
    }

    /// Ends the bar, leaving its last state on the screen.
    pub fn finish(&self) {
        self.0.leave();
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
