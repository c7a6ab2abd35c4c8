//! Builds a run, or restores it: every part that the loop needs, checked before the first step.
//!
//! Order matters: whatever can be refused is refused before the run folder is touched. A checkpoint
//! in the folder is resumed from; its config (but for `[run]` and `[probe]`) and its data must be
//! those of now.
//!
//! Of several ranks the first has the folder. It reads the checkpoint, and the others get its header
//! and the state from it: no disk has to be shared but that of the shards.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use console::layers::differences;
use console::usage;
use model::device::{self, FusedKernels, Tuning};
use model::files::checkpoint::{self, Checkpoint, Header, LoaderPosition, Snapshot};
use native::Ranks;
use sampler::{Cursor, Sampler};
use tch::{Device, Kind, Tensor, no_grad};

use super::alike;
use super::data::{self, num_threads, open_as_before, open_sampler};
use super::log_grid::LogGrid;
use super::run_dir::RunDir;
use super::schedule::Schedule;
use super::step::Stepper;
use super::world::{self, World};
use crate::config::{self, RunConfig};

/// What a user asks for beside the config.
#[derive(Clone, Debug)]
pub struct Request {
    /// Folder of shards.
    pub shards: PathBuf,
    /// Folder of the run.
    pub out: PathBuf,
    /// `auto`, `cpu`, `cuda` or `cuda:N`.
    pub device: String,
    /// Stop after this optimizer step; the schedule stays that of the whole run.
    pub steps: Option<u64>,
    /// Move an earlier run aside instead of resuming it.
    pub fresh: bool,
    /// Config keys (or `shards`) that may differ from the checkpoint's.
    pub allow_change: Vec<String>,
}

impl Request {
    /// What beside the config decides how many steps are made, for ranks to compare.
    fn asked(&self) -> String {
        format!(
            "--steps {:?}, --fresh {}, --allow-change {:?}",
            self.steps, self.fresh, self.allow_change
        )
    }

    /// Whether `key` may differ from the checkpoint's.
    fn allows(&self, key: &str) -> bool {
        self.allow_change.iter().any(|allowed| allowed == key)
    }
}

/// A run that is in the folder already, to be gone on with.
struct Earlier {
    run_dir: RunDir,
    checkpoint: Checkpoint,
    /// Lines about its checkpoints.
    notes: Vec<String>,
}

impl Earlier {
    /// Locks the folder and reads its newest checkpoint, if it has any and is not to be moved aside.
    fn find(request: &Request) -> Result<Option<Self>> {
        if request.fresh || checkpoint::list(&request.out)?.is_empty() {
            return Ok(None);
        }
        let run_dir = RunDir::open(&request.out, false)?;
        let mut notes = Vec::new();
        let checkpoint = Checkpoint::latest(run_dir.path(), |line| notes.push(line))?;
        Ok(checkpoint.map(|checkpoint| Earlier {
            run_dir,
            checkpoint,
            notes,
        }))
    }

    /// Makes and locks the folder of a run of which [`find`](Self::find) has found nothing. That was
    /// before the lock, so it looks once more.
    fn start(request: &Request) -> Result<RunDir> {
        let run_dir = RunDir::open(&request.out, request.fresh)?;
        match checkpoint::list(run_dir.path())?.is_empty() {
            true => Ok(run_dir),
            false => Err(usage(format!(
                "another process has just ended in {:?}; give the same command again to go on",
                request.out
            ))),
        }
    }
}

/// A run, ready to step.
pub struct Session {
    /// Those that make each step together.
    pub ranks: Ranks,
    /// The resolved config.
    pub config: RunConfig,
    /// Where it computes.
    pub device: Device,
    /// Steps and schedules.
    pub schedule: Schedule,
    /// The loader.
    pub sampler: Arc<Sampler>,
    /// Networks and optimizer.
    pub stepper: Stepper,
    /// The run's folder, locked; rank 0 has it.
    pub run_dir: Option<RunDir>,
    /// Optimizer steps done so far.
    pub step: u64,
    /// The next batch.
    pub cursor: Cursor,
    /// The grid of the log under which the steps so far were made; `None` at the start.
    pub(super) grid_before: Option<LogGrid>,
    /// Whether the fused kernels run, or why not.
    pub fused_kernels: FusedKernels,
    /// Lines about what was found: the resumption, a damaged checkpoint, another number of threads.
    pub notes: Vec<String>,
}

impl Session {
    /// Builds everything, restored from the newest checkpoint if the run folder has one.
    pub fn prepare(request: &Request, config: RunConfig) -> Result<Self> {
        Self::among(&Ranks::alone(), request, config)
    }

    /// The same for one of several ranks. What one of them refuses ends all.
    pub fn among(ranks: &Ranks, request: &Request, mut config: RunConfig) -> Result<Self> {
        let (device, fused_kernels) = ranks.together(settle(&mut config, &request.device))?;
        let earlier = ranks.together(match ranks.is_first() {
            true => Earlier::find(request),
            false => Ok(None),
        })?;
        let header = header_of_first(ranks, earlier.as_ref())?;
        let as_before = header.as_ref().filter(|_| !request.allows(data::SHARDS));
        let sampler = ranks.together(match as_before {
            Some(header) => open_as_before(ranks, &request.shards, &config, device, header),
            None => open_sampler(ranks, &request.shards, &config, device),
        })?;
        alike::check(ranks, request.asked(), &config, &sampler)?;
        let batches = sampler.steps_per_epoch();
        let schedule = ranks.together(Schedule::among(ranks.size() as u64, &config, batches))?;
        let (run_dir, checkpoint, found) = ranks.together(match (earlier, ranks.is_first()) {
            (_, false) => Ok((None, None, Vec::new())),
            (Some(it), _) => Ok((Some(it.run_dir), Some(it.checkpoint), it.notes)),
            (None, _) => Earlier::start(request).map(|made| (Some(made), None, Vec::new())),
        })?;
        let stepper = ranks.together(Stepper::among(ranks, &config, device, Kind::Float))?;
        let mut session = Session {
            ranks: ranks.clone(),
            config,
            device,
            schedule,
            sampler,
            stepper,
            run_dir,
            step: 0,
            cursor: Cursor::default(),
            grid_before: None,
            notes: [fused_kernels.warning()]
                .into_iter()
                .map(|warning| warning.unwrap_or(format!("fused kernels {fused_kernels}")))
                .chain(found)
                .collect(),
            fused_kernels,
        };
        session.note_fresh();
        let slow = session.config.optim.precision.note(device);
        session.notes.extend(slow.map(str::to_owned));
        if let Some(header) = header {
            let restored = session.restore(&header, checkpoint, request);
            ranks.together(restored)?;
        }
        session.take_state_of_first();
        let written = match &session.run_dir {
            Some(run_dir) => run_dir.write_config(&session.config_text()?),
            None => Ok(()),
        };
        ranks.together(written)?;
        Ok(session)
    }

    /// Every tensor that a step moves, with its name in a checkpoint.
    fn state(&self) -> Vec<(String, Tensor)> {
        let mut tensors = self.stepper.method.state();
        let optim = self.stepper.optim.state().into_iter();
        tensors.extend(optim.map(|(name, tensor)| (format!("optim.{name}"), tensor)));
        tensors
    }

    /// Gives every rank the state of rank 0.
    fn take_state_of_first(&self) {
        if !self.ranks.are_several() {
            return;
        }
        for (_, mut tensor) in self.state() {
            let sent = tensor.contiguous();
            self.ranks.broadcast_(&sent);
            no_grad(|| tensor.copy_(&sent));
        }
    }

    /// Copies the state after `step` steps to the host.
    pub fn snapshot(&self, step: u64, cursor: Cursor) -> Result<Snapshot> {
        let header = Header {
            version: 0,
            step,
            world: self.ranks.size() as u64,
            cursor: LoaderPosition {
                epoch: cursor.epoch,
                step: cursor.step,
            },
            config: self.config_text()?,
            data: data::data_id(&self.sampler),
            shards: self.sampler.frames().stamps(),
            torch_threads: tch::get_num_threads(),
            device: device_kind(self.device).to_owned(),
            crc32c: Default::default(),
        };
        Snapshot::take(header, &self.state())
    }

    fn config_text(&self) -> Result<String> {
        toml::to_string(&self.config).context("writing the config as TOML")
    }

    fn note_fresh(&mut self) {
        if let Some(moved) = self.run_dir.as_ref().and_then(RunDir::moved_to) {
            let moved = moved.display();
            self.notes
                .push(format!("--fresh: the earlier run is now {moved}"));
        }
    }

    /// Goes on after the checkpoint of `header`; rank 0 has the rest of it.
    fn restore(
        &mut self,
        header: &Header,
        checkpoint: Option<Checkpoint>,
        request: &Request,
    ) -> Result<()> {
        let then = World::of_checkpoint(header)?;
        self.refuse_changes(header, &then, request)?;
        if let Some(checkpoint) = checkpoint {
            self.load(&checkpoint)?;
        }
        self.step = header.step;
        let before = LogGrid::of_checkpoint(header)?;
        self.grid_before = Some(before);
        let LoaderPosition { epoch, step } = header.cursor;
        let (step, change) = world::moved(&then, &self.world(), step);
        self.cursor = Cursor { epoch, step };
        let total = self.schedule.total_steps();
        if change.is_some() && before.total() != total {
            let was = before.total();
            self.notes
                .push(format!("note: {was} steps in all before, {total} now"));
        }
        self.notes.extend(change);
        if self.cursor.step >= self.sampler.steps_per_epoch() {
            // After an allowed change of the data, or in another world: the epoch that was under way
            // has no such step any more.
            self.cursor = Cursor {
                epoch: self.cursor.epoch + 1,
                step: 0,
            };
        }
        self.notes.push(format!(
            "resuming after step {} of {}",
            self.step,
            self.schedule.total_steps()
        ));
        let ranks = self.ranks.size() as u64;
        let note = data::note(header, &self.sampler, &self.config, ranks)?;
        self.notes.extend(note);
        self.note_inexactness(header.torch_threads, &header.device);
        Ok(())
    }

    fn load(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.stepper
            .method
            .load_state(&checkpoint.networks())
            .context("loading the checkpoint's networks")?;
        self.stepper
            .optim
            .load_state(&checkpoint.part("optim."))
            .context("loading the checkpoint's optimizer")
    }

    /// How the pairs of a step are shared now.
    fn world(&self) -> World {
        World::new(self.ranks.size() as u64, &self.config)
    }

    fn refuse_changes(&self, header: &Header, world: &World, request: &Request) -> Result<()> {
        let then = config::parse_resolved(&header.config, "the checkpoint's config")?;
        let mut changes = String::new();
        let as_many_pairs = world.pairs_per_step() == self.world().pairs_per_step();
        if !as_many_pairs && world.ranks != self.world().ranks {
            let _ = write!(
                changes,
                "; ranks: {} -> {}, pairs in a step: {} -> {} (--global-batch {2} keeps them)",
                world.ranks,
                self.world().ranks,
                world.pairs_per_step(),
                self.world().pairs_per_step()
            );
        }
        for (key, was, is) in differences(&then, &self.config) {
            let changes_no_weight = ["run.", "probe."]
                .iter()
                .any(|section| key.starts_with(section));
            let is_another_share = as_many_pairs && world::SHARES.contains(&key.as_str());
            if !changes_no_weight && !is_another_share && !request.allows(&key) {
                let _ = write!(changes, "; {key}: {was} -> {is}");
            }
        }
        if let Some(change) = data::change(header, &self.sampler)
            && !request.allows(data::SHARDS)
        {
            let _ = write!(changes, "; {change}");
        }
        match changes.strip_prefix("; ") {
            None => Ok(()),
            Some(changes) => Err(usage(format!(
                "{} holds another run (step {}): {changes}. Give another --out, --fresh to start over, or --allow-change KEY",
                request.out.display(),
                header.step
            ))),
        }
    }

    fn note_inexactness(&mut self, threads: i32, device: &str) {
        let (now, here) = (tch::get_num_threads(), device_kind(self.device));
        if device != here {
            self.notes
                .push(format!("note: the checkpoint was made on {device}, this is {here}: results differ in rounding"));
        } else if !self.device.is_cuda() && threads != now {
            self.notes.push(format!(
                "note: the checkpoint was made with --threads {threads}, this is {now}: results differ in rounding"
            ));
        } else if self.device.is_cuda() && !self.config.run.deterministic {
            self.notes.push(
                "note: without run.deterministic = true, a resumed run on a GPU differs in rounding from an undisturbed one"
                    .to_owned(),
            );
        }
    }
}

/// The header of the checkpoint that rank 0 goes on from, if there is one.
fn header_of_first(ranks: &Ranks, earlier: Option<&Earlier>) -> Result<Option<Header>> {
    let header = earlier.map(|earlier| &earlier.checkpoint.header);
    if !ranks.are_several() {
        return Ok(header.cloned());
    }
    let bytes = ranks.bytes_of_first(serde_json::to_vec(&header)?)?;
    serde_json::from_slice(&bytes).context("reading what rank 0 says of its checkpoint")
}

/// Where `config` is to run, and everything about it that has to be said before libtorch's first
/// computation; `auto` precision becomes a name. Whether the fused kernels run there, or why not.
///
/// # Errors
/// An unknown or absent device; a precision that it lacks.
pub(crate) fn settle(config: &mut RunConfig, device: &str) -> Result<(Device, FusedKernels)> {
    let device = device::select(device)?;
    config.optim.precision = config.optim.precision.resolve(device)?;
    set_torch_threads(config, device);
    let tuning = Tuning {
        precision: config.optim.precision,
        fused_kernels: config.run.fused_kernels,
        deterministic: config.run.deterministic,
    };
    Ok((device, device::tune(device, tuning)?))
}

/// Before libtorch's first computation: later it would be too late.
fn set_torch_threads(config: &RunConfig, device: Device) {
    // Beside a GPU, libtorch's own threads have next to nothing to do.
    let threads = if device.is_cuda() {
        1
    } else {
        num_threads(config)
    };
    tch::set_num_threads(threads as i32);
    let _ = Tensor::zeros([1], (Kind::Float, Device::Cpu));
}

fn device_kind(device: Device) -> &'static str {
    if device.is_cuda() { "cuda" } else { "cpu" }
}
