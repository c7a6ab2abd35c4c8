//! The command line: parsing only.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ingest::source::{Dataset, Input, Selection, waymo};
use ingest::{MaxBad, Part, Request};
use schemas::shard::{Chroma, Settings};

use super::demo::DemoArgs;

/// Turn driving data sets into shards of tile-addressable JPEGs.
#[derive(Debug, Parser)]
#[command(name = "ingest", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Waymo Open Dataset: TFRecord files (v1, end-to-end), Parquet (v2), their archives, folders.
    #[command(after_help = "Examples:
  ingest waymo --out shards/                        reads data/waymo
  ingest waymo /data/waymo/training --out shards/ --cameras FRONT,FRONT_LEFT
  ingest waymo '/data/waymo/training/segment-1*.tfrecord' --out shards/ --threads 32
  ingest waymo /data/archived_files/training/training_0000.tar --out shards/
  ingest waymo /data/waymo --out /net/shards --part 3/8      then `ingest catalog /net/shards`

Read are *.tfrecord and *.tfrecord-NNNNN-of-NNNNN, also as .gz, .zst or in a .tar, and camera_image/*.parquet. The \
split is what folders from the given one on, and the file's name, say. A drive that lies there twice is read once. \
Motion files hold no images and are passed over.")]
    Waymo {
        /// TFRecord and Parquet files, tars of them, folders and patterns.
        #[arg(default_value = "data/waymo")]
        input: Vec<PathBuf>,
        /// Keep only these cameras.
        #[arg(long, value_delimiter = ',', value_parser = camera)]
        cameras: Vec<String>,
        #[command(flatten)]
        options: Options,
    },
    /// SODA10M: folders and archives of JPEGs, labelled and unlabelled.
    #[command(after_help = format!("Examples:
  ingest soda10m --out shards/                      reads data/soda10m
  ingest soda10m /data/SSLAD-2D --out shards/
  ingest soda10m /data/soda10m --dry-run              any folder that holds the downloads
  ingest soda10m /data/SSLAD-2D/unlabel/image_0 /data/SSLAD-2D/unlabel/image_2 --out shards/
  ingest soda10m /data/image_0.tar.part* --tags /data/unlabel_tags.json --out shards/

{ARCHIVES}

Tags: JSON files with a list of {{file_name, city, location, period, weather}}, alone or as the images of COCO \
annotations, or such an object a line. They are found in the input and, for an archive or a part of the set, beside it; \
JSON that cannot be read is passed over, unless --tags names it. The period becomes time_of_day. Shards that are \
finished are not written again when tags change.

Every split (labeled/train, unlabel/image_0, …) is an input of its own, however deep it lies, so a set grows as \
downloads arrive. --dry-run shows them."))]
    Soda10m {
        /// The set's folder (SSLAD-2D), one of its parts, any folder of street scenes, .tar and
        /// .zip files; NAME=PATH stores a folder of street scenes under a name.
        #[arg(default_value = "data/soda10m")]
        input: Vec<PathBuf>,
        /// JSON file of tags that lies elsewhere; may be given several times.
        #[arg(long, value_name = "FILE")]
        tags: Vec<PathBuf>,
        #[command(flatten)]
        patterns: Patterns,
        #[command(flatten)]
        options: Options,
    },
    /// Any folder tree or archive of images (ImageNet, BDD100K, Cityscapes, nuScenes, …).
    #[command(after_help = format!("Examples:
  ingest images /data/imagenet --out shards/     train/n01440764/x.JPEG: split train, segment n01440764
  ingest images /data/bdd100k/images /data/nuscenes/samples --out shards/ --max-bad 20
  ingest images /data/ILSVRC2012_img_train.tar /data/leftImg8bit_trainvaltest.zip --out shards/
  ingest images /data/cityscapes --exclude rightImg8bit --dry-run

{ARCHIVES}

Folder names: the first that is train, val, test or the like is the split, the others are the segment; an archive \
counts as a folder. Paths of nuScenes, nuImages, Argoverse, ONCE, KITTI, PandaSet and BDD100K say segment, camera and \
time, names of Cityscapes the city. Pictures of labels, depth and disparity are passed over by the names of files and \
folders (gtFine, labels, masks, …) in which these sets keep them; --dry-run shows which, --include reads them."))]
    Images {
        /// Folders of JPEG and PNG files, .tar and .zip files; NAME=PATH stores one under a name.
        #[arg(required = true)]
        input: Vec<PathBuf>,
        #[command(flatten)]
        patterns: Patterns,
        #[command(flatten)]
        options: Options,
    },
    /// Render synthetic street scenes in the layouts of Waymo, SODA10M and Cityscapes.
    Demo(DemoArgs),
    /// Rebuild the catalog and the report, and so join what `--part` runs wrote.
    #[command(after_help = "Example:\n  ingest catalog shards/")]
    Catalog {
        /// Folder of the set.
        #[arg(default_value = "shards")]
        shards: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Show what is in a set: frames by camera, split, time of day …, sizes, bytes by level.
    #[command(after_help = "Examples:
  ingest inspect shards/
  ingest inspect shards/ --where \"camera = 'FRONT' and time_of_day = 'Day'\"
  ingest inspect shards/ --where \"split in ('0','2','4','6','8')\" --json")]
    Inspect {
        /// Folder of the set.
        #[arg(default_value = "shards")]
        shards: PathBuf,
        /// Count only frames for which this SQL expression over the catalog's columns holds.
        #[arg(long = "where", value_name = "SQL")]
        filter: Option<String>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Check every checksum, every JPEG, and the catalog against the shards.
    #[command(
        after_help = "Example:\n  ingest verify shards/        exits with 1 if anything is wrong, and names it"
    )]
    Verify {
        /// Folder of the set.
        #[arg(default_value = "shards")]
        shards: PathBuf,
        /// Threads [default: one per core].
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
        threads: Option<u16>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Measure what views from stored levels lose: PSNR against views from the originals.
    #[command(after_help = "Examples:
  ingest fidelity shards/ data/waymo/training/segment-1005.tfrecord
  ingest fidelity shards/ /data/SSLAD-2D --crops 5000 --out worst.png
  ingest fidelity shards/ data/waymo --seed 1 --json

One input of many suffices. Crops are those of pairs with an IoU of at least 0.5. Those that a
sampler decodes from level 0, which is the original, are counted and not measured.")]
    Fidelity {
        /// Folder of the set.
        shards: PathBuf,
        /// Files, folders and patterns that were ingested into it, or some of them.
        #[arg(required = true)]
        input: Vec<PathBuf>,
        /// Crops to measure.
        #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
        crops: u32,
        /// Names the frames and crops.
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Write a picture of the worst crop of each level: from the original, from the level,
        /// difference times 8.
        #[arg(long, value_name = "PNG")]
        out: Option<PathBuf>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// What may be given instead of a folder of images.
const ARCHIVES: &str = "\
Archives: .tar and .zip are read where they lie, also those in folders. Parts of one are joined, and to give one part \
is to give all of them:
  x.tar.part00 x.tar.part01 …    or .00, .001, .part-1: by number, from 0 or 1, without a gap
  x.tar.partaa x.tar.partab …    or .aa, x.taraa, of any length: as `split` counts, without a gap
A .tar inside a .tar counts as a folder. Tars compressed by gzip or zstd (.tgz, .tar.zst) are read too, one after the \
other; other compressed ones are passed over.";

/// Which files are read.
#[derive(Debug, Args)]
pub(crate) struct Patterns {
    /// Read also what a rule passes over (pictures of labels; hidden and other files, if the
    /// pattern names them). A name of a file or folder, or a path below the input or in an archive:
    /// 'gtFine', '*_mask.png', 'train/**/depth'. May be given several times; other files are read
    /// as without it.
    #[arg(long, value_name = "PATTERN")]
    include: Vec<String>,
    /// Do not read what matches, whatever --include says. May be given several times.
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
}

impl Patterns {
    /// The selection that they stand for.
    ///
    /// # Errors
    /// If one is no pattern.
    pub(super) fn selection(&self) -> ingest::Result<Selection> {
        Selection::new(&self.include, &self.exclude)
    }
}

/// Options of every data set.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Folder of the shards; new, empty, or a set made with the same settings, to which is added.
    #[arg(long, value_name = "DIR", default_value = "shards")]
    out: PathBuf,
    /// Stored resolutions: 0 is the original, k is 1/2^k.
    #[arg(long, default_value = "0,1,2", value_delimiter = ',', value_parser = clap::value_parser!(u8).range(0..=5))]
    levels: Vec<u8>,
    /// JPEG quality of re-encoded levels.
    #[arg(long, default_value_t = 93, value_parser = clap::value_parser!(u8).range(1..=100))]
    quality: u8,
    /// Chroma sampling of re-encoded levels.
    #[arg(long, value_enum, default_value_t = ChromaArg::Half)]
    chroma: ChromaArg,
    /// Skip images with more pixels.
    #[arg(long, value_name = "N", default_value_t = Settings::default().max_pixels)]
    max_pixels: u64,
    /// Threads that decode and encode [default: one per core].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Write only every N-th shard, beginning with number I (from 0): one of N machines.
    #[arg(long, value_name = "I/N", default_value = "0/1")]
    part: Part,
    /// Fail if more items are skipped, or lie behind damaged places: a number, or a percentage. The
    /// report is written in any case.
    #[arg(long, value_name = "COUNT|PERCENT%", default_value = "1%")]
    max_bad: MaxBad,
    /// Compare finished shards with their inputs by checksum, not by size alone, and make those again
    /// that differ. Reads every input.
    #[arg(long)]
    recheck: bool,
    /// Say what would be read, by folder and kind, and what would be passed over and why. Nothing is
    /// written.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

/// Chroma sampling by its usual name.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ChromaArg {
    /// Half the width and height.
    #[value(name = "420")]
    Half,
    /// Full resolution.
    #[value(name = "444")]
    Full,
}

fn camera(name: &str) -> Result<String, String> {
    let known = waymo::CAMERAS
        .iter()
        .find(|camera| camera.eq_ignore_ascii_case(name));
    known
        .map(ToString::to_string)
        .ok_or_else(|| format!("cameras are {}", waymo::CAMERAS.join(", ")))
}

/// The given number of threads, or one per core.
pub(super) fn threads(given: Option<u16>) -> usize {
    host::threads(given.map_or(0, usize::from))
}

impl Options {
    /// The request that these options and `inputs` stand for.
    pub(super) fn into_request(self, dataset: Dataset, inputs: Vec<PathBuf>) -> Request {
        let levels: BTreeSet<u8> = self.levels.into_iter().collect();
        let chroma = match self.chroma {
            ChromaArg::Half => Chroma::C420,
            ChromaArg::Full => Chroma::C444,
        };
        Request {
            dataset,
            inputs: inputs.into_iter().map(Input::of_argument).collect(),
            tag_files: Vec::new(),
            selection: Selection::default(),
            out: self.out,
            settings: Settings {
                levels: levels.into_iter().collect(),
                quality: self.quality,
                chroma,
                max_pixels: self.max_pixels,
                ..Settings::default()
            },
            part: self.part,
            threads: threads(self.threads),
            max_bad: self.max_bad,
            recheck: self.recheck,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn levels_are_sorted_and_defaults_are_the_documented_ones() {
        let cli =
            Cli::try_parse_from(["ingest", "waymo", "--out", "x", "--levels", "2,0,2"]).unwrap();
        let Command::Waymo { input, options, .. } = cli.command else {
            panic!("not waymo")
        };
        assert_eq!(input, [PathBuf::from("data/waymo")]);
        let request = options.into_request(Dataset::Waymo, input);
        assert_eq!(
            request.settings,
            Settings {
                levels: vec![0, 2],
                ..Settings::default()
            }
        );
        assert_eq!(
            (request.part, request.max_bad),
            (Part::WHOLE, MaxBad::Percent(1.0))
        );
    }
}
