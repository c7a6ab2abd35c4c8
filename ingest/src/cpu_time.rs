//! Where the CPU time of a run goes: one counter for every stage of a frame.
//!
//! A thread calls [`lap`] at the end of every stage: the CPU time since its previous lap is charged
//! to that stage, so nothing between two laps is forgotten, and waiting costs nothing. The counters
//! are thread-local, because laps lie deep inside the iterators of the sources and inside the
//! pyramid; a thread hands them over with [`collect`] when it ends. A lap is one system call, a
//! fraction of a microsecond; a frame has about ten.

use std::cell::RefCell;

use rustix::time::{ClockId, clock_gettime};
use serde::{Serialize, Serializer};

/// What is done for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Listing and reading inputs, handing items from thread to thread.
    Read,
    /// Checksums of input records.
    Crc,
    /// Messages that hold images, headers of images.
    Parse,
    /// Writing level 0 again with restart markers and index. The Huffman decoding before it counts
    /// as decoding, unless level 0 is the only one.
    Transcode,
    /// Huffman decoding, inverse DCT.
    Decode,
    /// Halving level by level; margins.
    Resize,
    /// Encoding levels from pixels.
    Encode,
    /// Order, checksums of the levels, Parquet, copying into the page cache.
    Write,
}

impl Stage {
    /// All stages and their names in tables and in JSON, in order.
    pub(crate) const ALL: [(Self, &'static str); 8] = [
        (Self::Read, "read"),
        (Self::Crc, "crc"),
        (Self::Parse, "parse"),
        (Self::Transcode, "transcode"),
        (Self::Decode, "decode"),
        (Self::Resize, "resize"),
        (Self::Encode, "encode"),
        (Self::Write, "write"),
    ];
}

/// CPU time by stage in milliseconds; as JSON, an object of it by name.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StageTimes([f64; Stage::ALL.len()]);

impl StageTimes {
    /// Time and name of every stage, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, f64)> {
        Stage::ALL
            .iter()
            .map(|&(stage, name)| (name, self.0[stage as usize]))
    }

    /// Adds another thread's counters.
    pub(crate) fn add(&mut self, other: &Self) {
        self.0
            .iter_mut()
            .zip(other.0)
            .for_each(|(mine, theirs)| *mine += theirs);
    }

    /// The share of one of `count` frames.
    pub(crate) fn per_frame(&self, count: u64) -> Self {
        Self(self.0.map(|ms| ms / count.max(1) as f64))
    }
}

impl Serialize for StageTimes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

thread_local! {
    /// This thread's counters, and its CPU time at the last lap.
    static LAPS: RefCell<(StageTimes, f64)> = RefCell::default();
}

/// Charges the calling thread's CPU time since its previous lap, or its start, to `stage`.
pub(crate) fn lap(stage: Stage) {
    let now_ms = cpu_ms(ClockId::ThreadCPUTime);
    LAPS.with_borrow_mut(|(times, last_ms)| {
        times.0[stage as usize] += now_ms - *last_ms;
        *last_ms = now_ms;
    });
}

/// The calling thread's counters, which begin anew.
pub(crate) fn collect() -> StageTimes {
    LAPS.replace((StageTimes::default(), cpu_ms(ClockId::ThreadCPUTime)))
        .0
}

/// CPU time of all threads of the process in milliseconds.
pub(crate) fn process_cpu_ms() -> f64 {
    cpu_ms(ClockId::ProcessCPUTime)
}

fn cpu_ms(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total_ms(times: &StageTimes) -> f64 {
        times.iter().map(|(_, ms)| ms).sum()
    }

    fn work() -> f64 {
        (1..300_000).map(|i| f64::from(i).sqrt()).sum()
    }

    #[test]
    fn laps_account_for_all_cpu_time_of_their_thread() {
        collect();
        let before_ms = cpu_ms(ClockId::ThreadCPUTime);
        let mut sum = work();
        lap(Stage::Decode);
        sum += work();
        lap(Stage::Write);
        let spent_ms = cpu_ms(ClockId::ThreadCPUTime) - before_ms;
        let times = collect();
        assert!(sum > 0.0);
        assert!(times.0[Stage::Decode as usize] > 0.0 && times.0[Stage::Write as usize] > 0.0);
        assert!(
            (total_ms(&times) / spent_ms - 1.0).abs() < 0.05,
            "{times:?} of {spent_ms} ms"
        );
        assert_eq!(collect(), StageTimes::default());
    }

    #[test]
    fn threads_count_for_themselves() {
        collect();
        let theirs = std::thread::spawn(|| {
            let sum = work();
            lap(Stage::Encode);
            (sum, collect())
        });
        let (sum, theirs) = theirs.join().unwrap();
        assert!(sum > 0.0 && total_ms(&theirs) > 0.0);
        assert_eq!(collect(), StageTimes::default());
        let mut both = StageTimes::default();
        both.add(&theirs);
        both.add(&theirs);
        assert_eq!(both.per_frame(2), theirs);
    }

    #[test]
    fn stages_are_named_in_order() {
        for (ix, (stage, _)) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, ix);
        }
        let json = serde_json::to_string(&StageTimes::default()).unwrap();
        assert!(json.starts_with(r#"{"read":0.0,"crc":0.0,"#), "{json}");
    }
}
