//! The probe beside a run: `[probe] every = N` in its config.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use eval::probe::{LinearConfig, Options, Request, Splits, measure};
use eval::segmentation::{Dataset, Unlabelled};
use model::ModelConfig;
use model::files::weights::Weights;
use native::Ranks;
use tch::{Device, Tensor};

use crate::config::ProbeConfig;
use crate::method::Method;

/// Probes a run's backbone whenever it is due.
pub(crate) struct ProbeBeside {
    config: ProbeConfig,
    model: ModelConfig,
    device: Device,
    ranks: Ranks,
    splits: Option<Splits>,
}

impl ProbeBeside {
    /// Finds the images, which `ranks` share, so that a wrong folder ends the run before its first step.
    ///
    /// # Errors
    /// If probes are asked for and the set is not there.
    pub(crate) fn new(
        config: &ProbeConfig,
        model: &ModelConfig,
        device: Device,
        ranks: &Ranks,
    ) -> Result<Self> {
        let open = |split: &str| -> Result<Dataset> {
            let set = Dataset::open(&config.data, split, Unlabelled::of(config.skip_unlabelled))
                .context("[probe] data")?
                .first(config.images);
            set.check_labels().context("[probe] data")?;
            Ok(set)
        };
        let open_both = || -> Result<Splits> {
            Ok(Splits {
                train: open("train")?,
                test: open("val")?,
            })
        };
        let splits = match config.every {
            0 => None,
            _ => Some(ranks.together(open_both())?),
        };
        Ok(Self {
            config: config.clone(),
            model: model.clone(),
            device,
            ranks: ranks.clone(),
            splits,
        })
    }

    /// A line about images that are left out.
    pub(crate) fn note(&self) -> Option<String> {
        let splits = self.splits.as_ref()?;
        let left_out = splits.train.unlabelled() + splits.test.unlabelled();
        (left_out > 0).then(|| {
            format!(
                "note: {left_out} images in {:?} have no labels, and the probe leaves them out",
                self.config.data
            )
        })
    }

    /// mIoU of a linear classifier on C5 after `step` steps, in percent, if a probe is due. All ranks
    /// call it; rank 0 is told.
    ///
    /// # Errors
    /// If an image cannot be read.
    pub(crate) fn after_step(&self, step: u64, method: &Method) -> Result<Option<f64>> {
        let Some(splits) = self
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
        let report = measure(&Request {
            weights: &weights,
            splits,
            options,
            device: self.device,
            pictures: None,
            ranks: &self.ranks,
        })?;
        Ok(report.map(|report| report.c5.miou))
    }
}
