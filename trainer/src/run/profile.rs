//! `trainer run --profile`: where the time of a step goes.
//!
//! A GPU works behind the program's back, so a profile waits for it after every phase: steps are
//! somewhat slower than without, and each phase's time is its own. The first step, which tunes and
//! allocates, is left out.

use std::fmt;
use std::time::Instant;

use serde::Serialize;
use tch::{Cuda, Device};

use crate::report::BetweenRanks;

/// A part of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for the loader.
    Data,
    /// To the device, as normalised floats.
    Upload,
    /// Both networks, and the loss.
    Forward,
    /// Gradients.
    Backward,
    /// The mean of all ranks' gradients.
    Ranks,
    /// Gate, optimizer and moving average.
    Update,
}

const NAMES: [&str; 6] = [
    "data wait",
    "upload",
    "forward",
    "backward",
    "ranks",
    "update",
];
/// Rows, pictures, probes, and the copies of checkpoints.
const REST: &str = "rest";

/// Adds up the phases of steps.
pub struct Profile {
    /// `None`: nothing is timed, and nothing waits.
    device: Option<Device>,
    /// `None` before the first step has ended.
    since: Option<Instant>,
    steps: u64,
    seconds: [f64; NAMES.len()],
}

/// What a profile found.
#[derive(Clone, Debug, Serialize)]
pub struct Phases {
    /// Steps that were timed.
    pub steps: u64,
    /// Names and mean milliseconds of a step.
    pub phases: Vec<(&'static str, f64)>,
    /// What of it is spent on other ranks, in whichever phase.
    #[serde(flatten)]
    pub between_ranks: BetweenRanks,
}

impl Profile {
    /// A profile of what runs on `device`; an idle one if not `on`.
    pub fn new(on: bool, device: Device) -> Self {
        Profile {
            device: on.then_some(device),
            since: None,
            steps: 0,
            seconds: Default::default(),
        }
    }

    /// Runs `work` as part of `phase`.
    pub fn time<T>(&mut self, phase: Phase, work: impl FnOnce() -> T) -> T {
        let Some(device) = self.device else {
            return work();
        };
        let begin = Instant::now();
        let value = work();
        if let Device::Cuda(ordinal) = device {
            Cuda::synchronize(ordinal as i64);
        }
        self.seconds[phase as usize] += begin.elapsed().as_secs_f64();
        value
    }

    /// Ends a step.
    pub fn step(&mut self) {
        match self.since {
            Some(_) => self.steps += 1,
            None => (self.since, self.seconds) = (Some(Instant::now()), Default::default()),
        }
    }

    /// Means over the steps but the first; `None` if nothing was timed.
    pub fn phases(&self, between_ranks: BetweenRanks) -> Option<Phases> {
        let since = self
            .since
            .filter(|_| self.steps > 0 && self.device.is_some())?;
        let mean = |seconds: f64| 1e3 * seconds / self.steps as f64;
        let rest = since.elapsed().as_secs_f64() - self.seconds.iter().sum::<f64>();
        let named = NAMES
            .into_iter()
            .chain([REST])
            .zip(self.seconds.into_iter().chain([rest]));
        // A process alone has none.
        let of_ranks = NAMES[Phase::Ranks as usize];
        let named = named.filter(|(name, seconds)| *name != of_ranks || *seconds > 0.0);
        Some(Phases {
            steps: self.steps,
            phases: named.map(|(name, seconds)| (name, mean(seconds))).collect(),
            between_ranks,
        })
    }
}

impl fmt::Display for Phases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: f64 = self.phases.iter().map(|(_, ms)| ms).sum();
        writeln!(f, "mean of {} steps", self.steps)?;
        for (name, ms) in &self.phases {
            writeln!(f, "{name:10} {ms:9.2} ms  {:5.1} %", 100.0 * ms / total)?;
        }
        write!(f, "{:10} {total:9.2} ms", "step")?;
        let BetweenRanks {
            collectives_s: Some(collectives),
            rank_wait_s: Some(wait),
            slowest_rank: Some(slowest),
        } = self.between_ranks
        else {
            return Ok(());
        };
        let share = |seconds: f64| 1e5 * seconds / total;
        write!(
            f,
            "\nof it {:.2} ms ({:.1} %) in collectives, and {:.2} ms ({:.1} %) waiting for the slowest rank, {slowest}",
            1e3 * collectives,
            share(collectives),
            1e3 * wait,
            share(wait)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn profiled(on: bool) -> Option<Phases> {
        let mut profile = Profile::new(on, Device::Cpu);
        for step in 0..3 {
            // The first step is slow, and does not count.
            let pause = if step == 0 { 80 } else { 4 };
            profile.time(Phase::Forward, || {
                std::thread::sleep(Duration::from_millis(pause))
            });
            profile.step();
        }
        profile.phases(BetweenRanks::default())
    }

    #[test]
    fn phases_are_means_of_all_steps_but_the_first() {
        assert!(profiled(false).is_none());
        let found = profiled(true).unwrap();
        assert_eq!(found.steps, 2);
        let (name, ms) = found.phases[Phase::Forward as usize];
        assert!(name == "forward" && (4.0..80.0).contains(&ms), "{ms}");
        assert_eq!(found.phases[Phase::Data as usize].1, 0.0);
    }
}
