//! Opening, filtering, inspecting and extending the catalog of a large set: time and peak memory of
//! each.
//!
//!     cargo bench -p ingest --bench catalog -- [DIR [ROWS]]
//!
//! Makes the catalog of ROWS frames (default: ten million) in DIR/large and keeps it, so that
//! `ingest inspect DIR/large` can be tried on it; without DIR in a temporary folder. Every step
//! runs in a process of its own, after the file was written, so from the page cache. The two
//! `build` steps run on real shards with tiny JPEGs in DIR/real, without and with an older catalog
//! there; their cost is per shard.

#![expect(clippy::print_stdout, reason = "a bench prints its table")]

mod generate;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use std::{env, fs};

use ingest::inspect::inspect;
use rustix::time::{ClockId, clock_gettime};
use schemas::catalog::{self, Catalog};
use schemas::filter::Filter;

const DEFAULT_ROWS: u64 = 10_000_000;
const REAL_SHARDS: usize = 250;

/// Keeps about a seventh of the rows.
const WHERE: &str = "camera = 'FRONT' and time_of_day = 'Day'";

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A step and its name; its result says how much there was.
type Step = (&'static str, fn(&Path) -> Outcome<String>);

/// What is measured.
const STEPS: [Step; 7] = [
    ("open", |dir| {
        Ok(format!(
            "{} rows",
            Catalog::open(&dir.join("large"))?.num_frames()
        ))
    }),
    ("open, index", |dir| {
        let catalog = Catalog::open(&dir.join("large"))?;
        let index = catalog.index(&catalog.all())?;
        Ok(format!(
            "{} rows, {} MiB of index",
            index.len(),
            index.memory_bytes() >> 20
        ))
    }),
    ("open, index --where", |dir| {
        let catalog = Catalog::open(&dir.join("large"))?;
        let index = catalog.index(&catalog.select(Some(&Filter::parse(WHERE)?))?)?;
        Ok(format!("{} rows", index.len()))
    }),
    ("inspect", |dir| {
        Ok(format!(
            "{} rows",
            inspect(&dir.join("large"), None)?.frames
        ))
    }),
    ("inspect --where", |dir| {
        let inspection = inspect(&dir.join("large"), Some(&Filter::parse(WHERE)?))?;
        Ok(format!("{} rows", inspection.frames))
    }),
    ("build", |dir| {
        fs::remove_file(dir.join("real").join(catalog::CATALOG_FILE)).or_else(ignore_missing)?;
        let catalog = catalog::build(&dir.join("real"))?;
        Ok(format!(
            "{} shards, {} rows",
            catalog.shards().len(),
            catalog.num_frames()
        ))
    }),
    ("build again", |dir| {
        let catalog = catalog::build(&dir.join("real"))?;
        Ok(format!(
            "{} shards, {} rows",
            catalog.shards().len(),
            catalog.num_frames()
        ))
    }),
];

fn ignore_missing(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}

fn main() -> Outcome<()> {
    // `cargo bench` passes `--bench`.
    let arguments: Vec<String> = env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    if let [flag, step, dir] = arguments.as_slice()
        && flag == "--step"
    {
        return measure(step, Path::new(dir));
    }
    let temporary = tempfile::tempdir()?;
    let dir = arguments
        .first()
        .map_or(temporary.path().to_owned(), PathBuf::from);
    let rows = arguments
        .get(1)
        .map_or(Ok(DEFAULT_ROWS), |rows| rows.parse())?;
    if !dir.join("large").exists() {
        let begin = Instant::now();
        generate::real_set(&dir.join("real"), REAL_SHARDS)?;
        generate::large_set(&dir.join("real"), &dir.join("large"), rows)?;
        println!("made {rows} rows in {:.0} s", begin.elapsed().as_secs_f64());
    }
    println!("{:<20} {:>8} {:>8} {:>9}", "", "s", "CPU s", "peak MiB");
    for (step, _) in STEPS {
        let status = Command::new(env::current_exe()?)
            .args(["--step", step])
            .arg(&dir)
            .status()?;
        if !status.success() {
            return Err(format!("{step} failed").into());
        }
    }
    Ok(())
}

fn measure(name: &str, dir: &Path) -> Outcome<()> {
    let (_, step) = STEPS
        .iter()
        .find(|(known, _)| *known == name)
        .ok_or("no such step")?;
    let begin = Instant::now();
    let found = step(dir)?;
    let (seconds, cpu_seconds) = (begin.elapsed().as_secs_f64(), cpu_seconds());
    println!(
        "{name:<20} {seconds:>8.2} {cpu_seconds:>8.2} {:>9}   {found}",
        peak_mib()?
    );
    Ok(())
}

/// CPU time of all threads of the process.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The most memory that this process ever had, in MiB.
fn peak_mib() -> Outcome<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .ok_or("the system does not say")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? >> 10)
}
