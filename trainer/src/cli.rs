//! The command line, parsed and nothing more.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};
use console::layers::{Override, parse_override};
use model::{Arch, Network};

use crate::report::plot::By;

/// Pre-trains a ResNet with MultiSiam on shards of crop pairs.
#[derive(Debug, Parser)]
#[command(name = "trainer", version, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train, or go on where the run's last checkpoint is.
    Run(RunArgs),
    /// Time the training step of a config.
    Bench(BenchArgs),
    /// Begin a run with the weights of another, or of torchvision.
    Import(ImportArgs),
    /// Score a frozen backbone: a linear classifier for every cell of labelled street scenes.
    Probe(ProbeArgs),
    /// Fine-tune a backbone for another task and score it.
    Transfer {
        /// Which task.
        #[command(subcommand)]
        task: Task,
    },
    /// Write a feature of every frame into a Parquet file.
    Embed(EmbedArgs),
    /// Write a run's network in a format that others read.
    Export(ExportArgs),
    /// Draw the curves of runs beside each other.
    Plot(PlotArgs),
    /// Draw what the backbone sees: K-means clusters of its last map, before and after training.
    Visualize(VisualizeArgs),
}

/// `trainer run`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer run                                        the paper's run on shards/
  trainer run shards/ --config demo_cpu --out runs/demo --device cpu
  trainer run --config configs/mine.toml --set optim.base_lr=0.3 --set method.k=5 --out runs/k5
  trainer run --dry-run                              resolved config, parameters, schedule
  trainer run --batch 256 --set data.accumulate=4    1024 pairs a step on a smaller GPU

The same command again resumes the run from its last checkpoint. SIGTERM, SIGINT and SIGUSR1
write a checkpoint and end with exit code 75. Exit codes: 0 done, 1 failed, 2 not possible
as asked.")]
pub struct RunArgs {
    /// Which run.
    #[command(flatten)]
    pub setup: SetupArgs,
    /// List the built-in configs and end.
    #[arg(long)]
    pub list_configs: bool,
    /// Stop after this optimizer step, with a checkpoint; the schedule stays that of the whole run.
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,
    /// Show what would run, and end.
    #[arg(long)]
    pub dry_run: bool,
    /// Time the phases of the steps (waits for the device after each), and show them at the end.
    #[arg(long)]
    pub profile: bool,
    /// Resume although this config key (or `shards`) has changed; may be repeated.
    #[arg(long, value_name = "KEY")]
    pub allow_change: Vec<String>,
    /// One JSON object on stdout at the end.
    #[arg(long)]
    pub json: bool,
}

/// Which run: its data, its config, its folder.
#[derive(Debug, Args)]
pub struct SetupArgs {
    /// Folder of shards, as `ingest` writes it.
    #[arg(default_value = "shards")]
    pub shards: PathBuf,
    /// Folder of the run [default: runs/ and the config's name].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Everything else that decides it.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Start over: an earlier run in the folder is moved aside, not deleted.
    #[arg(long)]
    pub fresh: bool,
}

/// A config, changes to it, and the device.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// A TOML file, or the name of a built-in config.
    #[arg(long, value_name = "FILE|NAME", default_value = "multisiam_waymo")]
    pub config: String,
    /// cpu, cuda, cuda:N, or auto: a GPU if there is one.
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Pairs in a forward pass (data.batch).
    #[arg(long, value_name = "N")]
    pub batch: Option<u64>,
    /// Seed of weights and data (seed).
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Threads of the loader, and of the computation on CPU (run.threads); 0 takes every core.
    #[arg(long, value_name = "N")]
    pub threads: Option<u64>,
    /// SQL filter over the catalog's columns (data.where), as in "camera = 'FRONT' and time_of_day
    /// = 'Day'".
    #[arg(long = "where", value_name = "SQL")]
    pub filter: Option<String>,
    /// Change a config key, as in optim.base_lr=0.3; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_override)]
    pub overrides: Vec<Override>,
}

/// `trainer bench`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer bench --batch 256                     the step alone: its pairs are in memory already
  trainer bench shards/ --batch 256             with the loader, and how long the step waits for it
  trainer bench --batch 64 --trace trace.json   to be opened in chrome://tracing or ui.perfetto.dev

The step is that of `trainer run`, at the config's highest learning rate. Its time is the
median over three blocks of --steps steps, each of them between two synchronisations with
the device.")]
pub struct BenchArgs {
    /// Folder of shards to load pairs from [default: views of random bytes, which nothing has to
    /// load].
    pub shards: Option<PathBuf>,
    /// Whose step.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Steps in a block.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = value_parser!(u64).range(1..))]
    pub steps: u64,
    /// Steps before the first block.
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub warmup: u64,
    /// In place of the blocks, trace three steps into this file, in Chrome's format.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// In place of the blocks, one forward and backward pass of the weights and views in DIR
    /// (state.safetensors, inputs.safetensors), and what came out into ours.safetensors: the loss,
    /// and each parameter's gradient.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["trace", "shards"])]
    pub agree: Option<PathBuf>,
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// `trainer import`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer import resnet50.pth shards/ --out runs/warm             torchvision's weights
  trainer import runs/byol shards/ --config multisiam_waymo --out runs/warm
  trainer run shards/ --out runs/warm                             the run that starts from them

The folder gets a checkpoint of step 0 with these weights in both backbones; heads start at
random. `trainer run` with the same config and folder goes on from there. `fc` and the heads
of the file are left alone.")]
pub struct ImportArgs {
    /// A run, a checkpoint, a .safetensors or .pth file.
    pub weights: PathBuf,
    /// Which run.
    #[command(flatten)]
    pub setup: SetupArgs,
    /// Which network of a run.
    #[arg(long, value_enum, default_value = "online")]
    pub network: NetworkArg,
}

/// `trainer export`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer export runs/multisiam_waymo --format torchvision --out r50.safetensors
  trainer export runs/x --format pth --out r50.pth               torch.load(..., weights_only=True)
  trainer export runs/x --format detectron2 --out r50.pkl        MODEL.WEIGHTS of Detectron2
  trainer export runs/x --format safetensors --network target --out target.safetensors
  trainer export runs/x --recalibrate shards/ --out r50.safetensors  batch norms for whole frames")]
pub struct ExportArgs {
    /// Folder of a run, or one of its checkpoints.
    pub run: PathBuf,
    /// What to write.
    #[arg(long, value_enum, default_value = "torchvision")]
    pub format: Format,
    /// The file to write; an earlier one is replaced.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Which network.
    #[arg(long, value_enum, default_value = "online")]
    pub network: NetworkArg,
    /// Replace the batch norms' statistics, which are those of augmented crops, by those of up to
    /// 512 whole frames of this set.
    #[arg(long, value_name = "SHARDS")]
    pub recalibrate: Option<PathBuf>,
    /// Height of those frames as the backbone sees them, in pixels.
    #[arg(long, value_name = "PX", default_value_t = 256, value_parser = value_parser!(i64).range(32..=4096), requires = "recalibrate")]
    pub height: i64,
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// What `trainer export` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The backbone as safetensors with torchvision's names (no `fc`).
    Torchvision,
    /// The whole network with its heads, as safetensors.
    Safetensors,
    /// The backbone as a PyTorch state dict with torchvision's names.
    Pth,
    /// The backbone as a Detectron2 pickle with its names.
    Detectron2,
}

/// Which of the two networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NetworkArg {
    /// The one that was trained.
    Online,
    /// Its moving average.
    Target,
}

impl From<NetworkArg> for Network {
    fn from(arg: NetworkArg) -> Self {
        match arg {
            NetworkArg::Online => Network::Online,
            NetworkArg::Target => Network::Target,
        }
    }
}

/// Form of a random network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ArchArg {
    /// Basic blocks 2-2-2-2; 11,176,512 parameters, 512 channels out.
    Resnet18,
    /// Bottlenecks 3-4-6-3; 23,508,032 parameters, 2048 channels out.
    Resnet50,
}

impl From<ArchArg> for Arch {
    fn from(arg: ArchArg) -> Self {
        match arg {
            ArchArg::Resnet18 => Arch::Resnet18,
            ArchArg::Resnet50 => Arch::Resnet50,
        }
    }
}

/// Which network of the weights, and where it computes.
#[derive(Debug, Args)]
pub struct BackboneArgs {
    /// Which network of a run.
    #[arg(long, value_enum, default_value = "online")]
    pub network: NetworkArg,
    /// Form of a random network.
    #[arg(long, value_enum, default_value = "resnet50")]
    pub arch: ArchArg,
    /// cpu, cuda, cuda:N or auto.
    #[arg(long, default_value = "auto")]
    pub device: String,
}

/// `trainer probe`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer probe runs/multisiam_waymo --data data/cityscapes
  trainer probe r50.pth --data data/bdd100k --height 384 --layer4-stride 1
  trainer probe random --arch resnet18 --data data/cityscapes --json   untrained, for comparison

DATA has the splits train and val in the layout of Cityscapes (leftImg8bit/, gtFine/),
BDD100K (images/, labels/), or as pairs X.jpg, X_labelTrainIds.png. Batch norms get the
statistics of its training images.")]
pub struct ProbeArgs {
    /// A run, a checkpoint, a .safetensors or .pth file, or `random`.
    pub weights: PathBuf,
    /// Folder of the labelled set.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Height of its images as the backbone sees them, in pixels.
    #[arg(long, value_name = "PX", default_value_t = 256, value_parser = value_parser!(i64).range(32..=4096))]
    pub height: i64,
    /// Which network of the weights, and where it computes.
    #[command(flatten)]
    pub backbone: BackboneArgs,
    /// Stride of stage 3, 1 or 2 [default: the run's, or 2].
    #[arg(long, value_name = "N")]
    pub layer3_stride: Option<i64>,
    /// Stride of stage 4, 1 or 2 [default: the run's, or 2]; 1 gives twice the cells per side.
    #[arg(long, value_name = "N")]
    pub layer4_stride: Option<i64>,
    /// Epochs of the classifier.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = value_parser!(u64).range(1..))]
    pub epochs: u64,
    /// Score on this many training images, held out in blocks of neighbours, instead of the split
    /// val.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub holdout: usize,
    /// Take only the first N training images.
    #[arg(long, value_name = "N")]
    pub limit_train: Option<NonZeroUsize>,
    /// Take only the first N images to score on.
    #[arg(long, value_name = "N")]
    pub limit_test: Option<NonZeroUsize>,
    /// Names the classifier's initial weights and order, and a random network.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Draw predictions beside labels into this PNG.
    #[arg(long, value_name = "FILE")]
    pub pictures: Option<PathBuf>,
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Tasks of `trainer transfer`. Instance segmentation is left to Detectron2: see
/// `scripts/transfer/`.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Semantic segmentation with FCN-16s: mIoU on the split val.
    Seg(TransferArgs),
}

/// `trainer transfer seg`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer transfer seg runs/multisiam_waymo --data data/cityscapes --out runs/seg
  trainer transfer seg r50.pth --data data/bdd100k --config bdd100k --out runs/seg_bdd
  trainer transfer seg random --arch resnet18 --data small/ --config small --set iterations=300 --out runs/seg_random

DATA has the splits train and val in the layout of Cityscapes (leftImg8bit/, gtFine/), BDD100K (images/, labels/),
or as pairs X.jpg, X_labelTrainIds.png. The same command again goes on from the last checkpoint.")]
pub struct TransferArgs {
    /// A run, a checkpoint, a .safetensors or .pth file, or `random`.
    #[arg(required_unless_present = "list_configs")]
    pub weights: Option<PathBuf>,
    /// Folder of the labelled set.
    #[arg(long, value_name = "DIR", required_unless_present = "list_configs")]
    pub data: Option<PathBuf>,
    /// Folder for checkpoint, metrics, pictures and result.
    #[arg(long, value_name = "DIR", required_unless_present = "list_configs")]
    pub out: Option<PathBuf>,
    /// A TOML file, or the name of a built-in recipe.
    #[arg(long, value_name = "FILE|NAME", default_value = "cityscapes")]
    pub config: String,
    /// List the built-in recipes and end.
    #[arg(long)]
    pub list_configs: bool,
    /// Change a key of the recipe, as in iterations=40000; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_override)]
    pub overrides: Vec<Override>,
    /// Stop after this iteration; the schedule stays that of the recipe.
    #[arg(long, value_name = "N")]
    pub iterations: Option<u64>,
    /// Which network of the weights, and where it computes.
    #[command(flatten)]
    pub backbone: BackboneArgs,
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// `trainer visualize`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer visualize runs/multisiam_waymo shards/ --out clusters.png
  trainer visualize runs/x --frames 4 --where \"time_of_day = 'Night'\" --k 5 --out night.png
  trainer visualize runs/x --beside runs/byol --beside runs/moco --out three.png
  trainer visualize runs/x --where \"frame_id in ('a/1', 'a/7')\" --out chosen.png")]
pub struct VisualizeArgs {
    /// A run, a checkpoint, a .safetensors or .pth file.
    pub run: PathBuf,
    /// Another one, beside it; may be repeated.
    #[arg(long, value_name = "RUN")]
    pub beside: Vec<PathBuf>,
    /// Which network of a run.
    #[arg(long, value_enum, default_value = "online")]
    pub network: NetworkArg,
    /// Folder of shards to take frames from.
    #[arg(default_value = "shards")]
    pub shards: PathBuf,
    /// The PNG to write.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Number of frames, evenly spread over the shards.
    #[arg(long, value_name = "N", default_value_t = 6)]
    pub frames: usize,
    /// SQL filter over the catalog's columns.
    #[arg(long = "where", value_name = "SQL")]
    pub filter: Option<String>,
    /// Clusters in a frame [default: the (first) run's method.k].
    #[arg(long)]
    pub k: Option<i64>,
    /// Width of the frames as the network sees them, in pixels [default: 20 cells of its map].
    #[arg(long, value_name = "PX")]
    pub width: Option<u32>,
    /// cpu, cuda, cuda:N or auto.
    #[arg(long, default_value = "auto")]
    pub device: String,
}

/// `trainer embed`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer embed runs/multisiam_waymo shards/ --out features.parquet
  trainer embed r50.pth shards/ --where \"camera = 'FRONT'\" --height 384 --out front.parquet

  polars.read_parquet(\"features.parquet\").join(
      polars.read_parquet(\"shards/catalog.parquet\"), on=\"frame_id\")

A feature is the mean of the backbone's last map over the whole frame. Rows are in the
catalog's order. Batch norms use the statistics of training; a frame that cannot be decoded
has a null.")]
pub struct EmbedArgs {
    /// A run, a checkpoint, a .safetensors or .pth file, or `random`.
    pub weights: PathBuf,
    /// Folder of shards.
    #[arg(default_value = "shards")]
    pub shards: PathBuf,
    /// The Parquet file to write; an earlier one is replaced.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// SQL filter over the catalog's columns.
    #[arg(long = "where", value_name = "SQL")]
    pub filter: Option<String>,
    /// Height of the frames as the backbone sees them, in pixels; widths follow, in whole cells.
    #[arg(long, value_name = "PX", default_value_t = 256, value_parser = value_parser!(i64).range(32..=4096))]
    pub height: i64,
    /// Frames that pass through the backbone together.
    #[arg(long, value_name = "N", default_value = "32")]
    pub batch: NonZeroUsize,
    /// Which network of the weights, and where it computes.
    #[command(flatten)]
    pub backbone: BackboneArgs,
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// `trainer plot`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer plot runs/multisiam_waymo --out curves.png
  trainer plot runs/multisiam_waymo runs/byol --by step --out curves.png

Losses, collapse, clusters, norms, schedules, probe and speed, from metrics.jsonl. Runs that
are still under way can be drawn too.")]
pub struct PlotArgs {
    /// Folders of runs.
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// The PNG to write.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// What runs from left to right.
    #[arg(long, value_enum, default_value = "epoch")]
    pub by: By,
}
