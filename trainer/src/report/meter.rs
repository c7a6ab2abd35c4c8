//! How fast steps are, how long they wait for data, and what the loader costs them.

use std::time::{Duration, Instant};

use tch::Device;

use super::cpu::CpuTimes;

/// Times steps and, inside them, the wait for data.
pub struct Meter {
    device: Device,
    since: Instant,
    /// CPU time then, where steps and loader share cores.
    cpu: Option<CpuTimes>,
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
    /// The loader's share of the program's CPU time; `None` where the step computes elsewhere, or
    /// the kernel does not tell.
    pub loader_cpu: Option<f64>,
}

impl Meter {
    /// Starts the clock, for steps that compute on `device`.
    pub fn start(device: Device) -> Self {
        Meter {
            device,
            since: Instant::now(),
            cpu: cpu_times(device),
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
        let cpu = cpu_times(self.device);
        let pace = (self.steps > 0).then(|| Pace {
            pairs_per_s: self.pairs as f64 / seconds,
            step_s: seconds / steps,
            data_wait_s: self.wait.as_secs_f64() / steps,
            loader_cpu: cpu.and_then(|now| now.loader_share_since(&self.cpu?)),
        });
        *self = Meter::start(self.device);
        pace
    }
}

fn cpu_times(device: Device) -> Option<CpuTimes> {
    match device {
        Device::Cpu => CpuTimes::now(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_meter_separates_waiting_from_working() {
        let mut meter = Meter::start(Device::Cpu);
        assert!(meter.read().is_none());
        meter.data(|| std::thread::sleep(Duration::from_millis(20)));
        meter.step(8);
        let pace = meter.read().unwrap();
        assert!(pace.data_wait_s >= 0.02 && pace.step_s >= pace.data_wait_s);
        assert!((pace.pairs_per_s * pace.step_s - 8.0).abs() < 1e-9);
        assert_eq!(pace.loader_cpu, Some(0.0), "there is no loader here");
    }
}
