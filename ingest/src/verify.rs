//! Checks a set from the first byte to the last: every checksum, every JPEG, the catalog against the shards.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::thread;

use crossbeam::channel::{Sender, unbounded};
use schemas::catalog::{Catalog, shard_paths};
use schemas::geom::Size;
use schemas::shard::{FrameEntry, LevelEntry, ShardReader};
use schemas::tiled::{TiledJpeg, embed_index};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::jpeg::{Codec, Scale};
use crate::raster::Layout;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Frames checked.
    pub frames: u64,
    /// Shards checked.
    pub shards: u64,
    /// What is wrong, sorted; empty for a good set.
    pub bad: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// The shard's file name, or `catalog.parquet`.
    pub file: String,
    /// The frame, if it is one.
    pub frame_id: Option<String>,
    /// Its level, if it is one.
    pub level: Option<u8>,
    /// What is wrong.
    pub problem: String,
}

/// Checks the set in `dir` on `threads` threads.
///
/// # Errors
/// If there is no set, or the catalog and shards cannot be read at all; damage is not an error, but in the verdict.
pub fn verify(dir: &Path, threads: usize) -> Result<Verdict> {
    let paths = shard_paths(dir)?;
    if paths.is_empty() {
        let detail = "its frames/ folder is empty";
        return Err(schemas::Error::NoShards { detail, dir: dir.to_owned() }.into());
    }
    let catalog = Catalog::open(dir);
    let mut bad = Vec::new();
    let frames = check_shards(&paths, catalog.as_ref().ok(), threads, &mut bad);
    match &catalog {
        Ok(catalog) => check_catalog(catalog, &mut bad),
        Err(error) => bad.push(catalog_problem(None, error.to_string())),
    }
    bad.sort();
    bad.dedup();
    Ok(Verdict { frames, shards: paths.len() as u64, bad })
}

/// Checks all shards; returns the number of frames.
fn check_shards(paths: &[PathBuf], catalog: Option<&Catalog>, threads: usize, bad: &mut Vec<Problem>) -> u64 {
    let (jobs_in, jobs) = unbounded();
    paths.iter().for_each(|path| jobs_in.send(path).expect("the receiver is alive"));
    drop(jobs_in);
    let (found_in, found) = unbounded();
    thread::scope(|scope| {
        for _ in 0..threads {
            let (jobs, found) = (jobs.clone(), found_in.clone());
            scope.spawn(move || {
                let mut checker = ShardChecker { codec: Codec::new(), catalog, found };
                jobs.iter().for_each(|path| checker.check(path));
            });
        }
        drop(found_in);
        let mut frames = 0;
        for finding in found {
            match finding {
                Finding::Frames(count) => frames += count,
                Finding::Bad(problem) => bad.push(problem),
            }
        }
        frames
    })
}

enum Finding {
    Frames(u64),
    Bad(Problem),
}

struct ShardChecker<'a> {
    codec: Codec,
    catalog: Option<&'a Catalog>,
    found: Sender<Finding>,
}

impl ShardChecker<'_> {
    fn check(&mut self, path: &Path) {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match self.check_frames(path, &file) {
            Ok(frames) => self.send(Finding::Frames(frames)),
            Err(error) => self.bad(&file, None, None, error.to_string()),
        }
    }

    fn check_frames(&mut self, path: &Path, file: &str) -> Result<u64> {
        let shard = ShardReader::open(path)?;
        self.check_bytes(path, file, &shard)?;
        let rows = shard.rows()?;
        for row in &rows {
            self.check_frame(file, &shard, row);
        }
        Ok(rows.len() as u64)
    }

    /// The file as a whole against its footer and the catalog.
    fn check_bytes(&self, path: &Path, file: &str, shard: &ShardReader) -> Result<()> {
        let crc32c = file_crc32c(path)?;
        if shard.file_checksum()?.1 != crc32c {
            self.bad(file, None, None, "its pages do not match the checksum in its footer".to_owned());
        }
        let shards = self.catalog.map_or(&[][..], Catalog::shards);
        let listed = shards.iter().find(|info| info.name == file);
        if listed.is_some_and(|info| info.crc32c != crc32c) {
            self.bad(file, None, None, "the file does not match its checksum in the catalog".to_owned());
        }
        Ok(())
    }

    fn check_frame(&mut self, file: &str, shard: &ShardReader, row: &FrameEntry) {
        let levels = shard.settings().levels.clone();
        for (level, entry) in levels.into_iter().zip(&row.levels) {
            let Some(entry) = entry else { continue };
            if let Err(problem) = self.check_level(shard, row.meta.size.at_level(level), entry) {
                self.bad(file, Some(&row.meta.frame_id), Some(level), problem);
            }
        }
    }

    fn check_level(&mut self, shard: &ShardReader, size: Size, entry: &LevelEntry) -> Result<(), String> {
        let jpeg = shard.jpeg(entry).map_err(|error| error.to_string())?;
        if crc32c::crc32c(jpeg) != entry.crc32c {
            return Err("the checksum does not hold".to_owned());
        }
        let tiled = TiledJpeg::parse(jpeg).map_err(|error| error.to_string())?;
        if entry.size != size || tiled.size().width < size.width || tiled.size().height != size.height {
            return Err(format!("the level is {} pixels, not {size}", entry.size));
        }
        if (entry.mcu, entry.tile) != (tiled.mcu().width, tiled.tile().width) {
            return Err("the row gives another tile grid than the JPEG".to_owned());
        }
        // Making the index anew visits every restart marker.
        if embed_index(jpeg).map_err(|error| error.to_string())? != jpeg {
            return Err("the tile index does not match the restart markers".to_owned());
        }
        let header = self.codec.read_header(jpeg).map_err(|defect| defect.detail)?;
        // Grey skips the colour conversion; all entropy-coded data are decoded either way.
        self.codec.decode(jpeg, &header, Layout::Grey, Scale::Half, 8).map_err(|defect| defect.detail)?;
        Ok(())
    }

    fn bad(&self, file: &str, frame_id: Option<&str>, level: Option<u8>, problem: String) {
        let frame_id = frame_id.map(str::to_owned);
        self.send(Finding::Bad(Problem { file: file.to_owned(), frame_id, level, problem }));
    }

    fn send(&self, finding: Finding) {
        self.found.send(finding).expect("the receiver outlives the checkers");
    }
}

fn file_crc32c(path: &Path) -> Result<u32> {
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    let mut buffer = vec![0; 1 << 20];
    let mut crc = 0;
    loop {
        match file.read(&mut buffer).map_err(Error::io("read", path))? {
            0 => return Ok(crc),
            read => crc = crc32c::crc32c_append(crc, &buffer[..read]),
        }
    }
}

/// Every row of the catalog against its row in the shard.
fn check_catalog(catalog: &Catalog, bad: &mut Vec<Problem>) {
    if let Err(error) = compare_rows(catalog, bad) {
        bad.push(catalog_problem(None, error.to_string()));
    }
}

fn compare_rows(catalog: &Catalog, bad: &mut Vec<Problem>) -> Result<()> {
    let mut open: Option<(u32, Vec<FrameEntry>)> = None;
    let mut counts = vec![0u64; catalog.shards().len()];
    for batch in catalog.rows()? {
        for row in batch? {
            let Some(count) = counts.get_mut(row.shard as usize) else {
                bad.push(catalog_problem(Some(&row.frame), "it lies in a shard that is not listed".to_owned()));
                continue;
            };
            *count += 1;
            if open.as_ref().is_none_or(|(shard, _)| *shard != row.shard) {
                // A shard that cannot be read has been reported with its own name.
                let rows = ShardReader::open(&catalog.shard_path(row.shard)).and_then(|shard| shard.rows());
                open = Some((row.shard, rows.unwrap_or_default()));
            }
            let found = open.as_ref().and_then(|(_, rows)| rows.get(row.row as usize));
            if found != Some(&row.frame) {
                bad.push(catalog_problem(Some(&row.frame), "its shard says something else".to_owned()));
            }
        }
    }
    for (info, count) in catalog.shards().iter().zip(counts) {
        if info.frames != count {
            bad.push(catalog_problem(None, format!("it has {count} of the {} frames of {:?}", info.frames, info.name)));
        }
    }
    Ok(())
}

fn catalog_problem(frame: Option<&FrameEntry>, problem: String) -> Problem {
    let frame_id = frame.map(|frame| frame.meta.frame_id.clone());
    Problem { file: schemas::catalog::CATALOG_FILE.to_owned(), frame_id, level: None, problem }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.bad {
            writeln!(f, "bad: {problem}")?;
        }
        let Self { frames, shards, bad } = self;
        match bad.len() {
            0 => write!(f, "good: {frames} frames in {shards} shards"),
            count => write!(
                f,
                "{count} problems in {shards} shards; delete the shards named above and ingest their inputs again, or \
                 run `ingest catalog` if only the catalog is named"
            ),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(frame_id) = &self.frame_id {
            write!(f, ": frame {frame_id}")?;
        }
        if let Some(level) = self.level {
            write!(f, " level {level}")?;
        }
        write!(f, ": {}", self.problem)
    }
}
