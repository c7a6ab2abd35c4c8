//! The loop, to be read from top to bottom.
//!
//! One turn is one optimizer step: `accumulate` batches forward and backward, one update, one EMA,
//! behind a gate that lets no bad step through. Whatever happens beside it (log, checkpoint, stop)
//! is one `if` and one call. Nothing waits for the device but a row that is due and a checkpoint.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use model::files::checkpoint;
use native::Ranks;
use sampler::{Batch, Cursor};
use serde::Serialize;
use tch::{Kind, Tensor};

use super::checkpoint_writer::CheckpointWriter;
use super::log_grid::LogGrid;
use super::profile::{Phase, Phases, Profile};
use super::schedule::Schedule;
use super::session::Session;
use super::signals::Signals;
use crate::method::Losses;
use crate::report::{
    Diagnostics, Meter, Pace, Pictures, ProbeBeside, Progress, Recorder, Row, Sample, Warnings,
};

/// How a run ended.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Optimizer steps done.
    pub step: u64,
    /// Optimizer steps of the whole run.
    pub total_steps: u64,
    /// The signal that stopped it.
    pub interrupted_by: Option<&'static str>,
    /// The first row of this call.
    pub first: Option<Row>,
    /// The last row.
    pub last: Option<Row>,
    /// The newest checkpoint.
    pub checkpoint: Option<PathBuf>,
    /// The run's folder.
    pub run: PathBuf,
    /// Times of the phases of a step, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<Phases>,
}

/// Trains until the schedule ends, `stop_after` steps are done, or a signal comes; `profiled` times
/// the phases of its steps.
pub fn train(
    mut s: Session,
    stop_after: Option<u64>,
    signals: &Signals,
    profiled: bool,
) -> Result<Outcome> {
    let total = s.schedule.total_steps();
    let stop = stop_after.unwrap_or(total).min(total);
    let accumulate = s.config.data.accumulate;
    let grid = LogGrid::new(&s.config, &s.schedule);
    let kept = grid.last_kept(s.step, s.grid_before);
    let mut recorder = Recorder::open(s.run_dir.path(), kept, s.step)?;
    let mut checkpoints = CheckpointWriter::new(s.run_dir.path(), &s.config.run);
    let mut progress = Progress::new(s.step, stop, s.stepper.method.least_loss());
    s.notes.iter().for_each(|line| progress.note(line));
    let mut warnings = Warnings::default();
    let every = s.config.run.pictures_every_steps;
    let mut pictures = Pictures::new(
        every,
        s.config.method.kmeans(),
        s.config.model.cell_px(),
        s.device,
    );
    let probe = ProbeBeside::new(&s.config.probe, &s.config.model, s.device, &Ranks::alone())?;
    probe.note().iter().for_each(|line| progress.note(line));
    let (mut first, mut last, mut interrupted_by) = (None, None, None);
    let mut profile = Profile::new(profiled, s.device);

    let began_at = s.step;
    let mut batches = s.sampler.start(s.cursor)?;
    let mut meter = Meter::start(s.device);
    let mut known_good = (s.step, s.cursor);
    while s.step < stop && interrupted_by.is_none() {
        let (lr, tau) = (s.schedule.lr(s.step), s.schedule.tau(s.step));
        let mut sums = Sums::default();
        s.stepper.begin(s.step + 1);
        for _ in 0..accumulate {
            let batch = profile
                .time(Phase::Data, || meter.data(|| batches.next()))
                .expect("batches are endless but for an error, which ends this loop");
            let batch = match batch {
                Ok(batch) => batch,
                Err(why) => {
                    let since = (began_at, known_good);
                    return Err(end_without_data(&mut s, since, &mut checkpoints, why));
                }
            };
            sums.add_pairs(&batch);
            pictures.note(s.step + 1, &batch);
            let views = s.stepper.upload(Box::new(batch), &mut profile)?;
            sums.add_losses(s.stepper.pass(&views, &mut profile));
        }
        s.stepper.end((lr, tau), &mut profile);
        s.step += 1;
        s.cursor = batches.cursor();
        meter.step(s.config.pairs_per_step());
        progress.step(s.step);

        interrupted_by = signals.received();
        let ends = s.step == stop || interrupted_by.is_some();
        let has_row = ends || grid.is_due(s.step);
        let has_checkpoint = ends || s.step.is_multiple_of(s.config.run.checkpoint_every_steps);
        if has_row || has_checkpoint {
            refuse_bad_step(&mut s, &mut checkpoints, known_good)?;
            known_good = (s.step, s.cursor);
        }
        if has_row {
            let pace = meter.read().context("a row follows a step")?;
            let mut row = sums.row(s.step, &s.schedule, (lr, tau), pace);
            row.diagnostics =
                Diagnostics::measure(sums.sample(), s.stepper.gate.norms(), &s.stepper.optim);
            row.fused_kernels = Some(s.fused_kernels.to_string());
            row.probe_miou = probe
                .after_step(s.step, &s.stepper.method)
                .context("probing")?;
            recorder.write(&row)?;
            progress.row(&row);
            warnings
                .of(&row)
                .iter()
                .for_each(|line| progress.note(line));
            first.get_or_insert_with(|| row.clone());
            last = Some(row);
        }
        recorder.show(s.step, &pictures.draw(&s.stepper.method))?;
        if has_checkpoint {
            checkpoints.submit(s.snapshot(s.step, s.cursor)?)?;
        }
        profile.step();
    }
    progress.finish();
    Ok(Outcome {
        step: s.step,
        total_steps: total,
        interrupted_by,
        first,
        last,
        checkpoint: checkpoints.wait()?.map(PathBuf::from),
        run: s.run_dir.path().to_owned(),
        profile: profile.phases(),
    })
}

/// Stops the run at its first bad step, before anything is written of it or after it but the state
/// before it, which the gate has kept. `known_good` is a step before it and the batch after that.
fn refuse_bad_step(
    s: &mut Session,
    checkpoints: &mut CheckpointWriter,
    (good_step, good_cursor): (u64, Cursor),
) -> Result<()> {
    let Some((bad_step, term)) = s.stepper.gate.first_bad() else {
        return Ok(());
    };
    let bad = format!("{term} is not finite at step {bad_step}");
    let before = bad_step - 1;
    let batches = (before - good_step) * s.config.data.accumulate;
    let cursor = good_cursor.advanced(batches, s.sampler.steps_per_epoch());
    let saved = save_once(s, checkpoints, before, cursor)
        .with_context(|| format!("{bad}, and the state before it cannot be saved"))?;
    let state = match saved {
        Some(path) => format!("the state before it is {}", path.display()),
        None => "nothing has been learnt yet".to_owned(),
    };
    Err(anyhow!(
        "{bad}; {state}. A lower optim.base_lr (with --allow-change optim.base_lr) or a longer warm-up may help"
    ))
}

/// The loader gives no more batches: the step under way is dropped, and the steps done become a
/// checkpoint. The error that ends the run.
fn end_without_data(
    s: &mut Session,
    (began_at, known_good): (u64, (u64, Cursor)),
    checkpoints: &mut CheckpointWriter,
    why: sampler::Error,
) -> anyhow::Error {
    let why = anyhow::Error::new(why).context("loading a batch");
    s.stepper.gate.abandon();
    if s.step == began_at {
        return why;
    }
    let kept = match keep(s, checkpoints, known_good) {
        Ok(path) => format!("kept in {}", path.display()),
        Err(error) => format!("which could not be kept ({error:#})"),
    };
    why.context(format!("stopped after step {}, {kept}", s.step))
}

/// Writes a checkpoint of the steps done, if they are good.
fn keep(
    s: &mut Session,
    checkpoints: &mut CheckpointWriter,
    known_good: (u64, Cursor),
) -> Result<PathBuf> {
    refuse_bad_step(s, checkpoints, known_good)?;
    save_once(s, checkpoints, s.step, s.cursor)?.context("steps were done")
}

/// The checkpoint after `step` steps, which is written unless it is there. There is none of step 0
/// but an imported one.
fn save_once(
    s: &Session,
    checkpoints: &mut CheckpointWriter,
    step: u64,
    cursor: Cursor,
) -> Result<Option<PathBuf>> {
    checkpoints.wait()?;
    let newest = checkpoint::list(s.run_dir.path())?.pop();
    match newest {
        Some((of, path)) if of == step => Ok(Some(path)),
        _ if step == 0 => Ok(None),
        _ => {
            checkpoints.submit(s.snapshot(step, cursor)?)?;
            Ok(checkpoints.wait()?.map(PathBuf::from))
        }
    }
}

/// What the batches of one optimizer step add up to; losses stay on the device until a row is due.
#[derive(Default)]
struct Sums {
    /// `[total, 1D, z_std]`, and `[.., 2D, z2d_std]` for methods with a 2D branch; summed over the
    /// batches.
    losses: Option<Tensor>,
    /// Of the last batch.
    sample: Option<Sample>,
    batches: u32,
    iou: f64,
    pairs: u64,
}

impl Sums {
    fn add_pairs(&mut self, batch: &Batch) {
        self.pairs += batch.len() as u64;
        self.iou += batch.pairs().iter().map(|p| f64::from(p.iou)).sum::<f64>();
    }

    fn add_losses(&mut self, losses: Losses) {
        let Losses {
            total,
            loss_1d,
            loss_2d,
            z_std,
            z2d_std,
            z,
            clusters,
        } = losses;
        let scalars = [Some(total), Some(loss_1d), Some(z_std), loss_2d, z2d_std]
            .into_iter()
            .flatten();
        let scalars: Vec<Tensor> = scalars.map(|t| t.detach().to_kind(Kind::Float)).collect();
        let now = Tensor::stack(&scalars, 0);
        self.losses = Some(match self.losses.take() {
            None => now,
            Some(before) => before + now,
        });
        self.sample = Some(Sample { z, clusters });
        self.batches += 1;
    }

    fn sample(&self) -> &Sample {
        self.sample.as_ref().expect("a step has at least one batch")
    }

    /// Means over the batches. Waits for the device.
    fn row(&self, step: u64, schedule: &Schedule, (lr, tau): (f64, f64), pace: Pace) -> Row {
        let sums = self.losses.as_ref().expect("a step has at least one batch");
        let sums = Vec::<f32>::try_from(sums).expect("a vector of floats");
        let means: Vec<f64> = sums
            .iter()
            .map(|sum| f64::from(*sum) / f64::from(self.batches))
            .collect();
        Row {
            step,
            epoch: schedule.epoch(step),
            loss: means[0],
            loss_1d: means[1],
            loss_2d: means.get(3).copied(),
            z_std: means[2],
            z2d_std: means.get(4).copied(),
            lr,
            tau,
            iou: self.iou / self.pairs as f64,
            probe_miou: None,
            fused_kernels: None,
            diagnostics: Diagnostics::default(),
            pairs_per_s: pace.pairs_per_s,
            step_s: pace.step_s,
            data_wait_s: pace.data_wait_s,
            loader_cpu: pace.loader_cpu,
        }
    }
}
