//! What of a checkpoint is noticed when it is read back, and what then becomes of the file.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tch::Tensor;

use super::{
    Checkpoint, DataId, Header, LoaderPosition, Snapshot, folder, list, prune, remove_partial,
};
use crate::files::safetensors;

fn header(step: u64) -> Header {
    Header {
        version: 0,
        step,
        world: 1,
        cursor: LoaderPosition { epoch: 1, step: 2 },
        config: "seed = 3\n".into(),
        data: DataId {
            fingerprint: "00ff".into(),
            frames: 9,
        },
        shards: Vec::new(),
        torch_threads: 2,
        device: "cpu".into(),
        crc32c: BTreeMap::new(),
    }
}

fn save(run: &Path, step: u64) -> PathBuf {
    let tensors = [
        (
            "online.w".to_owned(),
            Tensor::from_slice(&[1.0f32, step as f32]),
        ),
        ("optim.w".to_owned(), Tensor::from_slice(&[0.5f32])),
    ];
    let snapshot = Snapshot::take(header(step), &tensors).unwrap();
    snapshot.write(run).unwrap()
}

#[test]
fn a_damaged_newest_falls_back_to_the_one_before() {
    let run = tempfile::tempdir().unwrap();
    save(run.path(), 10);
    let newest = save(run.path(), 20);
    let good = Checkpoint::latest(run.path(), |n| panic!("{n}"))
        .unwrap()
        .unwrap();
    assert_eq!(
        (good.header.step, good.header.cursor),
        (20, LoaderPosition { epoch: 1, step: 2 })
    );
    assert_eq!(
        good.part("online.")["w"],
        Tensor::from_slice(&[1.0f32, 20.0])
    );

    let mut bytes = fs::read(&newest).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&newest, bytes).unwrap();
    let mut notes = Vec::new();
    let older = Checkpoint::latest(run.path(), |n| notes.push(n))
        .unwrap()
        .unwrap();
    assert_eq!(older.header.step, 10);
    assert!(
        notes.len() == 1 && notes[0].contains("step 20 is damaged"),
        "{notes:?}"
    );
    assert_eq!(list(run.path()).unwrap().len(), 1);
}

#[test]
fn any_flipped_byte_is_noticed() {
    let run = tempfile::tempdir().unwrap();
    let path = save(run.path(), 1);
    let good = fs::read(&path).unwrap();
    for ix in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[ix] ^= 0x10;
        fs::write(&path, &bad).unwrap();
        // A flip of the padding or of insignificant JSON may leave the content whole; nothing
        // else may.
        if let Ok(read) = Checkpoint::read(&path) {
            assert_eq!(
                read.part("online.")["w"],
                Tensor::from_slice(&[1.0f32, 1.0])
            );
            assert_eq!(read.header.step, 1);
        }
    }
}

#[test]
fn all_damaged_is_an_error_and_none_is_a_start() {
    let run = tempfile::tempdir().unwrap();
    assert!(Checkpoint::latest(run.path(), |_| ()).unwrap().is_none());
    let path = save(run.path(), 1);
    fs::write(&path, b"short").unwrap();
    // Asked again, as a job that is queued again does, it is no start either.
    for _ in 0..2 {
        let error = Checkpoint::latest(run.path(), |_| ()).err().unwrap();
        assert!(error.to_string().contains("--fresh"), "{error}");
    }
}

/// A checkpoint with another header, its CRC right.
fn rewrite_header(path: &Path, change: impl FnOnce(&mut Value)) {
    let (mut metadata, tensors) = safetensors::read(path).unwrap();
    let mut header: Value = serde_json::from_str(&metadata["checkpoint"]).unwrap();
    change(&mut header);
    let text = header.to_string();
    let crc = crc32c::crc32c(text.as_bytes()).to_string();
    metadata.insert("checkpoint".into(), text);
    metadata.insert("checkpoint_crc32c".into(), crc);
    safetensors::write(path, &metadata, &tensors).unwrap();
}

/// Puts something else in the place of a file.
fn in_its_place(path: &Path, put: impl FnOnce(&Path)) {
    fs::remove_file(path).unwrap();
    put(path);
}

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

type Hindrance = (&'static str, fn(&Path));

/// What keeps the newest checkpoint from being read without speaking against it, and a word of the
/// error.
const HINDRANCES: [Hindrance; 7] = [
    ("layout 2", |path| {
        rewrite_header(path, |header| header["version"] = 2.into());
    }),
    ("not ours", |path| {
        rewrite_header(path, |header| header["cursor"] = "elsewhere".into());
    }),
    ("not ours", |path| {
        rewrite_header(path, |header| header["version"] = "next".into());
    }),
    ("not a file", |path| {
        in_its_place(path, |path| fs::create_dir(path).unwrap());
    }),
    ("not a file", |path| in_its_place(path, make_pipe)),
    ("No such file", |path| {
        in_its_place(path, |path| symlink("gone.safetensors", path).unwrap());
    }),
    ("Too many levels", |path| {
        in_its_place(path, |path| symlink(path, path).unwrap());
    }),
];

#[test]
fn what_is_no_damage_ends_the_search_and_leaves_the_file_alone() {
    for (word, hinder) in HINDRANCES {
        let run = tempfile::tempdir().unwrap();
        let (older, newest) = (save(run.path(), 10), save(run.path(), 20));
        hinder(&newest);
        let error = Checkpoint::latest(run.path(), |note| panic!("{note}"))
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("step 20") && error.contains(word) && !error.contains('\n'),
            "{word}: {error}"
        );
        let opened = Checkpoint::open(run.path()).err().unwrap().to_string();
        assert!(opened.contains(word), "{opened}");
        let mut left: Vec<PathBuf> = fs::read_dir(folder(run.path()))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        left.sort();
        assert_eq!(left, [older, newest], "{word}");
    }
}

#[test]
fn a_folder_that_cannot_be_looked_into_is_no_empty_one() {
    let put: [fn(&Path); 3] = [
        |folder| fs::write(folder, "a file").unwrap(),
        |folder| symlink("a mount that is gone", folder).unwrap(),
        |folder| symlink(folder, folder).unwrap(),
    ];
    for put in put {
        let run = tempfile::tempdir().unwrap();
        put(&folder(run.path()));
        for error in [
            list(run.path()).err(),
            Checkpoint::latest(run.path(), |_| ()).err(),
            remove_partial(run.path()).err(),
        ] {
            let error = format!("{:#}", error.unwrap());
            assert!(
                error.contains("listing") && error.contains("checkpoints"),
                "{error}"
            );
        }
    }
    let run = tempfile::tempdir().unwrap();
    assert!(list(run.path()).unwrap().is_empty());
    assert!(list(&run.path().join("never")).unwrap().is_empty());
}

#[test]
fn old_ones_go_milestones_and_the_newest_stay() {
    let run = tempfile::tempdir().unwrap();
    for step in [10, 20, 30, 40, 50] {
        save(run.path(), step);
    }
    fs::write(folder(run.path()).join("step_60.safetensors.partial"), b"x").unwrap();
    prune(run.path(), 2, 20).unwrap();
    remove_partial(run.path()).unwrap();
    let steps: Vec<u64> = list(run.path())
        .unwrap()
        .into_iter()
        .map(|(s, _)| s)
        .collect();
    assert_eq!(steps, [20, 40, 50]);
    assert_eq!(fs::read_dir(folder(run.path())).unwrap().count(), 3);
}

#[test]
fn no_checkpoint_holds_a_nan() {
    let tensors = [("online.w".to_owned(), Tensor::from_slice(&[f32::NAN]))];
    let error = Snapshot::take(header(5), &tensors)
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("online.w") && error.contains("step 5"),
        "{error}"
    );
}

#[test]
fn a_checkpoint_that_does_not_say_how_many_made_it_is_of_one() {
    let mut text = serde_json::to_value(Header {
        world: 4,
        ..header(3)
    })
    .unwrap();
    let of = |text: &Value| serde_json::from_value::<Header>(text.clone()).unwrap();
    assert_eq!(of(&text).world, 4);
    text.as_object_mut().unwrap().remove("world");
    assert_eq!(of(&text), header(3));
}
