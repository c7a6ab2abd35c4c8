//! The command `ingest demo`: its options, its progress, its report as text.

use std::fmt;
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};

use super::config::{DemoConfig, DemoReport, MIN_FRAMES};
use super::render::render;
use crate::error::Result;

/// Options of `ingest demo`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  ingest demo                            writes data/waymo, data/soda10m and data/cityscapes
  ingest demo --out data --frames 400 --seed 7
  ingest waymo data/waymo --out shards/  carries on from there")]
pub struct DemoArgs {
    /// Folder of the data: new, empty, or written by an earlier `ingest demo`, whose files are
    /// replaced.
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub out: PathBuf,
    /// Images in all: 45 % in Waymo drives, 40 % SODA10M photographs, 15 % Cityscapes pictures with
    /// labels.
    #[arg(long, value_name = "N", default_value_t = DemoConfig::default().num_frames, value_parser = clap::value_parser!(u32).range(i64::from(MIN_FRAMES)..))]
    pub frames: u32,
    /// Decides every pixel: the same seed gives the same files on any machine.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Threads that render [default: one per core].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl From<&DemoArgs> for DemoConfig {
    fn from(args: &DemoArgs) -> Self {
        let threads = args.threads.map_or(Self::default().threads, usize::from);
        Self {
            out: args.out.clone(),
            num_frames: args.frames,
            seed: args.seed,
            threads,
        }
    }
}

/// Renders what the options ask for, with a progress bar on a terminal.
///
/// # Errors
/// As [`render`].
pub fn run(args: &DemoArgs) -> Result<DemoReport> {
    let style =
        ProgressStyle::with_template("{bar:32} {percent:>3}%  {pos} of {len} images  ETA {eta}");
    let bar = ProgressBar::no_length().with_style(style.expect("the template is valid"));
    let report = render(&args.into(), &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    report
}

impl fmt::Display for DemoReport {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let megabytes = self.bytes as f64 / 1e6;
        if self.unchanged {
            writeln!(
                f,
                "kept       {} images, {megabytes:.0} MB, rendered before",
                self.frames
            )?;
        } else {
            writeln!(
                f,
                "rendered   {} images, {megabytes:.0} MB, in {:.1} s",
                self.frames, self.seconds
            )?;
        }
        let out = self.out.display();
        writeln!(
            f,
            "Waymo      {:>4} images in {out}/waymo",
            self.waymo_frames
        )?;
        writeln!(
            f,
            "SODA10M    {:>4} images in {out}/soda10m",
            self.soda10m_frames
        )?;
        write!(
            f,
            "Cityscapes {:>4} images with labels in {out}/cityscapes",
            self.cityscapes_frames
        )
    }
}
