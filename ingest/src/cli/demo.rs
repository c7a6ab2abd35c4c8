//! The command `ingest demo`: its options and its progress.

use std::path::PathBuf;

use anyhow::Result;
use console::Progress;
use ingest::demo::{DemoConfig, DemoReport, MIN_FRAMES, render};

/// Options of `ingest demo`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  ingest demo                            writes data/waymo, data/soda10m and data/cityscapes
  ingest demo --out data --frames 400 --seed 7
  ingest waymo data/waymo --out shards/  carries on from there")]
pub(crate) struct DemoArgs {
    /// Folder of the data: new, empty, or written by an earlier `ingest demo`, whose files are
    /// replaced.
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub(super) out: PathBuf,
    /// Images in all: 45 % in Waymo drives, 40 % SODA10M photographs, 15 % Cityscapes pictures with
    /// labels.
    #[arg(long, value_name = "N", default_value_t = DemoConfig::default().num_frames, value_parser = clap::value_parser!(u32).range(i64::from(MIN_FRAMES)..))]
    pub(super) frames: u32,
    /// Decides every pixel: the same seed gives the same files on any machine.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) seed: u64,
    /// Threads that render [default: one per core].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) threads: Option<u16>,
    /// Print one JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

impl From<&DemoArgs> for DemoConfig {
    fn from(args: &DemoArgs) -> Self {
        let threads = host::threads(args.threads.map_or(0, usize::from));
        Self {
            out: args.out.clone(),
            num_frames: args.frames,
            seed: args.seed,
            threads,
        }
    }
}

/// Renders what the options ask for, with a progress bar on a terminal.
pub(super) fn run(args: &DemoArgs) -> Result<DemoReport> {
    let template = "{bar:32} {percent:>3}%  {pos} of {len} images{eta}";
    let progress = Progress::new(template, 0, args.frames.into());
    let report = render(&args.into(), &mut |done, _| progress.at(done));
    progress.clear();
    Ok(report?)
}
