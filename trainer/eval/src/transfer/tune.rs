//! The fine-tuning loop: SGD, a checkpoint now and then, the score at the end.
//!
//! All ranks do the same iterations, each on its crops. Rank 0 alone has the folder and the progress;
//! a fault of one rank, and a signal to one, ends all after the same iteration.

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use console::Progress;
use model::device::{self, Precision};
use model::files::weights::Weights;
use model::optim::{Sgd, SgdConfig};
use native::{Gradients, Ranks};
use serde::Serialize;
use tch::{Device, Kind, Tensor};

use super::config::TransferConfig;
use super::crops::Loader;
use super::evaluate::evaluate;
use super::fcn::Fcn;
use super::folder::{Checkpoint, Folder, METRICS, PICTURE, RESULT};
use super::loss::StepLoss;
use crate::agree::{agree, checksums};
use crate::segmentation::{Dataset, Scores};

/// The bar on a terminal.
const BAR: &str = "{bar:24} {pos}/{len}  {msg}";

/// Which fine-tuning.
pub struct Request<'a> {
    /// What it starts from.
    pub weights: &'a Weights,
    /// Trained on.
    pub train: Dataset,
    /// Scored on.
    pub test: Dataset,
    /// The recipe.
    pub config: TransferConfig,
    /// Folder for checkpoint, metrics, pictures and result.
    pub out: &'a Path,
    /// Where it computes.
    pub device: Device,
    /// Those that share its crops.
    pub ranks: &'a Ranks,
}

/// A fine-tuning under way. All ranks have one, and call its methods alike.
pub struct Tuning {
    config: TransferConfig,
    /// Which weights it started from.
    origin: String,
    train: Dataset,
    test: Dataset,
    fcn: Fcn,
    /// `[2, 3]` on the device: what normalises bytes.
    scale_shift: Tensor,
    sgd: Sgd,
    gradients: Gradients,
    folder: Folder,
    iteration: u64,
    /// A line about what the device lacks.
    note: Option<String>,
    ranks: Ranks,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct TransferResult {
    /// Which weights it started from.
    pub weights: String,
    /// Iterations done.
    pub iterations: u64,
    /// Images trained on.
    pub train_images: usize,
    /// Images scored on.
    pub test_images: usize,
    /// Images of both splits left out because they have no label picture.
    pub unlabelled_images: usize,
    /// Scores at full size.
    pub scores: Scores,
    /// The folder with pictures and metrics.
    pub out: PathBuf,
}

/// One line of `metrics.jsonl`.
#[derive(Serialize)]
struct Row {
    iteration: u64,
    loss: f64,
    lr: f64,
    images_per_s: f64,
}

impl Tuning {
    /// Builds network and optimizer, restored from the folder's checkpoint if there is one.
    ///
    /// # Errors
    /// If no pixel of a split has a class, the weights do not fit, the folder holds another
    /// fine-tuning, or ranks were given different things or cannot share a batch.
    pub fn prepare(request: Request<'_>) -> Result<Self> {
        Self::prepare_in(Kind::Float, request)
    }

    fn prepare_in(kind: Kind, request: Request<'_>) -> Result<Self> {
        let (weights, ranks) = (request.weights, request.ranks);
        let folder = Folder::new(request.out);
        ranks.first_alone(|| {
            request.config.share(ranks)?;
            request.train.check_labels()?;
            request.test.check_labels()?;
            folder.create()
        })?;
        let mut tuning = ranks.together(Self::new(kind, request, folder))?;
        agree(ranks, || {
            let images = [&tuning.train, &tuning.test].map(Dataset::names);
            Ok(vec![
                ("weights", checksums(weights)?),
                ("images", format!("{images:?}")),
                ("settings", tuning.identity()?),
            ])
        })?;
        tuning.restore()?;
        Ok(tuning)
    }

    fn new(kind: Kind, request: Request<'_>, folder: Folder) -> Result<Self> {
        let Request {
            weights,
            train,
            test,
            mut config,
            device,
            ranks,
            ..
        } = request;
        config.precision = config.precision.resolve(device)?;
        let kernels = device::tune(
            device,
            device::Tuning {
                precision: config.precision,
                fused_kernels: config.fused_kernels,
                deterministic: false,
            },
        )?;
        let fcn = Fcn::new(weights, &config, ranks, (kind, device))?;
        let (momentum, weight_decay) = (config.momentum, config.weight_decay);
        let sgd = Sgd::new(
            &fcn.registry,
            SgdConfig {
                momentum,
                weight_decay,
            },
        );
        let params = fcn.registry.trainable_tensors();
        Ok(Self {
            gradients: Gradients::new(ranks, &params, &[], None),
            config,
            origin: weights.origin.clone(),
            train,
            test,
            fcn,
            scale_shift: device::normalisation(device),
            sgd,
            folder,
            iteration: 0,
            note: kernels.warning(),
            ranks: ranks.clone(),
        })
    }

    /// Trains to the end of the schedule, until `stop` iterations are done, or until something has
    /// `interrupted` it on some rank after an iteration; then there is a checkpoint. How many
    /// iterations are done.
    ///
    /// # Errors
    /// If an image cannot be read, a file not written, the loss is no number, or ranks were told to
    /// stop at different iterations.
    pub fn train(&mut self, stop: Option<u64>, interrupted: impl Fn() -> bool) -> Result<u64> {
        let end = stop
            .unwrap_or(self.config.iterations)
            .min(self.config.iterations);
        let ranks = self.ranks.clone();
        agree(&ranks, || Ok(vec![("--iterations", end.to_string())]))?;
        let mut metrics = ranks.first_alone(|| self.folder.open_metrics(self.iteration))?;
        let progress = self.progress(end);
        let from = (self.iteration, self.config.share(&ranks)?);
        let loader = Loader::start(&self.train, &self.config, from, self.fcn.device());
        let (mut losses, mut since) = (Vec::new(), Instant::now());
        let mut ends = self.iteration >= end;
        while !ends {
            losses.push(self.step(&loader)?);
            self.iteration += 1;
            progress.at(self.iteration);
            let is_interrupted = ranks.largest(i64::from(interrupted()))? > 0;
            ends = self.iteration == end || is_interrupted;
            if self.iteration.is_multiple_of(self.config.log_every) || ends {
                let row = self.row(&losses, since.elapsed().as_secs_f64());
                ranks.first_alone(|| write_row(&row, metrics.as_mut()))?;
                (losses, since) = (Vec::new(), Instant::now());
            }
            if self.iteration.is_multiple_of(self.config.checkpoint_every) || ends {
                ranks.first_alone(|| self.folder.write_checkpoint(&self.checkpoint()?))?;
            }
        }
        progress.leave();
        Ok(self.iteration)
    }

    /// Scores the network as it is now, and writes the result down.
    ///
    /// # Errors
    /// If an image cannot be read, or a file not written.
    pub fn score(&self) -> Result<TransferResult> {
        let confusion = evaluate(&self.fcn, &self.test, &self.folder.picture(), &self.ranks)?;
        let result = TransferResult {
            weights: self.origin.clone(),
            iterations: self.iteration,
            train_images: self.train.len(),
            test_images: self.test.len(),
            unlabelled_images: self.train.unlabelled() + self.test.unlabelled(),
            scores: confusion.scores(),
            out: self.folder.path().to_owned(),
        };
        self.ranks
            .first_alone(|| self.folder.write_result(&result))?;
        Ok(result)
    }

    /// The bar, and the note above it: on rank 0.
    fn progress(&self, end: u64) -> Progress {
        if !self.ranks.is_first() {
            return Progress::hidden();
        }
        let progress = Progress::new(BAR, self.iteration, end).with_tick();
        self.note.iter().for_each(|line| progress.note(line));
        progress
    }

    /// One update; a batch without a labelled pixel on any rank changes nothing.
    fn step(&mut self, loader: &Loader) -> Result<StepLoss> {
        let device = self.fcn.device();
        let batch = self.ranks.together(loader.next_batch())?;
        let labelled = self.ranks.total(batch.labelled())?;
        if labelled == 0 {
            return Ok(StepLoss::none(device));
        }
        let [pixels, labels] = batch.upload(device)?;
        let input = native::normalise(&pixels, &self.scale_shift, Kind::Float);
        let input = input.to_kind(self.fcn.kind());
        let logits = {
            let bf16 = self.config.precision == Precision::Bf16;
            let _autocast = bf16.then(|| native::autocast(device, Kind::BFloat16));
            self.fcn.forward(&input, true)
        };
        let loss = StepLoss::of(&logits, &labels, labelled);
        loss.backward(&mut self.gradients, &self.ranks);
        self.sgd.step(self.config.lr_at(self.iteration));
        self.fcn.registry.drop_grads();
        Ok(loss.detach())
    }

    fn row(&self, losses: &[StepLoss], seconds: f64) -> Row {
        let images = losses.len() as u64 * self.config.batch;
        Row {
            iteration: self.iteration,
            loss: StepLoss::mean(losses, &self.ranks),
            lr: self.config.lr_at(self.iteration - 1),
            images_per_s: images as f64 / seconds,
        }
    }

    fn checkpoint(&self) -> Result<Checkpoint> {
        let optim = self.sgd.state().into_iter();
        let optim = optim.map(|(name, tensor)| (format!("optim.{name}"), tensor));
        Ok(Checkpoint {
            iteration: self.iteration,
            identity: self.identity()?,
            tensors: self
                .fcn
                .registry
                .state("")
                .into_iter()
                .chain(optim)
                .collect(),
        })
    }

    /// What must be the same for a checkpoint to be gone on from.
    fn identity(&self) -> Result<String> {
        Ok(format!(
            "weights = {:?}\ntrain_images = {}\n{}",
            self.origin,
            self.train.len(),
            toml::to_string(&self.config)?
        ))
    }

    /// Rank 0 reads the checkpoint, if there is one, for all.
    fn restore(&mut self) -> Result<()> {
        let ranks = self.ranks.clone();
        let read = ranks.first_alone(|| self.folder.read_checkpoint(&self.identity()?))?;
        let bytes = ranks.bytes_of_first(read.flatten().unwrap_or_default())?;
        // Those of a checkpoint are not none.
        match bytes.is_empty() {
            true => Ok(()),
            false => ranks.together(self.load(&bytes)),
        }
    }

    fn load(&mut self, bytes: &[u8]) -> Result<()> {
        let Checkpoint {
            iteration, tensors, ..
        } = Checkpoint::parse(bytes)?;
        self.fcn.registry.load_state(&tensors, "")?;
        let optim = tensors
            .iter()
            .filter_map(|(name, tensor)| Some((name.strip_prefix("optim.")?, tensor)));
        self.sgd.load_state(
            &optim
                .map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()))
                .collect(),
        )?;
        self.iteration = iteration;
        Ok(())
    }
}

/// Appends a row, unless its loss is no number.
fn write_row(row: &Row, metrics: Option<&mut File>) -> Result<()> {
    if !row.loss.is_finite() {
        bail!(
            "the loss is not finite at iteration {}; a lower lr may help",
            row.iteration
        );
    }
    let Some(metrics) = metrics else {
        return Ok(());
    };
    writeln!(metrics, "{}", serde_json::to_string(row)?).context("writing metrics.jsonl")
}

impl fmt::Display for TransferResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} iterations on {} images",
            self.weights, self.iterations, self.train_images
        )?;
        if self.unlabelled_images > 0 {
            writeln!(
                f,
                "{} images have no labels and are left out",
                self.unlabelled_images
            )?;
        }
        writeln!(f, "IoU on {} images, in percent", self.test_images)?;
        writeln!(f, "{}", self.scores)?;
        write!(
            f,
            "in {}: {PICTURE}, {METRICS}, {RESULT}",
            self.out.display()
        )
    }
}

#[cfg(test)]
mod tests;
