//! What a person sees while a run goes on: a bar on a terminal, plain lines when piped.
//!
//! Both show the loss beside its least value, where there is one, and beside the spread of the
//! projections (a collapse also makes the loss fall). Beside the step time they show the wait for
//! data or, where loader and step share cores, how they share them. The time to the end is told
//! once the pace is known: the first row of a call also measures how the loader starts.

use std::time::Duration;

use console::HumanDuration;

use super::metrics::Row;

/// The bar on a terminal.
const BAR: &str = "{bar:24} {pos}/{len}  {msg}";

/// The console of one run.
pub struct Progress {
    shown: console::Progress,
    least_loss: Option<f64>,
    /// Whether the first row of this call has passed.
    knows_pace: bool,
}

impl Progress {
    /// A console for the steps `done..stop`, with the least value of the loss, if it has one.
    pub fn new(done: u64, stop: u64, least_loss: Option<f64>) -> Self {
        Progress {
            shown: console::Progress::new(BAR, done, stop).with_tick(),
            least_loss,
            knows_pace: false,
        }
    }

    /// Counts one step on the bar.
    pub fn step(&self, step: u64) {
        self.shown.at(step);
    }

    /// Shows a row: at once on a terminal, else every ten seconds and for the last step.
    pub fn row(&mut self, row: &Row) {
        let stop = self.shown.len();
        let steps_left = self.knows_pace.then(|| stop.saturating_sub(row.step));
        self.knows_pace = true;
        let described = describe(row, self.least_loss, steps_left);
        self.shown.show(
            row.step,
            || described.clone(),
            |_| format!("step {}/{stop}  {described}", row.step),
        );
    }

    /// Prints a line that stays, above the bar.
    pub fn note(&self, line: &str) {
        self.shown.note(line);
    }

    /// Ends the bar, leaving its last state on the screen.
    pub fn finish(&self) {
        self.shown.leave();
    }
}

/// Who takes how much of the CPU time, given the loader's share.
pub(crate) fn cpu_shares(loader: f64) -> String {
    let loader = (100.0 * loader).round();
    format!("loader {loader} %, step {} %", 100.0 - loader)
}

/// A row in one line. `steps_left` is known with the pace.
fn describe(row: &Row, least_loss: Option<f64>, steps_left: Option<u64>) -> String {
    let least = least_loss.map_or(String::new(), |least| format!(" of {}", rounded(least)));
    let loss_2d = row
        .loss_2d
        .map_or(String::new(), |loss| format!("  2D {loss:+.3}"));
    let data = match row.loader_cpu {
        Some(share) => format!("CPU: {}", cpu_shares(share)),
        None => format!("data wait {:.0} %", 100.0 * row.data_wait_s / row.step_s),
    };
    let eta = match steps_left {
        None | Some(0) => String::new(),
        Some(steps) => {
            let left = Duration::from_secs_f64(steps as f64 * row.step_s);
            format!("  ETA {}", HumanDuration(left))
        }
    };
    format!(
        "epoch {:.2}  loss {:+.3}{least}  1D {:+.3}{loss_2d}  z_std {:.2}  lr {:.3}  tau {:.4}  {:.1} pairs/s  step {:.3} s  {data}{eta}",
        row.epoch, row.loss, row.loss_1d, row.z_std, row.lr, row.tau, row.pairs_per_s, row.step_s,
    )
}

/// With as many of three decimals as it takes.
fn rounded(value: f64) -> f64 {
    (1e3 * value).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        let text = r#"{"step": 7, "epoch": 0.5, "loss": -3.24, "loss_1d": -0.8, "loss_2d": null, "z_std": 0.9, "z2d_std": null,
            "lr": 0.1, "tau": 0.996, "iou": 0.6, "pairs_per_s": 12, "step_s": 2, "data_wait_s": 0.5}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_loss_is_shown_with_its_least_value_where_there_is_one() {
        let line = describe(&row(), Some(-4.000_000_1), None);
        assert!(line.contains("loss -3.240 of -4  1D"), "{line}");
        let line = describe(&row(), None, None);
        assert!(line.contains("loss -3.240  1D"), "{line}");
    }

    #[test]
    fn the_time_to_the_end_is_told_only_where_the_pace_is_known_and_something_is_left() {
        assert!(!describe(&row(), None, None).contains("ETA"));
        assert!(!describe(&row(), None, Some(0)).contains("ETA"));
        let line = describe(&row(), None, Some(90));
        assert!(line.ends_with("  ETA 3 minutes"), "{line}");
    }

    #[test]
    fn shared_cores_are_told_as_shares_and_others_as_a_wait() {
        assert!(describe(&row(), None, None).ends_with("  data wait 25 %"));
        let shared = Row {
            loader_cpu: Some(0.354),
            ..row()
        };
        let line = describe(&shared, None, None);
        assert!(line.ends_with("  CPU: loader 35 %, step 65 %"), "{line}");
    }
}
