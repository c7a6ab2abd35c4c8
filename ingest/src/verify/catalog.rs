//! The catalog, its checksum file and the report: what follows from the shards, and
//! `ingest catalog` makes again.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use schemas::catalog::{CATALOG_CHECKSUM_FILE, CATALOG_FILE, Catalog, checksum_text};
use schemas::shard::{FrameEntry, ShardReader};

use super::flipped_bit;
use super::verdict::Problem;
use crate::checksum::checksum;
use crate::report::{REPORT_FILE, Report};

/// Opens the catalog, whatever the shards beside it are by now.
pub(super) fn open(dir: &Path) -> Result<Catalog, Box<Problem>> {
    if let Some(problem) = changed_bytes(dir) {
        return Err(Box::new(problem));
    }
    Catalog::open_even_if_stale(dir)
        .map_err(|error| Box::new(bad(dir, CATALOG_FILE, error.to_string())))
}

/// Whether the catalog and its checksum file disagree, and which of the two has changed: one
/// flipped bit of the catalog changes many bits of its checksum, one of the checksum file is one.
fn changed_bytes(dir: &Path) -> Option<Problem> {
    let (bytes, found) = match checksum(&dir.join(CATALOG_FILE)) {
        Ok(found) => found,
        Err(error) => return Some(bad(dir, CATALOG_FILE, error.to_string())),
    };
    let (text, stored) = match fs::read(dir.join(CATALOG_CHECKSUM_FILE)) {
        Ok(stored) => (checksum_text(found), stored),
        Err(error) => {
            return Some(bad(
                dir,
                CATALOG_CHECKSUM_FILE,
                format!("cannot read it: {error}"),
            ));
        }
    };
    if stored == text.as_bytes() {
        return None;
    }
    let differing: u32 = stored
        .iter()
        .zip(text.as_bytes())
        .map(|(a, b)| (a ^ b).count_ones())
        .sum();
    let expected = std::str::from_utf8(&stored)
        .ok()
        .and_then(|text| u32::from_str_radix(text.trim_end(), 16).ok());
    let is_written_so = expected.filter(|&expected| checksum_text(expected).as_bytes() == stored);
    let Some(expected) = is_written_so.filter(|_| differing > 1) else {
        return Some(bad(
            dir,
            CATALOG_CHECKSUM_FILE,
            "it is not the checksum of the catalog".to_owned(),
        ));
    };
    let place = flipped_bit::places(expected, found, bytes).next();
    let problem = match place {
        Some(position) => format!("one bit of byte {position} is flipped"),
        None => "it does not match its checksum".to_owned(),
    };
    Some(bad(dir, CATALOG_FILE, problem))
}

/// The catalog's list of shards against the files that are there.
pub(super) fn check_list(catalog: &Catalog, paths: &[PathBuf], found: &mut Vec<Problem>) {
    let name = |path: &PathBuf| {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    let present: BTreeSet<String> = paths.iter().map(name).collect();
    for info in catalog
        .shards()
        .iter()
        .filter(|info| !present.contains(&info.name))
    {
        let repair = info.remake(catalog.settings(), catalog.dir());
        let problem = "the shard is gone".to_owned();
        found.push(Problem {
            file: info.name.clone(),
            problem,
            repair,
            ..Problem::default()
        });
    }
    let listed: BTreeSet<&str> = catalog
        .shards()
        .iter()
        .map(|info| info.name.as_str())
        .collect();
    let bad_files: BTreeSet<String> = found.iter().map(|problem| problem.file.clone()).collect();
    for name in present
        .iter()
        .filter(|name| !listed.contains(name.as_str()) && !bad_files.contains(*name))
    {
        found.push(bad(
            catalog.dir(),
            CATALOG_FILE,
            format!("it does not list {name:?}"),
        ));
    }
}

/// Every row of the catalog against its row in the shard, but for shards that are bad themselves.
pub(super) fn check_rows(
    catalog: &Catalog,
    bad_files: &BTreeSet<String>,
    found: &mut Vec<Problem>,
) {
    if let Err(error) = compare_rows(catalog, bad_files, found) {
        found.push(bad(catalog.dir(), CATALOG_FILE, error.to_string()));
    }
}

fn compare_rows(
    catalog: &Catalog,
    bad_files: &BTreeSet<String>,
    found: &mut Vec<Problem>,
) -> Result<(), schemas::Error> {
    let mut open: Option<(u32, Vec<FrameEntry>)> = None;
    let mut counts = vec![0u64; catalog.shards().len()];
    for batch in catalog.rows()? {
        for row in batch? {
            let Some(info) = catalog.shards().get(row.shard as usize) else {
                found.push(bad_row(
                    catalog,
                    &row.frame,
                    "it lies in a shard that is not listed",
                ));
                continue;
            };
            counts[row.shard as usize] += 1;
            if bad_files.contains(&info.name) {
                continue;
            }
            if open.as_ref().is_none_or(|(shard, _)| *shard != row.shard) {
                open = Some((
                    row.shard,
                    ShardReader::open(&catalog.shard_path(row.shard))?.rows()?,
                ));
            }
            let stored = open
                .as_ref()
                .and_then(|(_, rows)| rows.get(row.row as usize));
            if stored != Some(&row.frame) {
                found.push(bad_row(
                    catalog,
                    &row.frame,
                    "its shard says something else",
                ));
            }
        }
    }
    for (info, count) in catalog.shards().iter().zip(counts) {
        if info.frames - info.duplicates.min(info.frames) != count {
            let problem = format!(
                "it has {count} of the {} frames of {:?}",
                info.frames, info.name
            );
            found.push(bad(catalog.dir(), CATALOG_FILE, problem));
        }
    }
    Ok(())
}

/// The report against what the shards say.
pub(super) fn check_report(
    dir: &Path,
    catalog: Option<&Catalog>,
    paths: &[PathBuf],
) -> Option<Problem> {
    let expected = match catalog {
        Some(catalog) => Report::of_set(catalog),
        None => Report::of_shards(paths),
    };
    let passed_over = Report::passed_over_in(dir);
    let expected = expected.map(|report| report.with_passed_over(passed_over));
    let problem = match (expected, fs::read(dir.join(REPORT_FILE))) {
        (Ok(expected), Ok(stored)) if stored == expected.to_json().as_bytes() => return None,
        (Ok(expected), Ok(stored)) if stored == expected.to_json_of_format_2().as_bytes() => {
            return None;
        }
        (Ok(_), Ok(_)) => "it does not say what the shards say".to_owned(),
        (Err(error), _) => error.to_string(),
        (_, Err(error)) => format!("cannot read it: {error}"),
    };
    Some(bad(dir, REPORT_FILE, problem))
}

fn bad(dir: &Path, file: &str, problem: String) -> Problem {
    let repair = format!("run `ingest catalog {}`", dir.display());
    Problem {
        file: file.to_owned(),
        problem,
        repair,
        ..Problem::default()
    }
}

fn bad_row(catalog: &Catalog, frame: &FrameEntry, problem: &str) -> Problem {
    let frame_id = Some(frame.meta.frame_id.clone());
    Problem {
        frame_id,
        ..bad(catalog.dir(), CATALOG_FILE, problem.to_owned())
    }
}
