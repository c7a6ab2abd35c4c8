//! The loop, to be read from top to bottom.
//!
//! One turn is one optimizer step: `accumulate` batches forward and backward, one update, one EMA,
//! behind a gate that lets no bad step through. Whatever happens beside it (log, checkpoint, stop)
//! is one `if` and one call. Nothing waits for the device but a row that is due and a checkpoint.
//!
//! Every rank goes through it alike. Rows are of all ranks; only rank 0 has files to write them to.

use std::path::PathBuf;

use anyhow::{Context, Result};
use native::Agreement;
use serde::Serialize;

use super::checkpoint_writer::CheckpointWriter;
use super::held::Held;
use super::log_grid::LogGrid;
use super::profile::{Phase, Phases, Profile};
use super::rescue::{end_without_data, refuse_bad_step};
use super::session::Session;
use super::signals::Signals;
use super::sums::Sums;
use crate::report::{
    BetweenRanks, CollectiveTimer, Diagnostics, Meter, Pictures, ProbeBeside, Progress, Recorder,
    Row, Warnings,
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
    /// The run's folder; none on ranks but the first.
    pub run: PathBuf,
    /// Times of the phases of a step, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<Phases>,
}

/// Trains until the schedule ends, `stop_after` steps are done, or a signal comes; `profiled` times
/// the phases of its steps.
pub fn train(
    session: Session,
    stop_after: Option<u64>,
    signals: &Signals,
    profiled: bool,
) -> Result<Outcome> {
    let ranks = session.ranks.clone();
    let mut s = Held::of(session, &ranks);
    let total = s.schedule.total_steps();
    let stop = stop_after.unwrap_or(total).min(total);
    let accumulate = s.config.data.accumulate;
    let grid = LogGrid::new(&s.config, &s.schedule);
    let kept = grid.last_kept(s.step, s.grid_before);
    let run_dir = s.run_dir.as_ref().map(|folder| folder.path().to_owned());
    let recorder = Recorder::open(run_dir.as_deref(), kept, s.step);
    let mut recorder = ranks.together(recorder)?;
    let mut checkpoints = CheckpointWriter::new(run_dir.as_deref(), &s.config.run);
    let mut progress = Progress::new(s.step, stop, s.stepper.method.least_loss());
    s.notes.iter().for_each(|line| progress.note(line));
    let mut warnings = Warnings::default();
    let every = match ranks.is_first() {
        true => s.config.run.pictures_every_steps,
        false => 0,
    };
    let mut pictures = Pictures::new(
        every,
        s.config.method.kmeans(),
        s.config.model.cell_px(),
        s.device,
    );
    let probe = ProbeBeside::new(&s.config.probe, &s.config.model, s.device, &ranks)?;
    probe.note().iter().for_each(|line| progress.note(line));
    let (mut first, mut last, mut interrupted_by) = (None, None, None);
    let mut profile = Profile::new(profiled, s.device);
    let mut timer = CollectiveTimer::new(&ranks, s.device);
    let mut agreement = Agreement::new(&ranks);
    let mut between_ranks = BetweenRanks::default();

    let began_at = s.step;
    let batches = s.sampler.start(s.cursor).map_err(Into::into);
    let mut batches = Held::of(ranks.together(batches)?, &ranks);
    let mut meter = Meter::start(s.device);
    let mut known_good = (s.step, s.cursor);
    while s.step < stop && interrupted_by.is_none() {
        let (lr, tau) = (s.schedule.lr(s.step), s.schedule.tau(s.step));
        let mut sums = Sums::default();
        timer.begin(s.step + 1 == stop || grid.is_due(s.step + 1))?;
        let step = s.step + 1;
        s.stepper.begin(step);
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
        timer.end()?;
        s.step += 1;
        s.cursor = batches.cursor();
        meter.step(s.config.pairs_per_step(ranks.size() as u64));
        progress.step(s.step);

        interrupted_by = Signals::name(agreement.pass(signals.number())?);
        let ends = s.step == stop || interrupted_by.is_some();
        let has_row = ends || grid.is_due(s.step);
        let has_checkpoint = ends || s.step.is_multiple_of(s.config.run.checkpoint_every_steps);
        if has_row || has_checkpoint {
            ranks.wait_for(s.device)?;
            refuse_bad_step(&mut s, &mut checkpoints, known_good)?;
            known_good = (s.step, s.cursor);
        }
        if has_row {
            let pace = meter.read().context("a row follows a step")?;
            between_ranks = timer.read()?;
            let mut row = sums.row(&ranks, s.step, &s.schedule, (lr, tau), pace);
            row.between_ranks = between_ranks;
            let sample = sums.sample().of_all(&ranks);
            row.diagnostics =
                Diagnostics::measure(&sample, s.stepper.gate.norms(), &s.stepper.optim);
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
            // A disk may be slower than ranks wait for each other.
            ranks.first_alone(|| checkpoints.submit(|| s.snapshot(s.step, s.cursor)))?;
        }
        profile.step();
    }
    agreement.finish()?;
    progress.finish();
    let checkpoint = ranks.first_alone(|| Ok(checkpoints.wait()?.map(PathBuf::from)))?;
    Ok(Outcome {
        step: s.step,
        total_steps: total,
        interrupted_by,
        first,
        last,
        checkpoint: checkpoint.flatten(),
        run: run_dir.unwrap_or_default(),
        profile: profile.phases(between_ranks),
    })
}
