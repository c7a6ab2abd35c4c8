//! Arguments of the commands that take trained weights: `export`, `probe`, `transfer`, `embed`,
//! `visualize`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, value_parser};
use console::layers::{Override, parse_override};

use super::backbone::{BackboneArgs, NetworkArg};
use super::processes::ProcessesArgs;

/// `trainer export`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer export runs/multisiam_waymo --out r50.safetensors    backbone, torchvision's names
  trainer export runs/x --out r50.pth                          torch.load(..., weights_only=True)
  trainer export runs/x --out r50.pkl                          MODEL.WEIGHTS of Detectron2
  trainer export runs/x --format safetensors --out all.safetensors   with heads
  trainer export runs/x --format timm --data-license \"CC BY-NC-SA 4.0\" --out r50   a folder for timm
  trainer export runs/x --network target --out target.safetensors
  trainer export runs/x --recalibrate shards/ --out r50.safetensors  batch norms for whole frames

The ending of --out chooses the format, whatever its case: .safetensors is torchvision, .pth, .pt and
.pth.tar are pth, .pkl is detectron2. A --format that contradicts it is refused; without an ending,
or with another one, --format decides.")]
pub struct ExportArgs {
    /// Folder of a run, or one of its checkpoints.
    pub run: PathBuf,
    /// What to write [default: what the ending of --out means].
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// The file to write; an earlier one is replaced. For timm a folder, which holds nothing else.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// For timm: licence of the images that the run was trained on; the model card names it. An
    /// address in it becomes a link.
    #[arg(long, value_name = "TEXT")]
    pub data_license: Option<String>,
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
    /// The backbone as a folder that timm loads, with config.json and a model card.
    Timm,
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
    /// A run, a checkpoint, a .safetensors, .pth or .pkl file, or `random`.
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
    /// Leave out images that have no label picture, and count them.
    #[arg(long)]
    pub skip_unlabelled: bool,
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
    /// How many processes work on it.
    #[command(flatten)]
    pub processes: ProcessesArgs,
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
or as pairs X.jpg, X_labelTrainIds.png. The same command again goes on from the last checkpoint.
SIGTERM, SIGINT, SIGHUP, SIGUSR1 and SIGUSR2 write one and end with exit code 75.")]
pub struct TransferArgs {
    /// A run, a checkpoint, a .safetensors, .pth or .pkl file, or `random`.
    #[arg(required_unless_present = "list_configs")]
    pub weights: Option<PathBuf>,
    /// Folder of the labelled set.
    #[arg(long, value_name = "DIR", required_unless_present = "list_configs")]
    pub data: Option<PathBuf>,
    /// Folder for checkpoint, metrics, pictures and result.
    #[arg(long, value_name = "DIR", required_unless_present = "list_configs")]
    pub out: Option<PathBuf>,
    /// Leave out images that have no label picture, and count them.
    #[arg(long)]
    pub skip_unlabelled: bool,
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
    /// How many processes work on it.
    #[command(flatten)]
    pub processes: ProcessesArgs,
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
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
    /// A run, a checkpoint, a .safetensors, .pth or .pkl file, or `random`.
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
    /// How many processes work on it.
    #[command(flatten)]
    pub processes: ProcessesArgs,
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
    /// A run, a checkpoint, a .safetensors, .pth or .pkl file.
    pub run: PathBuf,
    /// Another one, beside it; may be repeated.
    #[arg(long, value_name = "RUN")]
    pub beside: Vec<PathBuf>,
    /// Which network, where the weights have two [default: the one that was trained; of a student and a
    /// teacher the teacher].
    #[arg(long, value_enum)]
    pub network: Option<NetworkArg>,
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
