//! Arguments of the commands around a run: `run`, `doctor`, `bench`, `import`, `plot`.

use std::path::PathBuf;

use clap::{Args, value_parser};
use console::layers::{Override, parse_override};

use super::backbone::NetworkArg;
use super::processes::ProcessesArgs;
use crate::report::plot::By;

/// `trainer run`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  trainer run                                        the paper's run on shards/
  trainer run shards/ --config demo_cpu --out runs/demo --device cpu
  trainer run --config configs/mine.toml --set optim.base_lr=0.3 --set method.k=5 --out runs/k5
  trainer run --dry-run                              resolved config, parameters, schedule
  trainer run --batch 256 --set data.accumulate=4    1024 pairs a step on a smaller GPU
  trainer run --processes 8                          on the 8 GPUs of this machine

The same command again resumes the run from its last checkpoint. SIGTERM, SIGINT, SIGHUP
(unless nohup has it ignored), SIGUSR1 and SIGUSR2 write a checkpoint and end with exit code
75; a second SIGTERM or SIGINT ends at once. Exit codes: 0 done, 1 failed, 2 not possible as
asked.")]
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
    /// How many processes work on it.
    #[command(flatten)]
    pub processes: ProcessesArgs,
    /// One JSON object on stdout at the end.
    #[arg(long)]
    pub json: bool,
}

/// `trainer doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  torchrun --no-python --nproc-per-node 8 trainer doctor shards/ --config multisiam_waymo
  srun --ntasks-per-node 8 --gpus-per-task 1 trainer doctor shards/
  trainer doctor shards/ --processes 2 --device cpu        two processes on this machine
  trainer doctor shards/ --set run.rank_timeout_s=30       who is missing is named after 30 s

Put it in the place of `trainer run`, with the same launcher. It writes no file: --out and --fresh
change nothing. One table tells of each process its machine, GPU, cores, libtorch, program (CRC32C of
its file), frames (with a fingerprint) and config; a * marks what is not as with rank 0. Below it
stands how long an all-reduce takes: of 2 KiB, and of as many float32 as the model has gradients.
Exit code 2 if a rank is not like rank 0, or cannot open its shards.")]
pub struct DoctorArgs {
    /// Which run.
    #[command(flatten)]
    pub setup: SetupArgs,
    /// How many processes work on it.
    #[command(flatten)]
    pub processes: ProcessesArgs,
    /// One JSON object on stdout.
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
    /// Pairs in a step over all processes and accumulated batches; data.batch becomes N / (processes
    /// x data.accumulate).
    #[arg(long, value_name = "N", conflicts_with = "batch")]
    pub global_batch: Option<u64>,
    /// Seed of weights and data (seed).
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Threads of the loader, and of the computation on CPU (run.threads); 0 takes every core, or
    /// its part of them if there are several processes.
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
    /// A run, a checkpoint, a .safetensors, .pth or .pkl file.
    pub weights: PathBuf,
    /// Which run.
    #[command(flatten)]
    pub setup: SetupArgs,
    /// Which network, where the weights have two [default: the one that was trained; of a student and a
    /// teacher the teacher].
    #[arg(long, value_enum)]
    pub network: Option<NetworkArg>,
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
