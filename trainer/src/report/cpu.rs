//! The loader's share of the program's CPU time.
//!
//! Where the step computes on the CPU, loader and step share its cores: then the loader can take
//! most of the time although the step never waits for it. The kernel counts the time of every
//! thread, and the loader's threads are known by their name, so this costs the threads nothing.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use sampler::WORKER_NAME;

/// A folder for every thread of this process.
const THREADS: &str = "/proc/self/task";

/// CPU time since the process began.
#[derive(Clone, Copy, Debug)]
pub(super) struct CpuTimes {
    loader: Duration,
    process: Duration,
}

impl CpuTimes {
    /// Until now; `None` where the kernel does not tell.
    pub(super) fn now() -> Option<Self> {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        Some(CpuTimes {
            loader: loader_time().ok()?,
            process: Duration::new(time.tv_sec as u64, time.tv_nsec as u32),
        })
    }

    /// The loader's share of the time since `earlier`, if any has passed.
    pub(super) fn loader_share_since(&self, earlier: &Self) -> Option<f64> {
        let loader = self.loader.saturating_sub(earlier.loader).as_secs_f64();
        let process = self.process.saturating_sub(earlier.process).as_secs_f64();
        // The kernel brings the clocks of running threads up to date one by one.
        (process > 0.0).then(|| (loader / process).min(1.0))
    }
}

/// Time of all worker threads that there are.
fn loader_time() -> io::Result<Duration> {
    let mut nanos = 0;
    for thread in fs::read_dir(THREADS)? {
        let thread = thread?.path();
        // A thread that has just ended has no name any more.
        let name = fs::read_to_string(thread.join("comm")).unwrap_or_default();
        if name.starts_with(WORKER_NAME) {
            nanos += time_on_cpu(&thread)?;
        }
    }
    Ok(Duration::from_nanos(nanos))
}

/// Nanoseconds that a thread has run: the first of three numbers.
fn time_on_cpu(thread: &Path) -> io::Result<u64> {
    let text = fs::read_to_string(thread.join("schedstat"))?;
    let first = text.split(' ').next().and_then(|text| text.parse().ok());
    first.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Instant;

    fn burn(millis: u64) {
        let since = Instant::now();
        while since.elapsed() < Duration::from_millis(millis) {
            black_box((0..1000).map(f64::from).map(f64::sqrt).sum::<f64>());
        }
    }

    #[test]
    fn a_thread_of_the_loaders_name_counts_and_others_do_not() {
        let before = loader_time().unwrap();
        thread::spawn(|| burn(60)).join().unwrap();
        let (done, ended) = (channel(), channel::<()>());
        let worker = thread::Builder::new().name(format!("{WORKER_NAME}0"));
        let worker = worker
            .spawn(move || {
                burn(60);
                done.0.send(()).unwrap();
                let _ = ended.1.recv();
            })
            .unwrap();
        done.1.recv().unwrap();
        let loader = loader_time().unwrap() - before;
        // Other processes may take the core meanwhile, so only bounds that hold in any case.
        assert!(
            loader > Duration::ZERO && loader < Duration::from_millis(115),
            "{loader:?}"
        );
        drop(ended.0);
        worker.join().unwrap();
    }

    #[test]
    fn shares_are_of_what_has_passed() {
        let at = |loader, process| CpuTimes {
            loader: Duration::from_millis(loader),
            process: Duration::from_millis(process),
        };
        assert_eq!(at(30, 100).loader_share_since(&at(10, 20)), Some(0.25));
        assert_eq!(at(30, 20).loader_share_since(&at(10, 10)), Some(1.0));
        assert_eq!(at(10, 20).loader_share_since(&at(10, 20)), None);
    }
}
