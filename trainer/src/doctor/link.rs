//! How long the ranks take to add up what each of them has.

use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use console::told_elsewhere;
use native::Ranks;
use serde::Serialize;
use tch::{Cuda, Device, Kind, Tensor};

use crate::config::RunConfig;
use crate::method;

/// What a batch norm of 256 channels asks for: 2 KiB of float32.
const SMALL: i64 = 512;
/// All-reduces of a small tensor, and of a large one; odd, for the median.
const TIMES: (usize, usize) = (51, 5);

/// All-reduces of float32 on the device of the run.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Link {
    /// `nccl` or `gloo`.
    pub(super) over: &'static str,
    /// Of 2 KiB.
    pub(super) small: Timed,
    /// Of as many numbers as the model of rank 0 has parameters that are trained.
    pub(super) gradients: Timed,
}

/// An all-reduce.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Timed {
    /// Of one rank's tensor.
    pub(super) bytes: u64,
    /// Median of some, on the rank where it is longest.
    pub(super) seconds: f64,
    /// Bytes a second that each rank has to send, and to receive, in the best of all ways.
    pub(super) bus_bytes_per_s: f64,
}

impl Timed {
    /// Of n ranks each has to send 2(n-1)/n of its bytes, whatever the algorithm. So this compares
    /// to what the network can do, for any n.
    ///
    /// Source: "Bus bandwidth", doc/PERFORMANCE.md of NVIDIA's nccl-tests.
    fn new(bytes: u64, seconds: f64, ranks: usize) -> Self {
        let share = 2.0 * (ranks as f64 - 1.0) / ranks as f64;
        Timed {
            bytes,
            seconds,
            bus_bytes_per_s: share * bytes as f64 / seconds,
        }
    }
}

/// Times all-reduces on `device`; nothing for a process alone.
///
/// # Errors
/// If a rank does not answer, or the sum comes out wrong.
pub(super) fn measure(ranks: &Ranks, device: Device, config: &RunConfig) -> Result<Option<Link>> {
    if !ranks.are_several() {
        return Ok(None);
    }
    // The others may have another model: all have to send as much.
    let counted = ranks.first_alone(|| num_parameters(config))?;
    let num_parameters = ranks.total(counted.unwrap_or(0))?;
    Ok(Some(Link {
        over: if device.is_cuda() { "nccl" } else { "gloo" },
        small: time(ranks, device, SMALL, TIMES.0)?,
        gradients: time(ranks, device, num_parameters, TIMES.1)?,
    }))
}

/// Those that are trained.
fn num_parameters(config: &RunConfig) -> Result<i64> {
    let RunConfig { method, model, .. } = config;
    let method = method::build(method, model, Device::Cpu, Kind::Float, config.seed)?;
    let trained = method.params().trainable();
    Ok(trained.map(|entry| entry.tensor.numel() as i64).sum())
}

fn time(ranks: &Ranks, device: Device, elements: i64, times: usize) -> Result<Timed> {
    let number = ranks.rank() as f64 + 1.0;
    let mut x = Tensor::full([elements], number, (Kind::Float, device));
    ranks.sum_(&x); // connects the ranks, too
    let is_wrong = !adds_up(&x, ranks.size());
    if ranks.largest(is_wrong.into())? > 0 {
        return Err(match ranks.is_first() {
            true => anyhow!(
                "an all-reduce of {elements} numbers on {device:?} comes out wrong: no run can be trusted here"
            ),
            false => told_elsewhere(false),
        });
    }
    let _ = x.zero_();
    let mut seconds: Vec<f64> = (0..times).map(|_| seconds_of_sum(ranks, &x)).collect();
    seconds.sort_by(f64::total_cmp);
    let median = seconds.get(times / 2).context("nothing was timed")?;
    let slowest = ranks.largest((1e9 * median) as i64)? as f64 / 1e9;
    let bytes = elements as u64 * size_of::<f32>() as u64;
    Ok(Timed::new(bytes, slowest, ranks.size()))
}

/// Whether each element is the sum of the numbers from 1 to `size`.
fn adds_up(x: &Tensor, size: usize) -> bool {
    let expected = (size * (size + 1) / 2) as f64;
    let farthest = (x - expected).abs().max().double_value(&[]);
    farthest == 0.0
}

fn seconds_of_sum(ranks: &Ranks, x: &Tensor) -> f64 {
    wait(x.device());
    let began = Instant::now();
    ranks.sum_(x);
    wait(x.device());
    began.elapsed().as_secs_f64()
}

fn wait(device: Device) {
    if let Device::Cuda(ordinal) = device {
        Cuda::synchronize(ordinal as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bus_bandwidth_is_what_each_rank_has_to_send() {
        assert_eq!(Timed::new(100, 0.5, 2).bus_bytes_per_s, 200.0);
        assert_eq!(Timed::new(100, 0.5, 4).bus_bytes_per_s, 300.0);
    }

    #[test]
    fn ranks_time_how_they_add_up() {
        for size in [2, 3] {
            let found = Ranks::in_threads(size, |ranks| {
                let x = Tensor::full([5], ranks.rank() as f64 + 1.0, (Kind::Float, Device::Cpu));
                ranks.sum_(&x);
                assert!(adds_up(&x, size));
                let _ = x.get(3).fill_(0.0);
                assert!(!adds_up(&x, size));
                time(ranks, Device::Cpu, 300, 3).unwrap()
            });
            assert!(found.iter().all(|timed| *timed == found[0]), "{found:?}");
            assert!(found[0].bytes == 1200 && found[0].seconds > 0.0);
        }
    }
}
