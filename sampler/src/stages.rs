//! Where a worker's time goes: one counter for every stage of a sample.
//!
//! A worker owns one [`StageTimes`] and calls `lap` at the end of every stage:
//! all time since the previous lap is charged to that stage, so nothing between two laps can be
//! forgotten. With [`Clock::Off`], the default, a lap is one predictable branch and asks no clock;
//! `sampler bench` turns [`Clock::ThreadCpu`] on.

use rustix::time::{ClockId, clock_gettime};

/// What a worker does for one crop pair, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Drawing the two boxes and the augmentation parameters.
    Plan,
    /// Reading the bytes of a level, or touching them where they are mapped.
    Fetch,
    /// Copying the tiles of a rectangle into a small JPEG.
    Cut,
    /// Huffman, inverse DCT, upsampling, colour conversion.
    Decode,
    /// Crop to `side` × `side`.
    Resize,
    /// Brightness, contrast, saturation, hue.
    Jitter,
    /// Luma into all three channels.
    Grayscale,
    /// Box passes.
    Blur,
    /// Inverting bright values.
    Solarize,
    /// Flip, write into the slot, boxes, hand-over.
    Store,
}

impl Stage {
    /// All stages, in order.
    pub const ALL: [Self; 10] = [
        Self::Plan,
        Self::Fetch,
        Self::Cut,
        Self::Decode,
        Self::Resize,
        Self::Jitter,
        Self::Grayscale,
        Self::Blur,
        Self::Solarize,
        Self::Store,
    ];

    /// Its name in tables and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Fetch => "fetch",
            Self::Cut => "cut",
            Self::Decode => "decode",
            Self::Resize => "resize",
            Self::Jitter => "jitter",
            Self::Grayscale => "grayscale",
            Self::Blur => "blur",
            Self::Solarize => "solarize",
            Self::Store => "store",
        }
    }
}

/// Which clock the laps read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// None: laps cost nothing and count nothing.
    #[default]
    Off,
    /// CPU time of the calling thread: exact on a busy machine too, one system call a lap.
    ThreadCpu,
}

/// CPU time of the calling thread in nanoseconds.
pub(crate) fn thread_cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Nanoseconds by stage, of one worker.
#[derive(Clone, Debug, Default)]
pub struct StageTimes {
    clock: Clock,
    last_ns: u64,
    spent_ns: [u64; Stage::ALL.len()],
}

impl StageTimes {
    /// All counters at zero.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            ..Self::default()
        }
    }

    /// Starts a lap without charging the time that has passed to any stage.
    pub(crate) fn restart(&mut self) {
        if self.clock == Clock::ThreadCpu {
            self.last_ns = thread_cpu_ns();
        }
    }

    /// Charges the time since the previous lap (or restart) to `stage`.
    pub(crate) fn lap(&mut self, stage: Stage) {
        if self.clock == Clock::ThreadCpu {
            let now_ns = thread_cpu_ns();
            self.spent_ns[stage as usize] += now_ns - self.last_ns;
            self.last_ns = now_ns;
        }
    }

    /// Nanoseconds charged to `stage` so far.
    pub fn spent_ns(&self, stage: Stage) -> u64 {
        self.spent_ns[stage as usize]
    }

    /// Adds another worker's counters.
    pub(crate) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.spent_ns.iter_mut().zip(other.spent_ns) {
            *mine += theirs;
        }
    }

    /// What has been counted since `earlier`, a copy of these counters.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let mut passed = self.clone();
        for (mine, theirs) in passed.spent_ns.iter_mut().zip(earlier.spent_ns) {
            *mine -= theirs;
        }
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total_ns(times: &StageTimes) -> u64 {
        Stage::ALL.iter().map(|&stage| times.spent_ns(stage)).sum()
    }

    fn work() -> f64 {
        (1..200_000).map(|i| f64::from(i).sqrt()).sum()
    }

    #[test]
    fn laps_account_for_all_cpu_time_of_the_thread() {
        let started_ns = thread_cpu_ns();
        let mut times = StageTimes::new(Clock::ThreadCpu);
        times.restart();
        let mut sum = work();
        times.lap(Stage::Decode);
        sum += work();
        times.lap(Stage::Store);
        let measured_ns = thread_cpu_ns() - started_ns;
        assert!(sum > 0.0);
        assert!(times.spent_ns(Stage::Decode) > 0 && times.spent_ns(Stage::Store) > 0);
        assert!(total_ns(&times) <= measured_ns);
        assert!(total_ns(&times) as f64 > 0.95 * measured_ns as f64);
    }

    #[test]
    fn without_a_clock_nothing_is_counted() {
        let mut times = StageTimes::new(Clock::Off);
        times.restart();
        assert!(work() > 0.0);
        times.lap(Stage::Blur);
        assert_eq!(total_ns(&times), 0);
    }

    #[test]
    fn stages_are_numbered_in_order() {
        for (ix, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, ix);
        }
    }
}
