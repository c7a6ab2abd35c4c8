//! The fine-tuning loop: SGD, a checkpoint now and then, the score at the end.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use console::{Progress, usage};
use model::device::{Precision, normalised};
use model::files::safetensors::{self, HostTensor};
use model::files::weights::Weights;
use model::optim::{Sgd, SgdConfig};
use serde::Serialize;
use tch::{Device, Kind, Reduction, Tensor};

use super::config::TransferConfig;
use super::crops::Loader;
use super::evaluate::evaluate;
use super::fcn::Fcn;
use crate::segmentation::{Dataset, IGNORED, Scores};

/// File names in the output folder.
const CHECKPOINT: &str = "checkpoint.safetensors";
const METRICS: &str = "metrics.jsonl";
const RESULT: &str = "result.json";
const PICTURE: &str = "predictions.png";

/// The bar on a terminal.
const BAR: &str = "{bar:24} {pos}/{len}  {msg}";

/// Entries of the checkpoint's metadata.
const ITERATION_KEY: &str = "iteration";
const CONFIG_KEY: &str = "config";

/// Which fine-tuning.
pub struct Request<'a> {
    /// What it starts from.
    pub weights: &'a Weights,
    /// The recipe.
    pub config: TransferConfig,
    /// Folder for checkpoint, metrics, pictures and result.
    pub out: &'a Path,
    /// Where it computes.
    pub device: Device,
}

/// A fine-tuning under way.
pub struct Tuning {
    config: TransferConfig,
    /// Which weights it started from.
    origin: String,
    fcn: Fcn,
    sgd: Sgd,
    out: PathBuf,
    iteration: u64,
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
    /// If the weights do not fit, or the folder holds another fine-tuning.
    pub fn prepare(request: Request<'_>) -> Result<Self> {
        let Request {
            weights,
            mut config,
            out,
            device,
        } = request;
        config.precision = config.precision.resolve(device)?;
        config.precision.switch_tf32()?;
        fs::create_dir_all(out)
            .map_err(|error| usage(format!("cannot make the folder {out:?} (--out): {error}")))?;
        let fcn = Fcn::new(weights, &config, device)?;
        let (momentum, weight_decay) = (config.momentum, config.weight_decay);
        let sgd = Sgd::new(
            &fcn.registry,
            SgdConfig {
                momentum,
                weight_decay,
            },
        );
        let origin = weights.origin.clone();
        let mut tuning = Self {
            config,
            origin,
            fcn,
            sgd,
            out: out.to_owned(),
            iteration: 0,
        };
        tuning.restore()?;
        Ok(tuning)
    }

    /// Trains to the end of the schedule, or until `stop` iterations are done, and scores the
    /// network.
    ///
    /// # Errors
    /// If an image cannot be read, a file not written, or the loss is no number.
    pub fn run(
        &mut self,
        train: &Dataset,
        test: &Dataset,
        stop: Option<u64>,
    ) -> Result<TransferResult> {
        let end = stop
            .unwrap_or(self.config.iterations)
            .min(self.config.iterations);
        let mut metrics = self.open_metrics()?;
        let progress = Progress::new(BAR, self.iteration, end).with_tick();
        let loader = Loader::start(train, &self.config, self.iteration);
        let (mut losses, mut since) = (Vec::new(), Instant::now());
        while self.iteration < end {
            losses.push(self.step(&loader)?);
            self.iteration += 1;
            progress.at(self.iteration);
            if self.iteration.is_multiple_of(self.config.log_every) || self.iteration == end {
                let row = self.row(&losses, since.elapsed().as_secs_f64())?;
                writeln!(metrics, "{}", serde_json::to_string(&row)?)
                    .context("writing metrics.jsonl")?;
                (losses, since) = (Vec::new(), Instant::now());
            }
            if self.iteration.is_multiple_of(self.config.checkpoint_every) || self.iteration == end
            {
                self.write_checkpoint()?;
            }
        }
        progress.leave();
        let confusion = evaluate(&self.fcn, test, &self.out.join(PICTURE))?;
        let result = TransferResult {
            weights: self.origin.clone(),
            iterations: self.iteration,
            train_images: train.len(),
            test_images: test.len(),
            scores: confusion.scores(),
            out: self.out.clone(),
        };
        let json = serde_json::to_string_pretty(&result)? + "\n";
        write(&self.out.join(RESULT), &json)?;
        Ok(result)
    }

    /// One update; the loss stays on the device.
    fn step(&mut self, loader: &Loader) -> Result<Tensor> {
        let batch = loader.next_batch()?;
        let device = self.fcn.device();
        let logits = {
            let bf16 = self.config.precision == Precision::Bf16;
            let _autocast = bf16.then(|| native::autocast(device, Kind::BFloat16));
            self.fcn.forward(&normalised(&batch.pixels, device), true)
        };
        let labels = batch.labels.to_device(device);
        let loss = logits.cross_entropy_loss(
            &labels,
            None::<Tensor>,
            Reduction::Mean,
            i64::from(IGNORED),
            0.0,
        );
        loss.backward();
        self.sgd.step(self.config.lr_at(self.iteration));
        self.fcn.registry.drop_grads();
        Ok(loss.detach())
    }

    fn row(&self, losses: &[Tensor], seconds: f64) -> Result<Row> {
        let loss = Tensor::stack(losses, 0)
            .mean(Kind::Double)
            .double_value(&[]);
        if !loss.is_finite() {
            bail!(
                "the loss is not finite at iteration {}; a lower lr may help",
                self.iteration
            );
        }
        let images = losses.len() as u64 * self.config.batch;
        let lr = self.config.lr_at(self.iteration - 1);
        Ok(Row {
            iteration: self.iteration,
            loss,
            lr,
            images_per_s: images as f64 / seconds,
        })
    }

    fn write_checkpoint(&self) -> Result<()> {
        let mut tensors = self.fcn.registry.state("");
        tensors.extend(
            self.sgd
                .state()
                .into_iter()
                .map(|(name, tensor)| (format!("optim.{name}"), tensor)),
        );
        let tensors: Vec<HostTensor> = tensors
            .iter()
            .map(|(name, tensor)| HostTensor::copy_of(name, tensor))
            .collect::<Result<_>>()?;
        if let Some(bad) = tensors.iter().find(|tensor| !tensor.is_finite()) {
            bail!(
                "{} is not finite after iteration {}; a lower lr may help",
                bad.name,
                self.iteration
            );
        }
        let metadata = [
            (ITERATION_KEY, self.iteration.to_string()),
            (CONFIG_KEY, self.identity()?),
        ];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value)).into();
        safetensors::write(&self.out.join(CHECKPOINT), &metadata, &tensors)
    }

    /// What must be the same for a checkpoint to be gone on from.
    fn identity(&self) -> Result<String> {
        Ok(format!(
            "weights = {:?}\n{}",
            self.origin,
            toml::to_string(&self.config)?
        ))
    }

    fn restore(&mut self) -> Result<()> {
        let path = self.out.join(CHECKPOINT);
        if !path.is_file() {
            return Ok(());
        }
        let (metadata, tensors) = safetensors::read(&path)?;
        if metadata.get(CONFIG_KEY) != Some(&self.identity()?) {
            return Err(usage(format!(
                "{:?} holds a fine-tuning of other weights or settings; give another --out",
                self.out
            )));
        }
        let tensors = tensors
            .iter()
            .map(|tensor| Ok((tensor.name.clone(), tensor.to_tensor()?)));
        let tensors: BTreeMap<String, Tensor> = tensors.collect::<Result<_>>()?;
        self.fcn.registry.load_state(&tensors, "")?;
        let optim = tensors
            .iter()
            .filter_map(|(name, tensor)| Some((name.strip_prefix("optim.")?, tensor)));
        self.sgd.load_state(
            &optim
                .map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()))
                .collect(),
        )?;
        let iteration = metadata
            .get(ITERATION_KEY)
            .and_then(|text| text.parse().ok());
        self.iteration =
            iteration.with_context(|| format!("{path:?} does not say its iteration"))?;
        Ok(())
    }

    /// Opens `metrics.jsonl`, cut back to the rows up to the present iteration.
    fn open_metrics(&self) -> Result<File> {
        let path = self.out.join(METRICS);
        let text = fs::read_to_string(&path).unwrap_or_default();
        let is_past = |line: &&str| {
            let row: Option<serde_json::Value> = serde_json::from_str(line).ok();
            row.and_then(|row| row["iteration"].as_u64())
                .is_some_and(|iteration| iteration <= self.iteration)
        };
        let kept: String = text
            .lines()
            .filter(is_past)
            .map(|line| format!("{line}\n"))
            .collect();
        write(&path, &kept)?;
        OpenOptions::new()
            .append(true)
            .open(&path)
            .with_context(|| format!("opening {path:?}"))
    }
}

/// Writes a text file whole.
fn write(path: &Path, text: &str) -> Result<()> {
    host::replace(path, |file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {path:?}"))
}

impl fmt::Display for TransferResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} iterations on {} images",
            self.weights, self.iterations, self.train_images
        )?;
        writeln!(f, "IoU on {} images, in percent", self.test_images)?;
        writeln!(f, "{}", self.scores)?;
        write!(
            f,
            "in {}: {PICTURE}, {METRICS}, {RESULT}",
            self.out.display()
        )
    }
}
