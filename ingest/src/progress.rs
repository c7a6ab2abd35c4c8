//! How far a run is: a bar on a terminal, a line every ten seconds elsewhere. Both go to standard
//! error.

use std::cell::RefCell;
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{
    DecimalBytes, HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle,
};

const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// What has been done so far.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    weight: u64,
    frames: u64,
    skipped: u64,
    bytes_in: u64,
    bytes_out: u64,
}

/// Reports progress of one run, from one thread.
pub struct Progress {
    bar: ProgressBar,
    is_terminal: bool,
    total_weight: u64,
    started: Instant,
    state: RefCell<(Counts, Instant)>,
}

impl Progress {
    /// Progress towards `total_weight`, the sum of all jobs' weights.
    pub fn new(total_weight: u64) -> Self {
        Self::with(total_weight, stderr().is_terminal())
    }

    /// Progress that nobody sees.
    pub fn hidden() -> Self {
        let progress = Self::with(0, true);
        progress.bar.set_draw_target(ProgressDrawTarget::hidden());
        progress
    }

    fn with(total_weight: u64, is_terminal: bool) -> Self {
        let target = if is_terminal {
            ProgressDrawTarget::stderr_with_hz(5)
        } else {
            ProgressDrawTarget::hidden()
        };
        let style = ProgressStyle::with_template("{bar:32} {percent:>3}%  {msg}  ETA {eta}");
        let bar = ProgressBar::with_draw_target(Some(total_weight.max(1)), target)
            .with_style(style.expect("the template is valid"));
        let now = Instant::now();
        Self {
            bar,
            is_terminal,
            total_weight,
            started: now,
            state: RefCell::new((Counts::default(), now)),
        }
    }

    /// Time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn add_frame(&self, weight: u64, bytes_in: u64, bytes_out: u64) {
        self.add(|counts| {
            counts.frames += 1;
            counts.weight += weight;
            counts.bytes_in += bytes_in;
            counts.bytes_out += bytes_out;
        });
    }

    pub(crate) fn add_skipped(&self, weight: u64, bytes_in: u64) {
        self.add(|counts| {
            counts.skipped += 1;
            counts.weight += weight;
            counts.bytes_in += bytes_in;
        });
    }

    /// Adds what of a finished shard no frame has claimed.
    pub(crate) fn add_shard(&self, weight: u64, bytes_out: u64) {
        self.add(|counts| {
            counts.weight += weight;
            counts.bytes_out += bytes_out;
        });
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn add(&self, change: impl FnOnce(&mut Counts)) {
        let (counts, last_line) = &mut *self.state.borrow_mut();
        change(counts);
        self.bar.set_position(counts.weight);
        if self.is_terminal {
            self.bar.set_message(self.message(counts));
        } else if last_line.elapsed() >= LINE_INTERVAL {
            *last_line = Instant::now();
            let percent = 100 * counts.weight / self.total_weight.max(1);
            eprintln!(
                "{percent:>3}%  {}  ETA {:#}",
                self.message(counts),
                HumanDuration(self.bar.eta())
            );
        }
    }

    fn message(&self, counts: &Counts) -> String {
        let seconds = self.elapsed().as_secs_f64().max(1e-3);
        let skipped = match counts.skipped {
            0 => String::new(),
            skipped => format!("  {} skipped", HumanCount(skipped)),
        };
        format!(
            "{} frames  {:.0}/s  {}/s in  {} out{skipped}",
            HumanCount(counts.frames),
            counts.frames as f64 / seconds,
            DecimalBytes((counts.bytes_in as f64 / seconds) as u64),
            DecimalBytes(counts.bytes_out),
        )
    }
}
