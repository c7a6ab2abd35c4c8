//! How far a task is: a bar on a terminal, a line every ten seconds elsewhere. Both go to stderr. A
//! process for which another one speaks shows neither.

use std::fmt::{Display, Write};
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::output::say;
use crate::speaker::is_quiet;

/// Time between two plain lines: a log file stays readable at any speed.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The progress of one task, told from one thread.
pub struct Progress {
    bar: ProgressBar,
    is_terminal: bool,
    is_hidden: bool,
    is_quiet_at_end: bool,
    len: u64,
    started: Instant,
    last_line: Option<Instant>,
}

impl Progress {
    /// Progress from `done` to `len` units; `template` is that of [`indicatif::ProgressStyle`], with
    /// [`eta`](Self::eta) for its own.
    ///
    /// # Panics
    /// If `template` is none.
    pub fn new(template: &str, done: u64, len: u64) -> Self {
        let is_terminal = stderr().is_terminal() && !is_quiet();
        let target = if is_terminal {
            ProgressDrawTarget::stderr_with_hz(5)
        } else {
            ProgressDrawTarget::hidden()
        };
        let eta = |state: &ProgressState, out: &mut dyn Write| {
            // A bar that cannot be written is no reason to stop.
            let _ = out.write_str(&describe_eta(state.eta()));
        };
        let style = ProgressStyle::with_template(template).expect("the template is a constant");
        let style = style.with_key("eta", eta);
        let bar = ProgressBar::with_draw_target(Some(len.max(1)), target)
            .with_style(style)
            .with_position(done);
        Self {
            bar,
            is_terminal,
            is_hidden: is_quiet(),
            is_quiet_at_end: false,
            len,
            started: Instant::now(),
            last_line: None,
        }
    }

    /// A task with a name and nothing else to tell: the bar carries it, or one line announces it.
    pub fn announce(what: &str, len: u64) -> Self {
        let progress = Self::new("{msg} {wide_bar} {percent:>3} %", 0, len);
        progress.bar.set_message(what.to_owned());
        if !progress.is_terminal {
            say(format_args!("{what} …"));
        }
        Self {
            is_hidden: !progress.is_terminal,
            ..progress
        }
    }

    /// Progress that nobody sees.
    pub fn hidden() -> Self {
        Self {
            bar: ProgressBar::hidden(),
            is_terminal: false,
            is_hidden: true,
            is_quiet_at_end: true,
            len: 0,
            started: Instant::now(),
            last_line: None,
        }
    }

    /// The first plain line comes after ten seconds, not at once.
    pub fn quiet_at_first(mut self) -> Self {
        self.last_line = Some(self.started);
        self
    }

    /// There is no plain line at the end, whatever comes after says more.
    pub fn quiet_at_end(mut self) -> Self {
        self.is_quiet_at_end = true;
        self
    }

    /// Keeps the bar moving while nothing is told.
    pub fn with_tick(self) -> Self {
        if self.is_terminal {
            self.bar.enable_steady_tick(Duration::from_millis(250));
        }
        self
    }

    /// Moves the bar to `done` units.
    pub fn at(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// Shows where the task is: `message` beside the bar, or `line` when a plain line is due, which
    /// it is every ten seconds and at the end.
    pub fn show<M, L>(
        &mut self,
        done: u64,
        message: impl FnOnce() -> M,
        line: impl FnOnce(&Self) -> L,
    ) where
        M: Into<String>,
        L: Display,
    {
        self.at(done);
        if self.is_hidden {
            return;
        }
        if self.is_terminal {
            self.bar.set_message(message().into());
        } else if (done == self.len && !self.is_quiet_at_end)
            || self.last_line.is_none_or(|at| at.elapsed() >= LINE_EVERY)
        {
            self.last_line = Some(Instant::now());
            say(line(self));
        }
    }

    /// Prints a line that stays, above the bar.
    pub fn note(&self, line: &str) {
        self.bar.suspend(|| say(line));
    }

    /// Time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// `  ETA 5m`, or nothing until the pace is known. Templates have it as `{eta}`.
    pub fn eta(&self) -> String {
        describe_eta(self.bar.eta())
    }

    /// Units of the whole task.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Ends the bar and leaves its last state on the screen.
    pub fn leave(&self) {
        self.bar.abandon();
    }

    /// Removes the bar.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// What is left, after two blanks; indicatif knows no pace where it says zero.
fn describe_eta(left: Duration) -> String {
    match left.is_zero() {
        true => String::new(),
        false => format!("  ETA {:#}", HumanDuration(left)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_is_promised_before_the_pace_is_known() {
        assert_eq!(Progress::new("{eta}", 0, 10).eta(), "");
        assert_eq!(describe_eta(Duration::ZERO), "");
        assert_eq!(describe_eta(Duration::from_secs(300)), "  ETA 5m");
    }
}
