//! The probe beside a run: `[probe] every = N` in its config.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use super::{LinearConfig, Options, measure};
use crate::method::Method;
use crate::model::ModelConfig;
use crate::segmentation::Dataset;
use crate::weights::Weights;

/// `[probe]`: a linear probe of the backbone during training. It changes no weight and draws from
/// no stream of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProbeConfig {
    /// Optimizer steps between two probes; 0 never probes.
    pub every: u64,
    /// Folder of a labelled set with splits `train` and `val` (Cityscapes, BDD100K, or pairs).
    pub data: PathBuf,
    /// Height of its images as the backbone sees them, in pixels.
    pub height: i64,
    /// Most images of each split.
    pub images: usize,
    /// Epochs of the classifier.
    pub epochs: u64,
}

impl Default for ProbeConfig {
    fn default() -> Self {
        Self {
            every: 0,
            data: PathBuf::new(),
            height: 256,
            images: 500,
            epochs: 30,
        }
    }
}

/// Probes a run's backbone whenever it is due.
pub struct Watch {
    config: ProbeConfig,
    model: ModelConfig,
    device: Device,
    splits: Option<[Dataset; 2]>,
}

impl Watch {
    /// Finds the images, so that a wrong folder ends the run before its first step.
    ///
    /// # Errors
    /// If probes are asked for and the set is not there.
    pub fn new(config: &ProbeConfig, model: &ModelConfig, device: Device) -> Result<Self> {
        let open = |split: &str| -> Result<Dataset> {
            Ok(Dataset::open(&config.data, split)
                .context("[probe] data")?
                .first(config.images))
        };
        let splits = match config.every {
            0 => None,
            _ => Some([open("train")?, open("val")?]),
        };
        Ok(Self {
            config: config.clone(),
            model: model.clone(),
            device,
            splits,
        })
    }

    /// mIoU of a linear classifier on C5 after `step` steps, in percent, if a probe is due.
    ///
    /// # Errors
    /// If an image cannot be read.
    pub fn after_step(&self, step: u64, method: &Method) -> Result<Option<f64>> {
        let Some([train, test]) = self
            .splits
            .as_ref()
            .filter(|_| step.is_multiple_of(self.config.every))
        else {
            return Ok(None);
        };
        // Handles to the run's tensors, which the probe copies before it touches any.
        let state: BTreeMap<String, Tensor> = method.state().into_iter().collect();
        let weights = Weights::of_state("the run", self.model.clone(), &state, "online.backbone.");
        let linear = LinearConfig {
            epochs: self.config.epochs,
            ..LinearConfig::default()
        };
        let options = Options {
            height: self.config.height,
            linear,
        };
        let report = measure(&weights, train, test, options, self.device, None)?;
        Ok(Some(report.c5.miou))
    }
}
