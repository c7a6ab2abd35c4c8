//! What `trainer bench` says: one line of JSON, or some lines for people.

use std::fmt;

use anyhow::{Context, Result};
use model::Arch;
use model::device::Precision;
use serde::Serialize;
use tch::Device;

use super::blocks::Bench;
use super::{Request, flops};
use crate::report::{Pace, cpu_shares};

/// One measurement.
#[derive(Debug, Serialize)]
pub struct Report {
    /// `cpu`, `cuda:0`, ...
    pub device: String,
    /// The backbone.
    pub arch: Arch,
    /// Pairs in an optimizer step.
    pub batch: u64,
    /// Side of a view in pixels.
    pub size: u32,
    /// Of convolutions and matrix products.
    pub precision: Precision,
    /// `on`, or `off: ` and why.
    pub fused_kernels: String,
    /// Whether libtorch takes only operations that compute the same bits every time.
    pub deterministic: bool,
    /// `loader` or `memory`.
    pub data: &'static str,
    /// Seconds of the steps before the first block.
    pub warmup_s: f64,
    /// Mean milliseconds of a step, median over the blocks.
    pub step_ms: f64,
    /// Pairs a second in such a step.
    pub pairs_per_s: f64,
    /// Mean milliseconds of a step in which the program waited for a batch, likewise.
    pub data_wait_ms: f64,
    /// Share of the step that this is.
    pub data_wait_share: f64,
    /// Share of the CPUs that other programs used; null where the system does not tell.
    pub others_cpu_share: Option<f64>,
    /// The loader's share of the program's CPU time, where the step computes on the same cores;
    /// else null.
    pub loader_cpu_share: Option<f64>,
    /// What was optimised, at the last batch.
    pub loss: f64,
    /// The most that tensors held on the device at once, in GiB; null on the CPU.
    pub peak_gib: Option<f64>,
    /// Arithmetic of a step (`flops`), in 10^12 operations.
    pub tflop_per_step: f64,
}

impl Report {
    /// Sums up the blocks; there is one or more.
    pub(super) fn new(
        request: &Request<'_>,
        bench: &Bench,
        warmup_s: f64,
        blocks: &[Pace],
        others_cpu_share: Option<f64>,
    ) -> Result<Self> {
        let config = request.config;
        let step_s = median(blocks.iter().map(|pace| pace.step_s));
        let wait_s = median(blocks.iter().map(|pace| pace.data_wait_s));
        let shares: Option<Vec<f64>> = blocks.iter().map(|pace| pace.loader_cpu).collect();
        let peak = native::peak_memory_bytes(bench.device)?;
        let device = match bench.device {
            Device::Cuda(ordinal) => format!("cuda:{ordinal}"),
            _ => "cpu".to_owned(),
        };
        Ok(Report {
            device,
            arch: config.model.arch,
            batch: bench.pairs_per_step,
            size: config.augment.view_px,
            precision: config.optim.precision,
            fused_kernels: request.fused_kernels.to_string(),
            deterministic: native::is_deterministic(),
            data: bench.source.name(),
            warmup_s,
            step_ms: 1e3 * step_s,
            pairs_per_s: bench.pairs_per_step as f64 / step_s,
            data_wait_ms: 1e3 * wait_s,
            data_wait_share: wait_s / step_s,
            others_cpu_share,
            loader_cpu_share: shares.map(|shares| median(shares.into_iter())),
            loss: bench
                .loss
                .as_ref()
                .context("no step was measured")?
                .double_value(&[]),
            peak_gib: peak.map(|bytes| bytes as f64 / f64::from(1 << 30)),
            tflop_per_step: flops::of_step(config, &bench.stepper.method) / 1e12,
        })
    }
}

/// The middle value, or the mean of both; of one or more.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    f64::midpoint(values[(values.len() - 1) / 2], values[values.len() / 2])
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            device,
            arch,
            batch,
            size,
            precision,
            data,
            ..
        } = self;
        let config = format!("{arch:?}, {batch} pairs of {size} px, {precision:?}").to_lowercase();
        writeln!(f, "{config}, on {device}, pairs from {data}")?;
        let deterministic = if self.deterministic {
            ", deterministic"
        } else {
            ""
        };
        writeln!(f, "fused kernels {}{deterministic}", self.fused_kernels)?;
        let tflops = self.tflop_per_step / (self.step_ms / 1e3);
        writeln!(
            f,
            "step       {:10.2} ms   {tflops:.2} TFLOP/s",
            self.step_ms
        )?;
        writeln!(
            f,
            "data wait  {:10.2} ms   {:.1} % of the step",
            self.data_wait_ms,
            100.0 * self.data_wait_share
        )?;
        if let Some(share) = self.loader_cpu_share {
            writeln!(f, "CPU        {}", cpu_shares(share))?;
        }
        write!(f, "pairs/s    {:10.1}", self.pairs_per_s)?;
        match self.others_cpu_share.and_then(host::busy_machine) {
            Some(caution) => writeln!(f, "   {caution}")?,
            None => writeln!(f)?,
        }
        writeln!(f, "loss       {:+10.4}", self.loss)?;
        match self.peak_gib {
            Some(gib) => write!(f, "peak       {gib:10.2} GiB on the device"),
            None => write!(f, "warm-up    {:10.2} s", self.warmup_s),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_blocks_is_no_outlier() {
        assert_eq!(median([3.0, 100.0, 2.0].into_iter()), 3.0);
        assert_eq!(median([7.0].into_iter()), 7.0);
    }
}
