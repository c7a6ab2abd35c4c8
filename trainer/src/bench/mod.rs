//! What a training step costs, without a run around it.
//!
//! The step is the one of `trainer run` ([`Stepper`](crate::run::Stepper)): upload, both networks,
//! backward, gate, optimizer, moving average. What differs is where its pairs come from (`source`),
//! and that nothing is logged or saved. The same step can be traced, operation by operation, and
//! checked against another program's ([`agree`]).

mod agree;
mod blocks;
mod flops;
mod report;
mod source;

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use host::CpuTimes;
use model::device::FusedKernels;
use tch::Device;

use crate::config::RunConfig;
use blocks::Bench;

pub use agree::agree;
pub use report::Report;

/// Blocks whose median is reported.
const BLOCKS: usize = 3;
/// Steps in a trace.
const TRACED_STEPS: u64 = 3;

/// What to measure.
pub struct Request<'a> {
    /// Folder of shards; without one, pairs are random bytes in memory.
    pub shards: Option<&'a Path>,
    /// Whose step.
    pub config: &'a RunConfig,
    /// Where it computes.
    pub device: Device,
    /// Whether the fused kernels run there, or why not.
    pub fused_kernels: &'a FusedKernels,
    /// Steps in a block.
    pub steps: u64,
    /// Steps before the first block.
    pub warmup: u64,
    /// In place of the blocks, a few steps are traced into this file.
    pub trace: Option<&'a Path>,
}

/// Measures.
///
/// # Errors
/// A folder or a device that cannot be had; a step whose losses are not finite.
pub fn measure(request: &Request<'_>) -> Result<Report> {
    let mut bench = Bench::new(request.shards, request.config, request.device)?;
    let begin = Instant::now();
    bench.steps(request.warmup)?;
    let warmup_s = begin.elapsed().as_secs_f64();
    // While cuDNN tries its ways, it takes more than any step does.
    native::reset_peak_memory(request.device)?;
    let before = CpuTimes::now();
    let paces = match request.trace {
        Some(path) => vec![native::trace(path, request.device, || {
            bench.steps(TRACED_STEPS)
        })?],
        None => (0..BLOCKS)
            .map(|_| bench.steps(request.steps))
            .collect::<Result<_>>()?,
    };
    let others = CpuTimes::now().zip(before);
    let others = others.and_then(|(now, before)| now.others_since(&before));
    let paces: Vec<_> = paces.into_iter().flatten().collect();
    Report::new(request, &bench, warmup_s, &paces, others)
}
