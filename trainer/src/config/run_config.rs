//! One run, as data: everything that decides which weights come out.
//!
//! A TOML file names what differs from [`RunConfig::default`], which holds the paper's values (or,
//! where the paper is silent, what its code base OpenSelfSup and its optimiser's source PixPro do).
//! `resolve` loads the file and lays flags over it; [`RunConfig::check`] refuses
//! nonsense before anything is built; the resolved config is printed, written to
//! `runs/x/config.toml` and stored in every checkpoint.
//!
//! Only `[run]` and `[probe]` may change between a run and its resumption. `run.threads`,
//! `run.fused_kernels`, `run.deterministic` and `run.overlap` change how sums are rounded; nothing else
//! in them changes a weight.

use model::device::Precision;
use model::optim::schedule::{LrShape, TauShape};
use model::optim::{Arithmetic, Exclude, Lars, LarsConfig, Optimizer, Sgd, SgdConfig};
use model::{ModelConfig, Registry};
use sampler::{OrderKind, PairConfig, Pin, Reading, Recipe, SamplerConfig, ViewAugment};
use serde::{Deserialize, Serialize};

use super::probe::ProbeConfig;
use crate::method::MethodConfig;

/// Everything that decides a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// Seed of the initial weights and of the order and augmentation of the data.
    pub seed: u64,
    /// `[data]`: how pairs become batches.
    pub data: DataConfig,
    /// `[augment]`: how a frame becomes two views.
    pub augment: AugmentConfig,
    /// `[model]`: backbone and heads.
    pub model: ModelConfig,
    /// `[method]`: the loss.
    pub method: MethodConfig,
    /// `[optim]`: the update rule.
    pub optim: OptimConfig,
    /// `[schedule]`: lengths, learning rate and EMA over time.
    pub schedule: ScheduleConfig,
    /// `[probe]`: a linear probe beside the training.
    pub probe: ProbeConfig,
    /// `[run]`: logs and checkpoints.
    pub run: RunSettings,
}

/// How pairs become batches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// Pairs in one forward pass of one rank; batch norm sees those of all ranks.
    pub batch: u64,
    /// Forward passes per optimizer step. The learning rate follows `batch * accumulate * ranks`.
    pub accumulate: u64,
    /// SQL filter over the catalog's columns; empty takes every frame.
    #[serde(rename = "where")]
    pub filter: String,
    /// `full`: any frame next. `block`: blocks of 1,024 neighbours in random order, mixed within a
    /// window of 16 blocks, for disks and network folders.
    pub order: OrderKind,
    /// Always cut from the original resolution: slower, for comparisons.
    pub exact: bool,
    /// Batches in the ring between the loader and the step.
    pub depth: u64,
}

/// How a frame becomes two views. The defaults are BYOL's (RECIPE 1.1), which the paper keeps, with
/// its pair rule (2.2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentConfig {
    /// Side of a view in pixels.
    pub view_px: u32,
    /// `[augment.pair]`: the two crops. Paper, section 3.2: IoU of at least 0.5.
    pub pair: PairConfig,
    /// `[augment.view_a]`: the first view, always blurred.
    pub view_a: ViewAugment,
    /// `[augment.view_b]`: the second view, seldom blurred, sometimes solarized.
    pub view_b: ViewAugment,
}

/// The update rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimConfig {
    /// `lars` (the paper) or `sgd` (the MoCo baselines).
    pub name: OptimName,
    /// Learning rate per 256 pairs: lr = base_lr * batch * accumulate * ranks / 256. Paper, section 4.1:
    /// 1.0.
    pub base_lr: f64,
    /// Momentum. OpenSelfSup: 0.9.
    pub momentum: f64,
    /// Weight decay. LARS leaves biases and norms out, as `exclude` says; SGD takes all, as MoCo does.
    /// Paper, section 4.1: 1e-5.
    pub weight_decay: f64,
    /// LARS: trust coefficient.
    pub eta: f64,
    /// LARS: added to the trust ratio's denominator.
    pub eps: f64,
    /// LARS: whose arithmetic, `openselfsup`, `byol` or `pixpro` (RECIPE 4).
    pub arithmetic: Arithmetic,
    /// LARS: which tensors take neither decay nor trust ratio, `one-axis` or `name-pattern`.
    pub exclude: Exclude,
    /// `fp32`, `tf32` (CUDA), `bf16` (autocast; norms, cosines, attention and K-means stay fp32) or
    /// `auto`: bf16 on CUDA, else fp32.
    pub precision: Precision,
}

/// Which update rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimName {
    /// Layer-wise adaptive rates, in the arithmetic that `arithmetic` names (RECIPE 4).
    Lars,
    /// SGD with momentum.
    Sgd,
}

/// Lengths, learning rate and EMA over time. All are functions of the optimizer step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleConfig {
    /// Length in epochs. Paper, section 4.1: 325 on Waymo, 55 on SODA5M.
    pub epochs: f64,
    /// Length in optimizer steps, in place of `epochs` when not 0: for small data.
    pub total_steps: u64,
    /// Linear warm-up in epochs. Not in the paper; OpenSelfSup's BYOL: 10.
    pub warmup_epochs: f64,
    /// Linear warm-up in optimizer steps, in place of `warmup_epochs` when `total_steps` is not 0.
    pub warmup_steps: u64,
    /// Shape of the learning rate over time: `byol`, `openselfsup` or `pixpro` (RECIPE 4), or
    /// `step` (MoCo v1).
    pub lr_shape: LrShape,
    /// Shares of the run after which `step` takes a tenth of the rate. MoCo v1: epochs 120 and 160
    /// of 200.
    pub lr_drops: [f64; 2],
    /// EMA coefficient of the target at the first step. Paper, equation 2: 0.996; MoCo: 0.999.
    pub tau: f64,
    /// Its shape over time: `cosine` rises to 1 (BYOL, the paper), `constant` does not (MoCo).
    pub tau_shape: TauShape,
}

/// Logs, checkpoints and the machine. All of it may change when a run is resumed: nothing here
/// changes a weight, except that `threads`, `fused_kernels`, `deterministic` and `overlap` round sums
/// in another order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunSettings {
    /// Optimizer steps between two rows of `metrics.jsonl` (reading them waits for the device).
    pub log_every_steps: u64,
    /// Optimizer steps between two pictures of crop pairs and clusters in TensorBoard; 0 draws
    /// none.
    pub pictures_every_steps: u64,
    /// Optimizer steps between two checkpoints.
    pub checkpoint_every_steps: u64,
    /// Checkpoints kept beside the milestones.
    pub keep_checkpoints: u64,
    /// Checkpoints at multiples of this step are kept for good; 0 keeps none.
    pub milestone_every_steps: u64,
    /// Threads of the sampler, and of libtorch on CPU; 0 takes every core, or this process's part of
    /// them if there are several. Another number rounds differently on CPU.
    pub threads: u64,
    /// On a GPU, batch norm, addition and ReLU in kernels of ours instead of libtorch's; rounds
    /// differently.
    pub fused_kernels: bool,
    /// On a GPU, only operations that compute the same bits every time, so that the same command
    /// makes the same weights; slower. Without it they differ in rounding from run to run.
    pub deterministic: bool,
    /// Gradients set out to the other ranks during the backward pass, in buckets of 25 MB, instead of
    /// all together behind it: for slow networks.
    pub overlap: bool,
    /// Seconds that ranks wait for one that does not answer, before all of them end.
    pub rank_timeout_s: u64,
    /// How shards are read. `pread`: with a system call for each level of a frame; a shard that
    /// fails ends the run with a line and a checkpoint. `mmap`: mapped; one that shrinks, or whose
    /// mount vanishes, ends the process by SIGBUS.
    pub reading: Reading,
    /// Share of the frames drawn that may turn out broken, and be replaced, before the run ends; the
    /// first 8 are free.
    pub max_broken: f64,
}

impl Default for DataConfig {
    fn default() -> Self {
        DataConfig {
            batch: 1024, // paper, section 4.1
            accumulate: 1,
            filter: String::new(),
            order: OrderKind::Full,
            exact: false,
            depth: 4,
        }
    }
}

impl Default for AugmentConfig {
    fn default() -> Self {
        let [view_a, view_b] = Recipe::Byol.views();
        AugmentConfig {
            view_px: 224,
            pair: PairConfig::default(),
            view_a,
            view_b,
        }
    }
}

impl Default for OptimConfig {
    fn default() -> Self {
        let lars = LarsConfig::default();
        OptimConfig {
            name: OptimName::Lars,
            base_lr: 1.0,
            momentum: lars.momentum,
            weight_decay: lars.weight_decay,
            eta: lars.eta,
            eps: lars.eps,
            arithmetic: lars.arithmetic,
            exclude: lars.exclude,
            precision: Precision::Auto,
        }
    }
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        ScheduleConfig {
            epochs: 325.0,
            total_steps: 0,
            warmup_epochs: 10.0,
            warmup_steps: 0,
            lr_shape: LrShape::Byol,
            lr_drops: [0.6, 0.8],
            tau: 0.996,
            tau_shape: TauShape::Cosine,
        }
    }
}

impl Default for RunSettings {
    fn default() -> Self {
        RunSettings {
            log_every_steps: 10,
            pictures_every_steps: 500,
            checkpoint_every_steps: 500,
            keep_checkpoints: 3,
            milestone_every_steps: 0,
            threads: 0,
            fused_kernels: true,
            deterministic: false,
            overlap: false,
            rank_timeout_s: 600, // c10d's, for NCCL
            reading: Reading::default(),
            max_broken: SamplerConfig::default().max_broken,
        }
    }
}

impl RunConfig {
    /// The loader's part of this config, for a process alone.
    pub fn sampler(&self, threads: usize, pin: Pin) -> SamplerConfig {
        let filter = self.data.filter.trim();
        SamplerConfig {
            seed: self.seed,
            batch: self.data.batch as usize,
            depth: self.data.depth as usize,
            threads,
            pair: self.augment.pair,
            output: self.augment.view_px,
            views: [self.augment.view_a, self.augment.view_b],
            exact: self.data.exact,
            order: self.data.order,
            filter: (!filter.is_empty()).then(|| filter.to_owned()),
            reading: self.run.reading,
            max_broken: self.run.max_broken,
            pin,
            ..SamplerConfig::default()
        }
    }

    /// Pairs per optimizer step of `ranks` ranks: what the learning rate is scaled by.
    pub(crate) fn pairs_per_step(&self, ranks: u64) -> u64 {
        self.data.batch * self.data.accumulate * ranks
    }
}

/// Size of a bucket of gradients, as PyTorch's `DistributedDataParallel` has it.
const BUCKET_BYTES: u64 = 25 << 20;

impl RunSettings {
    /// Size of the buckets in which gradients set out, if they do so during the backward pass.
    pub(crate) fn bucket_bytes(&self) -> Option<u64> {
        self.overlap.then_some(BUCKET_BYTES)
    }
}

impl OptimConfig {
    /// The optimizer over the trained tensors of `registry`.
    pub fn build(&self, registry: &Registry) -> Optimizer {
        let (momentum, weight_decay) = (self.momentum, self.weight_decay);
        match self.name {
            OptimName::Sgd => Optimizer::Sgd(Sgd::new(
                registry,
                SgdConfig {
                    momentum,
                    weight_decay,
                },
            )),
            OptimName::Lars => {
                let config = LarsConfig {
                    arithmetic: self.arithmetic,
                    momentum,
                    weight_decay,
                    eta: self.eta,
                    eps: self.eps,
                    exclude: self.exclude,
                };
                Optimizer::Lars(Lars::new(registry, config))
            }
        }
    }
}
