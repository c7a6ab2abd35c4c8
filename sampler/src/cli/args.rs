//! What the user can type. Parses only; [`SetArgs::config`] turns it into settings of the library.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use sampler::{OrderKind, PairConfig, Pin, PixelFormat, Reading, Recipe, SamplerConfig};

/// Draw IoU-valid, augmented crop pairs from shards: measure it, look at it, count it.
///
/// `ingest` makes shards; `trainer` trains on what is shown here.
#[derive(Debug, Parser)]
#[command(
    name = "sampler",
    version,
    arg_required_else_help = true,
    after_help = "\
Examples:
  sampler bench                                  throughput of shards/, stage by stage
  sampler bench data/shards --threads 2 --json   the same as one JSON object
  sampler bench --sweep --cold                   over threads, and from a cold page cache
  sampler preview --out pairs.png                look at what the network will see
  sampler preview --iou 0.3,0.5,0.7              the same frames under three thresholds
  sampler stats --where \"camera = 'FRONT'\"       IoU, tries, crop sizes, levels"
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The three commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure throughput, stage by stage.
    Bench(BenchArgs),
    /// Draw a contact sheet: frames with both boxes, and the two views.
    Preview(PreviewArgs),
    /// Count IoU, tries, crop sizes and levels used; table and picture.
    Stats(StatsArgs),
}

/// Which frames, and how pairs are drawn from them.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// Folder of the set, as `ingest --out` made it.
    #[arg(default_value = "shards/")]
    pub shards: PathBuf,
    /// Only frames for which this SQL expression over the catalog holds.
    #[arg(long = "where", value_name = "SQL")]
    pub filter: Option<String>,
    /// Seed of all random draws.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Published augmentation recipe (also sets the area range).
    #[arg(long, value_enum, default_value_t = RecipeName::Byol)]
    pub recipe: RecipeName,
    /// Area of a crop as a share of the frame: LEAST,MOST.
    #[arg(long, value_name = "LEAST,MOST", value_parser = parse_range)]
    pub area: Option<[f64; 2]>,
    /// Width over height of a crop: LEAST,MOST.
    #[arg(long, value_name = "LEAST,MOST", value_parser = parse_range)]
    pub ratio: Option<[f64; 2]>,
    /// Side of a view in pixels.
    #[arg(long, value_name = "PIXELS", default_value_t = 224)]
    pub output: u32,
    /// Always decode level 0, never a smaller level that suffices.
    #[arg(long)]
    pub exact: bool,
}

/// Names of [`Recipe`]s.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RecipeName {
    /// BYOL's, which MultiSiam keeps.
    Byol,
    /// MoCo v1's.
    MocoV1,
    /// MoCo v2's.
    MocoV2,
}

/// Names of [`OrderKind`]s.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum OrderName {
    /// One permutation of all frames.
    Full,
    /// Blocks of neighbours, mixed within a window: for disks and network storage.
    Block,
}

/// Names of [`Reading`]s.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ReadingName {
    /// One read a level.
    Pread,
    /// Shards are mapped: one that shrinks ends the program.
    Mmap,
}

/// Numbers of threads to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ThreadList {
    /// 1, 2, 4, … and all cores.
    Doubling,
    /// These.
    Given(Vec<usize>),
}

/// `sampler bench`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sampler bench
  sampler bench data/shards --threads 2 --seconds 30
  sampler bench --exact --json > exact.json
  sampler bench --sweep                          efficiency at 1, 2, 4, ... threads
  sampler bench --sweep=1,8,16 --json
  sampler bench --cold --read mmap --order block

Throughput is measured first, without timers inside; then stages are measured, with the CPU clock of each thread.
--cold drops the set's pages from the page cache, again and again (other programs that read the set will notice).")]
pub(crate) struct BenchArgs {
    /// Frames and pairs.
    #[command(flatten)]
    pub set: SetArgs,
    /// Least intersection over union of a pair; 0 takes any.
    #[arg(long, default_value_t = 0.5)]
    pub iou: f32,
    /// Worker threads; 0 = all cores, or its part of them if a launcher started several processes.
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// Pairs in a batch [default: 64, or all frames if there are fewer].
    #[arg(long)]
    pub batch: Option<usize>,
    /// Batches in flight.
    #[arg(long, default_value_t = 4)]
    pub depth: usize,
    /// How long to measure.
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
    /// How an epoch runs through the set.
    #[arg(long, value_enum, default_value_t = OrderName::Full)]
    pub order: OrderName,
    /// How bytes of the set come into memory.
    #[arg(long = "read", value_enum, default_value_t = ReadingName::Pread)]
    pub reading: ReadingName,
    /// Make normalised float32 NCHW views instead of bytes, as torchvision's pipeline ends with.
    #[arg(long)]
    pub float: bool,
    /// Also measure other numbers of threads: =1,2,4 or, without a list, 1, 2, 4, ... and all
    /// cores.
    #[arg(long, value_name = "LIST", num_args = 0..=1, require_equals = true, default_missing_value = "doubling",
          value_parser = parse_threads)]
    pub sweep: Option<ThreadList>,
    /// Also measure with the set dropped from the page cache, beside the same samples from memory.
    #[arg(long)]
    pub cold: bool,
    /// Ask the CUDA driver for page-locked memory of this device.
    #[arg(long, value_name = "DEVICE", num_args = 0..=1, default_missing_value = "0")]
    pub pinned: Option<u32>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `sampler preview`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sampler preview
  sampler preview data/shards --out pairs.png --pairs 12 --seed 7
  sampler preview --iou 0.3,0.5,0.7              one column for each threshold, as in the paper's Figure 3
  sampler preview --where \"time_of_day = 'Night'\"")]
pub(crate) struct PreviewArgs {
    /// Frames and pairs.
    #[command(flatten)]
    pub set: SetArgs,
    /// The picture to write (PNG).
    #[arg(long, default_value = "pairs.png")]
    pub out: PathBuf,
    /// Least intersection over union; several, separated by commas, are drawn side by side.
    #[arg(long, value_delimiter = ',', default_value = "0.5")]
    pub iou: Vec<f32>,
    /// Frames to show.
    #[arg(long, default_value_t = 8)]
    pub pairs: usize,
    /// Worker threads; 0 = all cores, or its part of them if a launcher started several processes.
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
}

/// `sampler stats`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sampler stats
  sampler stats data/shards --iou 0.7 --pairs 100000 --out stats.png
  sampler stats --recipe moco-v2 --iou 0 --json

Draws pairs without decoding them.")]
pub(crate) struct StatsArgs {
    /// Frames and pairs.
    #[command(flatten)]
    pub set: SetArgs,
    /// Least intersection over union of a pair; 0 takes any.
    #[arg(long, default_value_t = 0.5)]
    pub iou: f32,
    /// Pairs to draw, over as many epochs as that takes.
    #[arg(long, default_value_t = 20_000)]
    pub pairs: u64,
    /// The picture to write (PNG).
    #[arg(long, default_value = "stats.png")]
    pub out: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl SetArgs {
    /// The library's settings, with batches of one pair.
    pub(crate) fn config(&self, min_iou: f32) -> SamplerConfig {
        let recipe = match self.recipe {
            RecipeName::Byol => Recipe::Byol,
            RecipeName::MocoV1 => Recipe::MocoV1,
            RecipeName::MocoV2 => Recipe::MocoV2,
        };
        let default = PairConfig::default();
        let (area, ratio) = (
            self.area.unwrap_or(recipe.area()),
            self.ratio.unwrap_or(default.ratio),
        );
        SamplerConfig {
            seed: self.seed,
            batch: 1,
            pair: PairConfig {
                min_iou,
                area,
                ratio,
                ..default
            },
            output: self.output,
            views: recipe.views(),
            exact: self.exact,
            filter: self.filter.clone(),
            ..SamplerConfig::default()
        }
    }
}

impl BenchArgs {
    /// The library's settings; the batch is still to be chosen.
    pub(crate) fn config(&self) -> SamplerConfig {
        SamplerConfig {
            threads: self.threads,
            depth: self.depth,
            order: match self.order {
                OrderName::Full => OrderKind::Full,
                OrderName::Block => OrderKind::Block,
            },
            reading: match self.reading {
                ReadingName::Mmap => Reading::Mmap,
                ReadingName::Pread => Reading::Pread,
            },
            pixels: if self.float {
                PixelFormat::Floats
            } else {
                PixelFormat::Bytes
            },
            pin: self.pinned.map_or(Pin::Never, Pin::Auto),
            ..self.set.config(self.iou)
        }
    }
}

fn parse_range(text: &str) -> Result<[f64; 2], String> {
    let parsed = text
        .split_once(',')
        .and_then(|(least, most)| Some([least.trim().parse().ok()?, most.trim().parse().ok()?]));
    parsed.ok_or_else(|| "expected two numbers, as in 0.2,1".to_owned())
}

fn parse_threads(text: &str) -> Result<ThreadList, String> {
    if text == "doubling" {
        return Ok(ThreadList::Doubling);
    }
    let numbers: Option<Vec<usize>> = text
        .split(',')
        .map(|number| number.trim().parse().ok().filter(|&threads| threads > 0))
        .collect();
    numbers
        .map(ThreadList::Given)
        .ok_or_else(|| "expected numbers of threads, as in 1,2,4".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn options_reach_the_config() {
        let line = "sampler bench set --where x=1 --seed 7 --iou 0.3 --area 0.2,1 --recipe moco-v2 --exact --pinned";
        let Command::Bench(args) = Cli::parse_from(line.split(' ')).command else {
            panic!("bench")
        };
        let config = args.config();
        assert_eq!(
            (config.seed, config.pair.min_iou, config.pair.area),
            (7, 0.3, [0.2, 1.0])
        );
        assert_eq!(
            (config.filter.as_deref(), config.exact, config.pin),
            (Some("x=1"), true, Pin::Auto(0))
        );
        assert_eq!(config.views, Recipe::MocoV2.views());
        assert!(Cli::try_parse_from(["sampler", "stats", "--area", "1"]).is_err());
    }

    #[test]
    fn a_sweep_takes_a_list_only_behind_an_equals_sign() {
        let sweep = |line: &str| match Cli::try_parse_from(line.split(' ')).map(|cli| cli.command) {
            Ok(Command::Bench(args)) => Some((args.sweep, args.set.shards)),
            _ => None,
        };
        assert_eq!(
            sweep("sampler bench --sweep set"),
            Some((Some(ThreadList::Doubling), "set".into()))
        );
        let list = Some(ThreadList::Given(vec![1, 8]));
        assert_eq!(
            sweep("sampler bench --sweep=1,8 set"),
            Some((list, "set".into()))
        );
        assert_eq!(sweep("sampler bench --sweep=1,0"), None);
    }
}
