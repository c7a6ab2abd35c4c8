//! The fine-tuning loop: SGD, a checkpoint now and then, the score at the end.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use console::{Progress, usage};
use model::device::{self, Precision};
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
}

/// A fine-tuning under way.
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
    out: PathBuf,
    iteration: u64,
    /// A line about what the device lacks.
    note: Option<String>,
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
    /// If no pixel of a split has a class, the weights do not fit, or the folder holds another
    /// fine-tuning.
    pub fn prepare(request: Request<'_>) -> Result<Self> {
        let Request {
            weights,
            train,
            test,
            mut config,
            out,
            device,
        } = request;
        train.check_labels()?;
        test.check_labels()?;
        config.precision = config.precision.resolve(device)?;
        let kernels = device::tune(
            device,
            device::Tuning {
                precision: config.precision,
                fused_kernels: config.fused_kernels,
                deterministic: false,
            },
        )?;
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
            train,
            test,
            fcn,
            scale_shift: device::normalisation(device),
            sgd,
            out: out.to_owned(),
            iteration: 0,
            note: kernels.warning(),
        };
        tuning.restore()?;
        Ok(tuning)
    }

    /// Trains to the end of the schedule, until `stop` iterations are done, or until something has
    /// `interrupted` it after an iteration; then there is a checkpoint. How many iterations are done.
    ///
    /// # Errors
    /// If an image cannot be read, a file not written, or the loss is no number.
    pub fn train(&mut self, stop: Option<u64>, interrupted: impl Fn() -> bool) -> Result<u64> {
        let end = stop
            .unwrap_or(self.config.iterations)
            .min(self.config.iterations);
        let mut metrics = self.open_metrics()?;
        let progress = Progress::new(BAR, self.iteration, end).with_tick();
        self.note.iter().for_each(|line| progress.note(line));
        let loader = Loader::start(&self.train, &self.config, self.iteration, self.fcn.device());
        let (mut losses, mut since) = (Vec::new(), Instant::now());
        let mut ends = self.iteration >= end;
        while !ends {
            losses.push(self.step(&loader)?);
            self.iteration += 1;
            progress.at(self.iteration);
            ends = self.iteration == end || interrupted();
            if self.iteration.is_multiple_of(self.config.log_every) || ends {
                let row = self.row(&losses, since.elapsed().as_secs_f64())?;
                writeln!(metrics, "{}", serde_json::to_string(&row)?)
                    .context("writing metrics.jsonl")?;
                (losses, since) = (Vec::new(), Instant::now());
            }
            if self.iteration.is_multiple_of(self.config.checkpoint_every) || ends {
                self.write_checkpoint()?;
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
        let confusion = evaluate(&self.fcn, &self.test, &self.out.join(PICTURE))?;
        let result = TransferResult {
            weights: self.origin.clone(),
            iterations: self.iteration,
            train_images: self.train.len(),
            test_images: self.test.len(),
            unlabelled_images: self.train.unlabelled() + self.test.unlabelled(),
            scores: confusion.scores(),
            out: self.out.clone(),
        };
        let json = serde_json::to_string_pretty(&result)? + "\n";
        write(&self.out.join(RESULT), &json)?;
        Ok(result)
    }

    /// One update; a batch without a labelled pixel changes nothing. The sum of the losses of the labelled pixels and their number, `[2]`, stay on the
    /// device.
    fn step(&mut self, loader: &Loader) -> Result<Tensor> {
        let device = self.fcn.device();
        let batch = loader.next_batch()?;
        if !batch.has_labels() {
            return Ok(Tensor::zeros([2], (Kind::Double, device)));
        }
        let [pixels, labels] = batch.upload(device)?;
        let input = native::normalise(&pixels, &self.scale_shift, Kind::Float);
        let logits = {
            let bf16 = self.config.precision == Precision::Bf16;
            let _autocast = bf16.then(|| native::autocast(device, Kind::BFloat16));
            self.fcn.forward(&input, true)
        };
        let sum_and_count = cross_entropy(&logits, &labels);
        mean(&sum_and_count).backward();
        self.sgd.step(self.config.lr_at(self.iteration));
        self.fcn.registry.drop_grads();
        Ok(sum_and_count.detach())
    }

    fn row(&self, losses: &[Tensor], seconds: f64) -> Result<Row> {
        let of_steps: Vec<Tensor> = losses.iter().map(mean).collect();
        let labelled = Tensor::stack(losses, 0)
            .select(1, 1)
            .gt(0.0)
            .sum(Kind::Double);
        let sum = Tensor::stack(&of_steps, 0).sum(Kind::Double);
        let loss = (sum / labelled.clamp_min(1.0)).double_value(&[]);
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
            "weights = {:?}\ntrain_images = {}\n{}",
            self.origin,
            self.train.len(),
            toml::to_string(&self.config)?
        ))
    }

    fn restore(&mut self) -> Result<()> {
        let path = self.out.join(CHECKPOINT);
        // Only where there is no such name does it begin anew: what cannot be read may be good.
        if fs::symlink_metadata(&path).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            return Ok(());
        }
        let (metadata, tensors) = safetensors::read(&path).with_context(|| {
            format!("going on from {path:?} (moved away, the fine-tuning starts over)")
        })?;
        if metadata.get(CONFIG_KEY) != Some(&self.identity()?) {
            return Err(usage(format!(
                "{:?} holds a fine-tuning of other weights, images or settings; give another --out",
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
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("reading {path:?}")),
        };
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

/// Sum of the cross-entropies of the labelled pixels, and their number: `[2]`, double. Logits are
/// `[n, 19, h, w]`, labels `[n, h, w]` bytes.
fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Tensor {
    let sum = logits.cross_entropy_loss(
        &labels.to_kind(Kind::Int64),
        None::<Tensor>,
        Reduction::Sum,
        i64::from(IGNORED),
        0.0,
    );
    let count = labels.ne(i64::from(IGNORED)).sum(Kind::Double);
    Tensor::stack(&[sum.to_kind(Kind::Double), count], 0)
}

/// The mean over labelled pixels of what [`cross_entropy`] counts; 0, and no gradient, where there is
/// none.
fn mean(sum_and_count: &Tensor) -> Tensor {
    sum_and_count.select(0, 0) / sum_and_count.select(0, 1).clamp_min(1.0)
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
mod tests {
    use super::*;
    use model::Init;

    #[test]
    fn pixels_without_a_class_contribute_nothing() {
        let logits = Init::Normal(1.0)
            .draw(1, "x", &[2, 19, 3, 4])
            .set_requires_grad(true);
        let labels = Tensor::full([2, 3, 4], 255, (Kind::Uint8, Device::Cpu));
        let none = cross_entropy(&logits, &labels);
        let loss = mean(&none);
        loss.backward();
        assert_eq!(loss.double_value(&[]), 0.0);
        assert_eq!(logits.grad().abs().max().double_value(&[]), 0.0);

        // Labelled pixels alone count, as libtorch's mean has it.
        let _ = labels.get(1).get(2).get(0).fill_(7);
        let _ = labels.get(0).get(0).get(3).fill_(2);
        let _ = labels.get(0).get(1).get(1).fill_(18);
        let [found, expected] = [
            mean(&cross_entropy(&logits, &labels)),
            logits.cross_entropy_loss(
                &labels.to_kind(Kind::Int64),
                None::<Tensor>,
                Reduction::Mean,
                255,
                0.0,
            ),
        ];
        assert!((found - expected).abs().double_value(&[]) < 1e-12);
    }
}
