//! Who had the CPUs while something was measured.
//!
//! A number of pairs a second says little if other programs were at work: it is theirs as much as
//! the sampler's. So two shares stand beside it: how much of the machine others used, and how much
//! of a CPU each worker got. The second one also sees what the first cannot: a container's limit on
//! CPU time, or waiting for bytes.

use std::time::Instant;

use host::CpuTimes;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Load {
    /// CPU time of the workers, as a share of their number of CPUs.
    pub workers_share: f64,
    /// CPU time of other programs, as a share of the CPUs that this one may use, where the system
    /// tells.
    pub others_share: Option<f64>,
}

impl Load {
    /// What a reader of the throughput has to know.
    pub(crate) fn caution(&self) -> Option<String> {
        self.others_share.and_then(host::busy_machine)
    }
}

/// A measurement under way, begun and ended by the thread that takes the batches.
pub(crate) struct Watch {
    started: Instant,
    workers_s: f64,
    machine: Option<CpuTimes>,
}

impl Watch {
    pub(crate) fn start() -> Self {
        Self {
            machine: CpuTimes::now(),
            workers_s: workers_s(),
            started: Instant::now(),
        }
    }

    /// Seconds passed, and who had the CPUs in them, of which `threads` workers could use as many.
    pub(crate) fn stop(self, threads: usize) -> (f64, Load) {
        let seconds = self.started.elapsed().as_secs_f64();
        let workers_s = workers_s() - self.workers_s;
        let machine = CpuTimes::now().zip(self.machine);
        let load = Load {
            workers_share: workers_s / (seconds * threads as f64),
            others_share: machine.and_then(|(now, before)| now.others_since(&before)),
        };
        (seconds, load)
    }
}

/// CPU seconds of this process without the calling thread.
fn workers_s() -> f64 {
    let seconds = |time: Timespec| time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    seconds(clock_gettime(ClockId::ProcessCPUTime)) - seconds(clock_gettime(ClockId::ThreadCPUTime))
}
