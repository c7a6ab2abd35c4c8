//! `trainer bench`: what a training step costs, without a run around it.
//!
//! The step is the one of `trainer run` ([`Stepper`]): upload, both networks, backward, gate,
//! optimizer, moving average. What differs is where its pairs come from ([`source`]), and that
//! nothing is logged or saved. The same step can be traced, operation by operation, and checked
//! against another program's ([`agree`]).

pub mod agree;
pub mod flops;
pub mod report;
pub mod source;

use std::fs::File;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use tch::{Cuda, Device, Tensor};

use crate::cli::BenchArgs;
use crate::config::RunConfig;
use crate::error::usage;
use crate::metrics::{Meter, Pace};
use crate::native;
use crate::optim::schedule::scaled_lr;
use crate::profile::Profile;
use crate::step::Stepper;
use crate::{run, session};

use report::Report;
use source::Source;

/// Blocks whose median is reported.
const BLOCKS: usize = 3;
/// Steps in a trace.
const TRACED_STEPS: u64 = 3;

/// Runs the command.
///
/// # Errors
/// A config, a folder or a device that cannot be had; a step whose losses are not finite.
pub fn bench(args: &BenchArgs) -> Result<()> {
    let (_, mut config) = run::resolve_config(&args.config)?;
    let (device, note) = session::settle(&mut config, &args.config.device)?;
    note.iter().for_each(|line| eprintln!("{line}"));
    if let Some(folder) = &args.agree {
        return agree::agree(folder, &config, device);
    }
    let trace = args.trace.as_deref().map(creatable).transpose()?;
    let mut bench = Bench::new(args.shards.as_deref(), &config, device)?;
    let begin = Instant::now();
    bench.steps(args.warmup)?;
    let warmup_s = begin.elapsed().as_secs_f64();
    let paces = match trace {
        Some(path) => vec![native::trace(path, device, || bench.steps(TRACED_STEPS))?],
        None => (0..BLOCKS)
            .map(|_| bench.steps(args.steps))
            .collect::<Result<_>>()?,
    };
    let report = Report::new(
        &config,
        &bench,
        warmup_s,
        &paces.into_iter().flatten().collect::<Vec<_>>(),
    )?;
    match args.json {
        true => println!(
            "{}",
            serde_json::to_string(&report).context("encoding the report")?
        ),
        false => println!("{report}"),
    }
    Ok(())
}

/// Refuses a file that could not be written, before minutes are spent on what belongs into it.
fn creatable(path: &Path) -> Result<&Path> {
    File::create(path).map_err(|e| usage(format!("--trace {}: {e}", path.display())))?;
    Ok(path)
}

/// A step that can be taken as often as one likes.
struct Bench {
    device: Device,
    source: Source,
    stepper: Stepper,
    /// Nothing is timed inside the steps: that would wait for the device.
    profile: Profile,
    step: u64,
    accumulate: u64,
    pairs_per_step: u64,
    /// Learning rate and EMA coefficient of every step.
    rates: (f64, f64),
    /// Of the last batch; on the device.
    loss: Option<Tensor>,
}

impl Bench {
    fn new(shards: Option<&Path>, config: &RunConfig, device: Device) -> Result<Self> {
        let pairs_per_step = config.pairs_per_step();
        Ok(Bench {
            device,
            source: Source::new(shards, config, device)?,
            stepper: Stepper::new(config, device)?,
            profile: Profile::new(false, device),
            step: 0,
            accumulate: config.data.accumulate,
            pairs_per_step,
            rates: (
                scaled_lr(config.optim.base_lr, pairs_per_step),
                config.schedule.tau,
            ),
            loss: None,
        })
    }

    /// Takes some steps between two synchronisations with the device, and says how fast; `None` for
    /// no steps.
    fn steps(&mut self, number: u64) -> Result<Option<Pace>> {
        synchronise(self.device);
        let mut meter = Meter::start();
        for _ in 0..number {
            self.step(&mut meter)?;
        }
        synchronise(self.device);
        let pace = meter.read();
        match self.stepper.gate.first_bad() {
            Some((step, term)) => {
                bail!("{term} is not finite at step {step}: no step after it is a training step")
            }
            None => Ok(pace),
        }
    }

    fn step(&mut self, meter: &mut Meter) -> Result<()> {
        self.step += 1;
        self.stepper.begin(self.step);
        for _ in 0..self.accumulate {
            let batch = meter.data(|| self.source.next_batch())?;
            let views = self.stepper.upload(batch, &mut self.profile)?;
            let losses = self.stepper.pass(&views, &mut self.profile);
            self.loss = Some(losses.total.detach());
        }
        self.stepper.end(self.rates, &mut self.profile);
        meter.step(self.pairs_per_step);
        Ok(())
    }
}

/// Waits for everything that a GPU has to do.
fn synchronise(device: Device) {
    if let Device::Cuda(ordinal) = device {
        Cuda::synchronize(ordinal as i64);
    }
}
