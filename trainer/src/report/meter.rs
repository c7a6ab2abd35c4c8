//! How fast steps are, and how long they wait for data.

use std::time::{Duration, Instant};

/// Times steps and, inside them, the wait for data.
pub struct Meter {
    since: Instant,
    wait: Duration,
    steps: u64,
    pairs: u64,
}

/// What a [`Meter`] saw since it was last read.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Pairs a second.
    pub pairs_per_s: f64,
    /// Mean seconds of a step.
    pub step_s: f64,
    /// Mean seconds of a step spent waiting for the loader.
    pub data_wait_s: f64,
}

impl Meter {
    /// Starts the clock.
    pub fn start() -> Self {
        Meter {
            since: Instant::now(),
            wait: Duration::ZERO,
            steps: 0,
            pairs: 0,
        }
    }

    /// Runs `wait` and counts its time as waiting for data.
    pub fn data<T>(&mut self, wait: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let value = wait();
        self.wait += begin.elapsed();
        value
    }

    /// Counts one optimizer step over `pairs` pairs.
    pub fn step(&mut self, pairs: u64) {
        self.steps += 1;
        self.pairs += pairs;
    }

    /// The pace since the last reading, or `None` before the first step; the clock starts again.
    pub fn read(&mut self) -> Option<Pace> {
        let steps = self.steps as f64;
        let seconds = self.since.elapsed().as_secs_f64();
        let pace = (self.steps > 0).then(|| Pace {
            pairs_per_s: self.pairs as f64 / seconds,
            step_s: seconds / steps,
            data_wait_s: self.wait.as_secs_f64() / steps,
        });
        *self = Meter::start();
        pace
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_meter_separates_waiting_from_working() {
        let mut meter = Meter::start();
        assert!(meter.read().is_none());
        meter.data(|| std::thread::sleep(Duration::from_millis(20)));
        meter.step(8);
        let pace = meter.read().unwrap();
        assert!(pace.data_wait_s >= 0.02 && pace.step_s >= pace.data_wait_s);
        assert!((pace.pairs_per_s * pace.step_s - 8.0).abs() < 1e-9);
    }
}
