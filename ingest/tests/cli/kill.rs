//! A run that ends at any moment loses nothing and does nothing twice.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;

use crate::support::{assert_same_tree, command, ingest_json, ingest_to, stderr, write_waymo};
use testkit::traced::{Call, Moment, Traced};

const SHARDS: usize = 8;

fn arguments<'a>(input: &'a Path, out: &'a Path) -> [&'a std::ffi::OsStr; 6] {
    [
        "waymo".as_ref(),
        input.as_os_str(),
        "--out".as_ref(),
        out.as_os_str(),
        "--threads".as_ref(),
        "1".as_ref(),
    ]
}

/// Which file each finished shard is, by name: a shard that is written again gets another inode and
/// time.
fn finished_shards(out: &Path) -> BTreeMap<String, (u64, i64, i64)> {
    let entries = fs::read_dir(out.join("frames"))
        .into_iter()
        .flatten()
        .map(Result::unwrap);
    let shards = entries.filter(|entry| {
        entry
            .path()
            .extension()
            .is_some_and(|ending| ending == "parquet")
    });
    let identity =
        |metadata: fs::Metadata| (metadata.ino(), metadata.mtime(), metadata.mtime_nsec());
    shards
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                identity(entry.metadata().unwrap()),
            )
        })
        .collect()
}

/// Thirty of the moments of an undisturbed run, in their order: of each shard one at a write, one
/// at an fsync, one at the rename or the fsync of the folder after it; six while the catalog and
/// the report are written.
fn thirty(all: &[Moment]) -> Vec<Moment> {
    let mut shards: Vec<&str> = Vec::new();
    for moment in all
        .iter()
        .filter(|moment| moment.call == Call::Rename && moment.path.starts_with("frames/"))
    {
        let name = moment.path.as_str();
        if shards.last() != Some(&name) {
            shards.push(name);
        }
    }
    assert_eq!(shards.len(), SHARDS);
    let mut chosen = Vec::new();
    for (ix, shard) in shards.into_iter().enumerate() {
        let of = |calls: &[Call]| -> Vec<&Moment> {
            all.iter()
                .filter(|moment| calls.contains(&moment.call) && moment.path.starts_with(shard))
                .collect()
        };
        let (writes, flushes) = (of(&[Call::Write]), of(&[Call::Flush]));
        let published = of(&[Call::Rename, Call::FlushFolder]);
        assert_eq!((flushes.len() % 2, published.len()), (0, 4));
        chosen.push(writes[ix * (writes.len() - 1) / (SHARDS - 1)]);
        chosen.push(flushes[flushes.len() - 2 + ix % 2]);
        chosen.push(published[ix % 4]);
    }
    let is_last =
        |moment: &&Moment| moment.path.starts_with("catalog") || moment.path.starts_with("report");
    let last: Vec<&Moment> = all.iter().filter(is_last).collect();
    chosen.extend((0..6).map(|ix| last[ix * (last.len() - 1) / 5]));
    chosen.into_iter().cloned().collect()
}

#[test]
fn killed_at_thirty_moments_a_set_ends_up_with_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let (input, undisturbed, killed) = (root.join("in"), root.join("a"), root.join("b"));
    write_waymo(&input, SHARDS, 2);
    let Some(run) = Traced::spawn(&mut command(arguments(&input, &undisturbed)), &undisturbed)
    else {
        return killed_while_growing(&input, &root, 30);
    };
    let moments = thirty(&run.collect::<Vec<_>>());
    assert_eq!(moments.len(), 30);

    let mut finished = BTreeMap::new();
    for (ix, moment) in moments.iter().enumerate() {
        let mut run = Traced::spawn(&mut command(arguments(&input, &killed)), &killed).unwrap();
        assert!(
            run.any(|reached| reached == *moment),
            "kill {ix}: {moment:?} was not reached"
        );
        drop(run);
        let now = finished_shards(&killed);
        let is_kept = finished
            .iter()
            .all(|(name, file)| now.get(name) == Some(file));
        assert!(
            is_kept,
            "kill {ix} at {moment:?}: {finished:?} became {now:?}"
        );
        // Three kills a shard, which the third one may find renamed.
        let is_renamed =
            moment.call == Call::FlushFolder || (moment.call == Call::Rename && moment.is_done);
        let expected = (ix / 3 + usize::from(is_renamed)).min(SHARDS);
        assert_eq!(now.len(), expected, "kill {ix} at {moment:?}");
        finished = now;
    }
    let resumed = ingest_json("waymo", &input, &killed, &[]);
    assert_eq!(
        (&resumed["shards_written"], &resumed["shards_kept"]),
        (&0.into(), &SHARDS.into())
    );
    assert_eq!(finished_shards(&killed), finished);
    assert_same_tree(&undisturbed, &killed);
}

#[test]
fn killed_while_its_output_grows_a_set_ends_up_with_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    write_waymo(&dir.path().join("in"), SHARDS, 2);
    killed_while_growing(&dir.path().join("in"), dir.path(), 5);
}

/// Size of the files of a set, whose names may change meanwhile.
fn bytes_in(dir: &Path) -> u64 {
    let entries = [dir.to_owned(), dir.join("frames")]
        .into_iter()
        .filter_map(|dir| fs::read_dir(dir).ok())
        .flatten();
    entries
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .filter(fs::Metadata::is_file)
        .map(|file| file.len())
        .sum()
}

/// The same without tracing: `kills` times, whenever the folder has grown by an equal share.
fn killed_while_growing(input: &Path, root: &Path, kills: u64) {
    let (undisturbed, killed) = (root.join("undisturbed"), root.join("killed"));
    ingest_json("waymo", input, &undisturbed, &[]);
    let whole = bytes_in(&undisturbed);
    let mut finished = BTreeMap::new();
    for ix in 1..=kills {
        let mut run = command(arguments(input, &killed))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while run.try_wait().unwrap().is_none() && bytes_in(&killed) < whole * ix / (kills + 1) {}
        run.kill().unwrap();
        run.wait().unwrap();
        let now = finished_shards(&killed);
        assert!(
            finished
                .iter()
                .all(|(name, file)| now.get(name) == Some(file)),
            "{finished:?} became {now:?}"
        );
        finished = now;
    }
    ingest_json("waymo", input, &killed, &[]);
    assert_same_tree(&undisturbed, &killed);
}

#[test]
fn a_second_run_is_refused_until_the_first_has_ended() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let (input, out) = (root.join("in"), root.join("out"));
    write_waymo(&input, 4, 1);
    let parted = |part: &str| ingest_to("waymo", &input, &out, &["--part", part]);
    let is_refused = |part: &str, why: &str| {
        let output = parted(part);
        assert_eq!(output.status.code(), Some(1), "{part}");
        assert!(
            stderr(&output).contains(why) && stderr(&output).lines().count() == 1,
            "{}",
            stderr(&output)
        );
    };
    let writes = |moment: Moment| moment.call == Call::Write;

    let Some(mut whole) = Traced::spawn(&mut command(arguments(&input, &out)), &out) else {
        return;
    };
    assert!(whole.any(writes), "halted while it writes its first shard");
    is_refused("0/1", "another ingest is writing");
    is_refused("0/2", "another ingest is writing");
    drop(whole);

    let of_part = arguments(&input, &out)
        .into_iter()
        .chain(["--part".as_ref(), "0/2".as_ref()]);
    let mut part = Traced::spawn(&mut command(of_part), &out).unwrap();
    assert!(part.any(writes), "halted while it writes its first shard");
    is_refused("0/1", "another ingest is writing");
    is_refused("0/2", "another ingest is writing");
    is_refused("0/3", "parts of another number than 3");
    assert!(parted("1/2").status.success());
    drop(part);

    assert!(parted("0/3").status.success());
    let rest = ingest_json("waymo", &input, &out, &[]);
    assert_eq!(
        rest["shards_kept"].as_u64().unwrap() + rest["shards_written"].as_u64().unwrap(),
        4
    );
    ingest_json("waymo", &input, &root.join("undisturbed"), &[]);
    assert_same_tree(&root.join("undisturbed"), &out);
}
