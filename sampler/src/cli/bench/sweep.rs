//! Throughput over the number of threads.

use std::time::Duration;

use sampler::{Cursor, Sampler, SamplerConfig};

use super::measure::throughput;
use crate::cli::args::ThreadList;

/// Every number of threads is measured in so many turns, up and down the list, so that a drift of
/// the machine does not pass for a difference.
const TURNS: u32 = 2;

/// One number of threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub threads: usize,
    pub pairs_per_s: f64,
    /// Pairs/s of a thread, relative to the fewest threads measured.
    pub efficiency: f64,
}

/// Measures each number of threads for `time`.
pub(crate) fn measure(
    sampler: &Sampler,
    threads: &ThreadList,
    time: Duration,
) -> anyhow::Result<Vec<Point>> {
    let mut list = match threads {
        ThreadList::Doubling => doubling(host::shared_threads(0)),
        ThreadList::Given(list) => list.clone(),
    };
    list.sort_unstable();
    list.dedup();
    let mut sums = vec![(0.0, 0); list.len()];
    for turn in 0..TURNS {
        for step in 0..list.len() {
            let ix = if turn % 2 == 0 {
                step
            } else {
                list.len() - 1 - step
            };
            let config = SamplerConfig {
                threads: list[ix],
                ..sampler.config().clone()
            };
            let mut batches = sampler.with_config(config)?.start(Cursor::default())?;
            let (seconds, counters, _) = throughput(&mut batches, time / TURNS)?;
            sums[ix].0 += seconds;
            sums[ix].1 += counters.pairs;
        }
    }
    let per_thread = |ix: usize| sums[ix].1 as f64 / sums[ix].0 / list[ix] as f64;
    let point = |ix: usize| Point {
        threads: list[ix],
        pairs_per_s: per_thread(ix) * list[ix] as f64,
        efficiency: per_thread(ix) / per_thread(0),
    };
    Ok((0..list.len()).map(point).collect())
}

/// 1, 2, 4, … below `cores`, and `cores`.
fn doubling(cores: usize) -> Vec<usize> {
    let powers = std::iter::successors(Some(1), |threads| Some(threads * 2));
    powers
        .take_while(|&threads| threads < cores)
        .chain([cores])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_double_up_to_all_cores() {
        assert_eq!(doubling(1), [1]);
        assert_eq!(doubling(2), [1, 2]);
        assert_eq!(doubling(12), [1, 2, 4, 8, 12]);
    }
}
