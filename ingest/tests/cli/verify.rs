//! `ingest verify` finds every flipped bit, names where it is, and its advice repairs the set.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use schemas::shard::ShardReader;
use serde_json::{Value, json};

use crate::support::{assert_same_tree, follow, ingest, ingest_json, tree, write_waymo};

/// Flips tried in each part of a set.
const FLIPS: usize = 20;

/// A good set of two shards and its input, and a copy to damage.
struct Set {
    dir: tempfile::TempDir,
    good: PathBuf,
    /// The copy.
    set: PathBuf,
    /// Its first shard.
    shard: PathBuf,
}

impl Set {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (good, set) = (dir.path().join("good"), dir.path().join("set"));
        write_waymo(&dir.path().join("in"), 2, 1);
        ingest_json("waymo", &dir.path().join("in"), &good, &[]);
        let this = Self {
            shard: set.join("frames").join(&shard_names(&good)[0]),
            dir,
            good,
            set,
        };
        this.restore();
        this
    }

    fn restore(&self) {
        for (name, bytes) in tree(&self.good) {
            let path = self.set.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let inputs = ".ingest.inputs";
        fs::copy(self.good.join(inputs), self.set.join(inputs)).unwrap();
    }

    /// Exit code and what is bad.
    fn verify(&self) -> (Option<i32>, Vec<Value>) {
        let output = ingest(["verify".as_ref(), self.set.as_os_str(), "--json".as_ref()]);
        let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
        (
            output.status.code(),
            verdict["bad"].as_array().unwrap().clone(),
        )
    }

    /// The one thing that is wrong.
    #[track_caller]
    fn problem(&self) -> Value {
        let (code, bad) = self.verify();
        assert_eq!((code, bad.len()), (Some(1), 1), "{bad:?}");
        bad[0].clone()
    }

    /// Follows the advice of a problem and compares with the good set.
    #[track_caller]
    fn repair(&self, problem: &Value) {
        follow(problem["repair"].as_str().unwrap(), &self.set);
        assert_same_tree(&self.good, &self.set);
        assert_eq!(self.verify(), (Some(0), vec![]));
    }
}

fn shard_names(set: &Path) -> Vec<String> {
    tree(set)
        .into_keys()
        .filter_map(|name| name.strip_prefix("frames/").map(str::to_owned))
        .collect()
}

fn flip(path: &Path, position: u64, bit: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[position as usize] ^= 1 << bit;
    fs::write(path, bytes).unwrap();
}

/// `FLIPS` positions spread over `ranges` taken as one, none twice, with a bit each.
fn spread(ranges: &[Range<u64>]) -> Vec<(u64, usize)> {
    let positions: Vec<u64> = ranges.iter().cloned().flatten().collect();
    assert!(positions.len() >= FLIPS, "{ranges:?}");
    (0..FLIPS)
        .map(|ix| (positions[ix * (positions.len() - 1) / (FLIPS - 1)], ix % 8))
        .collect()
}

/// A stretch of a shard and what verify shall say of it.
struct Stretch {
    kind: &'static str,
    bytes: Range<u64>,
    part: Value,
    frame_id: Value,
    level: Value,
}

/// The stretches of a shard, by its Parquet metadata.
fn stretches(path: &Path) -> Vec<Stretch> {
    let rows = ShardReader::open(path).unwrap().rows().unwrap();
    let file = fs::File::open(path).unwrap();
    let file_bytes = file.metadata().unwrap().len();
    let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
    reader.try_parse(&file).unwrap();
    let metadata = reader.finish().unwrap();
    let nowhere = |kind, bytes, part: &str| Stretch {
        kind,
        bytes,
        part: part.into(),
        frame_id: Value::Null,
        level: Value::Null,
    };
    let (mut found, mut pages_end) = (Vec::new(), 0);
    let index = metadata.page_index_for_row_group(0);
    for (ix, chunk) in metadata.row_group(0).columns().iter().enumerate() {
        let (start, bytes) = chunk.byte_range();
        pages_end = pages_end.max(start + bytes);
        let column = chunk.column_descr().name();
        let Some(level) = column
            .strip_prefix("jpeg_")
            .map(|level| level.parse::<u64>().unwrap())
        else {
            let part = format!("column {column}, rows 0 to {}", rows.len() - 1);
            found.push(nowhere("metadata", start..start + bytes, &part));
            continue;
        };
        for (page, row) in index.page_locations(ix).unwrap().iter().zip(&rows) {
            let (start, end) = (
                page.offset as u64,
                page.offset as u64 + page.compressed_page_size as u64,
            );
            let of_frame = |kind, bytes, part| {
                let (frame_id, level) = (json!(row.meta.frame_id), json!(level));
                Stretch {
                    kind,
                    bytes,
                    part,
                    frame_id,
                    level,
                }
            };
            let jpeg = row.levels[level as usize]
                .as_ref()
                .map_or(end, |entry| end - u64::from(entry.len));
            found.push(of_frame(
                "header",
                start..jpeg,
                format!("page header of column {column}").into(),
            ));
            if jpeg < end {
                found.push(of_frame("jpeg", jpeg..end, Value::Null));
            }
        }
    }
    let tail = fs::read(path).unwrap();
    let footer_bytes = u32::from_le_bytes(*tail[tail.len() - 8..].first_chunk().unwrap());
    let footer = file_bytes - 8 - u64::from(footer_bytes);
    found.push(nowhere("page index", pages_end..footer, "page index"));
    found.push(nowhere("footer", footer..file_bytes, "footer"));
    found
}

#[test]
fn every_flipped_bit_of_a_shard_is_found_and_named() {
    let set = Set::new();
    assert_eq!(set.verify(), (Some(0), vec![]));
    let stretches = stretches(&set.shard);
    let name = set.shard.file_name().unwrap().to_str().unwrap();
    for kind in ["jpeg", "header", "metadata", "page index", "footer"] {
        let of_kind: Vec<Range<u64>> = stretches
            .iter()
            .filter(|stretch| stretch.kind == kind)
            .map(|stretch| stretch.bytes.clone())
            .collect();
        for (position, bit) in spread(&of_kind) {
            flip(&set.shard, position, bit);
            let problem = set.problem();
            let expected = stretches
                .iter()
                .find(|stretch| stretch.bytes.contains(&position))
                .unwrap();
            let found = [
                &problem["file"],
                &problem["part"],
                &problem["frame_id"],
                &problem["level"],
            ];
            let expected = [
                &json!(name),
                &expected.part,
                &expected.frame_id,
                &expected.level,
            ];
            assert_eq!(
                found, expected,
                "{kind}, byte {position}, bit {bit}: {problem}"
            );
            let root = set.dir.path().join("in").canonicalize().unwrap();
            let command = format!(
                "run `ingest waymo {} --out {}`",
                root.display(),
                set.set.display()
            );
            assert!(
                problem["repair"].as_str().unwrap().ends_with(&command),
                "{problem}"
            );
            flip(&set.shard, position, bit);
        }
    }
}

#[test]
fn every_flipped_bit_of_the_other_files_is_found_and_named() {
    let set = Set::new();
    for name in ["catalog.parquet", "catalog.parquet.crc32c", "report.json"] {
        let path = set.set.join(name);
        let bytes = fs::metadata(&path).unwrap().len();
        let all_bits = (0..bytes).flat_map(|position| (0..8).map(move |bit| (position, bit)));
        let flips = if bytes < 16 {
            all_bits.collect()
        } else {
            spread(std::slice::from_ref(&(0..bytes)))
        };
        for (position, bit) in flips {
            flip(&path, position, bit);
            let problem = set.problem();
            assert_eq!(
                problem["file"], name,
                "byte {position}, bit {bit}: {problem}"
            );
            flip(&path, position, bit);
        }
        fs::remove_file(&path).unwrap();
        let problem = set.problem();
        assert_eq!(problem["file"], name, "{problem}");
        set.repair(&problem);
        flip(&path, bytes / 2, 0);
        set.repair(&set.problem());
    }
}

#[test]
fn the_advice_for_a_damaged_shard_repairs_it() {
    let set = Set::new();
    let stretches = stretches(&set.shard);
    for kind in ["jpeg", "header", "metadata", "page index", "footer"] {
        let stretch = stretches
            .iter()
            .find(|stretch| stretch.kind == kind)
            .unwrap();
        flip(&set.shard, (stretch.bytes.start + stretch.bytes.end) / 2, 3);
        set.repair(&set.problem());
    }
    let whole = fs::metadata(&set.shard).unwrap().len();
    for bytes in [0, 3, 4, 1000, whole / 2, whole - 9, whole - 1] {
        fs::File::options()
            .write(true)
            .open(&set.shard)
            .unwrap()
            .set_len(bytes)
            .unwrap();
        let problem = set.problem();
        let expected = format!("it has {bytes} bytes, the catalog says {whole}");
        assert_eq!(problem["problem"], expected, "{problem}");
        set.repair(&problem);
    }
    fs::remove_file(&set.shard).unwrap();
    let problem = set.problem();
    assert_eq!(problem["problem"], "the shard is gone");
    set.repair(&problem);
}

#[test]
fn damage_of_more_than_a_bit_is_found_too() {
    let set = Set::new();
    for stretch in stretches(&set.shard) {
        let mut bytes = fs::read(&set.shard).unwrap();
        bytes[stretch.bytes.start as usize..stretch.bytes.end as usize].fill(0x55);
        fs::write(&set.shard, bytes).unwrap();
        let problem = set.problem();
        assert_eq!(
            problem["file"],
            set.shard.file_name().unwrap().to_str().unwrap(),
            "{}: {problem}",
            stretch.kind
        );
        if stretch.kind == "jpeg" {
            assert_eq!(
                (&problem["frame_id"], &problem["level"]),
                (&stretch.frame_id, &stretch.level),
                "{problem}"
            );
        }
        set.restore();
    }
}

#[test]
fn misplaced_files_are_named() {
    let set = Set::new();
    let frames = set.set.join("frames");
    let names = shard_names(&set.good);
    let path = |ix: usize| frames.join(&names[ix]);

    fs::rename(path(0), frames.join("swap")).unwrap();
    fs::rename(path(1), path(0)).unwrap();
    fs::rename(frames.join("swap"), path(1)).unwrap();
    let (code, bad) = set.verify();
    let problems: Vec<&Value> = bad.iter().map(|problem| &problem["problem"]).collect();
    let renamed = [1, 0].map(|ix: usize| json!(format!("it is {}, renamed", names[ix])));
    assert_eq!((code, problems), (Some(1), renamed.iter().collect()));
    set.restore();

    let copy = frames.join("copy.parquet");
    fs::copy(path(0), &copy).unwrap();
    let (_, bad) = set.verify();
    assert!(
        bad.iter().any(|problem| problem["file"] == "copy.parquet"),
        "{bad:?}"
    );
    fs::remove_file(&copy).unwrap();

    for (name, bytes) in [
        (
            "catalog.parquet",
            fs::read(set.set.join("catalog.parquet")).unwrap(),
        ),
        ("letter.parquet", b"dear".to_vec()),
        ("letter.txt", b"dear".to_vec()),
        ("shard.parquet.tmp", b"PAR1".to_vec()),
    ] {
        fs::write(frames.join(name), bytes).unwrap();
        let problem = set.problem();
        assert_eq!(problem["file"], name, "{problem}");
        fs::remove_file(frames.join(name)).unwrap();
    }
    assert_eq!(set.verify(), (Some(0), vec![]));
}

#[test]
fn an_addition_does_not_adopt_a_damaged_footer() {
    let set = Set::new();
    let bytes = fs::read(&set.shard).unwrap();
    let writer = b"multisiam schemas";
    let at = bytes
        .windows(writer.len())
        .rposition(|window| window == writer)
        .unwrap();
    flip(&set.shard, at as u64, 0);
    write_waymo(&set.dir.path().join("more/in"), 3, 1);
    for arguments in [
        [
            "waymo".as_ref(),
            set.dir.path().join("more/in").as_os_str(),
            "--out".as_ref(),
            set.set.as_os_str(),
        ]
        .as_slice(),
        &["catalog".as_ref(), set.set.as_os_str()],
    ] {
        let output = ingest(arguments);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), message.lines().count()),
            (Some(1), 1),
            "{message}"
        );
        assert!(
            message.contains("not what the catalog says it was")
                && message.contains("run `ingest verify`")
        );
    }
    let (_, bad) = set.verify();
    let damaged = bad
        .iter()
        .find(|problem| problem["part"] == "footer")
        .expect("it is still named");
    follow(damaged["repair"].as_str().unwrap(), &set.set);
    ingest_json("waymo", &set.dir.path().join("more/in"), &set.set, &[]);
    assert_eq!(set.verify(), (Some(0), vec![]));
}

#[test]
fn an_ingest_into_a_damaged_set_says_to_verify_it() {
    let set = Set::new();
    fs::write(&set.shard, b"PAR1 and nothing else").unwrap();
    let output = ingest([
        "waymo".as_ref(),
        set.dir.path().join("in").as_os_str(),
        "--out".as_ref(),
        set.set.as_os_str(),
    ]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), message.lines().count()),
        (Some(1), 1),
        "{message}"
    );
    assert!(
        message.contains("damaged") && message.contains("run `ingest verify`"),
        "{message}"
    );
}
