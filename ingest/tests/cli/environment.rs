//! Full disks, limits, missing rights, and folders that vanish: one line, and a later run
//! continues.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use schemas::geom::Size;

use crate::support::{
    as_nobody, assert_same_tree, command, framed, frames_of, ingest_json, ingest_to, jpeg, record,
    skipped_in, stderr, tree, with_mode, write_waymo,
};
use testkit::bare_files;
use testkit::traced::{Call, Moment, Traced};

/// Asserts that a run failed with exactly one line, which holds all of `expected`.
#[track_caller]
fn assert_one_line(code: Option<i32>, message: &str, expected: &[&str]) {
    assert_eq!(code, Some(1), "{message}");
    assert_eq!(message.trim_end().lines().count(), 1, "{message}");
    assert!(
        expected.iter().all(|text| message.contains(text)),
        "{message}"
    );
}

fn has_leftovers(out: &Path) -> bool {
    tree(out).keys().any(|name| name.ends_with(".tmp"))
}

fn shell(script: &str, arguments: &[&OsStr]) -> Output {
    Command::new("sh")
        .args(["-c", script])
        .arg(env!("CARGO_BIN_EXE_ingest"))
        .args(arguments)
        .output()
        .unwrap()
}

/// Three drives, the second one larger than the others.
fn write_uneven(input: &Path) {
    write_waymo(input, 3, 1);
    let large: Vec<u8> = (0..6)
        .flat_map(|step| framed(&record("drive_1", step)))
        .collect();
    fs::write(input.join("segment-drive_1.tfrecord"), large).unwrap();
}

#[test]
fn a_limit_of_file_sizes_is_one_line_and_a_later_run_continues() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out, undisturbed) = (
        dir.path().join("in"),
        dir.path().join("out"),
        dir.path().join("undisturbed"),
    );
    write_uneven(&input);
    ingest_json("waymo", &input, &undisturbed, &[]);
    let shard_bytes = |drive: &str| {
        tree(&undisturbed)
            .iter()
            .find(|(name, _)| name.contains(drive))
            .unwrap()
            .1
            .len()
    };
    // In blocks of 512 bytes: the first shard fits, the second one does not.
    let limit = (shard_bytes("drive_0") + shard_bytes("drive_1")) / 2 / 512;
    let script = format!("ulimit -f {limit} && exec \"$0\" waymo \"$1\" --out \"$2\"");
    let output = shell(&script, &[input.as_os_str(), out.as_os_str()]);
    assert_one_line(
        output.status.code(),
        &stderr(&output),
        &["drive_1", "File too large", "ulimit -f", "run the same"],
    );
    assert!(!has_leftovers(&out));
    let resumed = ingest_json("waymo", &input, &out, &[]);
    assert_eq!(
        (&resumed["shards_kept"], &resumed["shards_written"]),
        (&1.into(), &2.into())
    );
    assert_same_tree(&undisturbed, &out);
}

#[test]
fn a_full_disk_is_one_line_and_a_later_run_continues() {
    let dir = tempfile::tempdir().unwrap();
    let (input, disk, undisturbed) = (
        dir.path().join("in"),
        dir.path().join("disk"),
        dir.path().join("undisturbed"),
    );
    write_uneven(&input);
    ingest_json("waymo", &input, &undisturbed, &[]);
    fs::create_dir(&disk).unwrap();
    let whole: usize = tree(&undisturbed)
        .values()
        .map(|bytes| bytes.len().next_multiple_of(4096))
        .sum();
    let catalog_alone = whole - 4 * 4096;
    for (ix, bytes) in [
        whole / 8,
        whole / 3,
        whole / 2,
        whole * 3 / 4,
        catalog_alone,
    ]
    .into_iter()
    .enumerate()
    {
        let copy = dir.path().join(format!("copy_{ix}"));
        // A disk of that size, which only this shell and its children see; then the same disk,
        // enlarged.
        let script = format!(
            "mount -t tmpfs -o size={bytes} none \"$2\" || exit 99
             \"$0\" waymo \"$1\" --out \"$2/out\"; echo \"code $?\" >&2; find \"$2/out\" -name '*.tmp' >&2
             mount -o remount,size={} \"$2\" && \"$0\" waymo \"$1\" --out \"$2/out\" && cp -r \"$2/out\" \"$3\"",
            4 * whole
        );
        let output = Command::new("unshare")
            .args(["-rm", "sh", "-c", &script, env!("CARGO_BIN_EXE_ingest")])
            .args([&input, &disk, &copy])
            .output();
        let Some(output) = output
            .ok()
            .filter(|output| !matches!(output.status.code(), Some(1 | 99)))
        else {
            println!("skipped: a disk of {bytes} bytes needs user namespaces");
            return;
        };
        let message = stderr(&output);
        let (line, code) = message.split_once('\n').unwrap_or_default();
        assert_eq!(code.trim_end(), "code 1", "{bytes} bytes: {message}");
        assert_one_line(
            Some(1),
            line,
            &[
                "cannot write",
                "No space left on device",
                "free space and run the same",
            ],
        );
        assert!(output.status.success(), "{bytes} bytes: {message}");
        assert_same_tree(&undisturbed, &copy);
    }
}

/// Runs `ingest` in the middle of which `change` happens: exit code and message.
fn disturbed(
    arguments: &[&OsStr],
    out: &Path,
    at: fn(&Moment) -> bool,
    change: impl FnOnce(),
) -> Option<(i32, String)> {
    let mut run = Traced::spawn(&mut command(arguments), out)?;
    assert!(run.any(|moment| at(&moment)), "the moment is never reached");
    change();
    let (code, message) = run.finish();
    Some((code.expect("it ends by itself"), message))
}

#[test]
fn an_output_folder_that_vanishes_is_one_line_and_a_later_run_continues() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let (input, out, elsewhere) = (root.join("in"), root.join("out"), root.join("elsewhere"));
    write_waymo(&input, 3, 2);
    let arguments = [
        "waymo".as_ref(),
        input.as_os_str(),
        "--out".as_ref(),
        out.as_os_str(),
    ];
    let in_second_shard =
        |moment: &Moment| moment.call == Call::Write && moment.path.contains("drive_1");
    let vanish = || fs::rename(&out, &elsewhere).unwrap();
    let Some((code, message)) = disturbed(&arguments, &out, in_second_shard, vanish) else {
        return;
    };
    assert_one_line(
        Some(code),
        &message,
        &["drive_1", "No such file or directory", "put it back"],
    );
    fs::rename(&elsewhere, &out).unwrap();
    let resumed = ingest_json("waymo", &input, &out, &[]);
    assert_eq!(resumed["shards_kept"], 1);
    ingest_json("waymo", &input, &root.join("undisturbed"), &[]);
    assert_same_tree(&root.join("undisturbed"), &out);
}

#[test]
fn an_input_that_vanishes_is_one_line_and_a_later_run_continues() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let (drives, images) = (root.join("drives"), root.join("images"));
    write_waymo(&drives, 12, 1);
    fs::create_dir(&images).unwrap();
    for ix in 0..60 {
        fs::write(
            images.join(format!("{ix:02}.jpg")),
            jpeg(Size::new(300, 200), ix),
        )
        .unwrap();
    }
    let begins =
        |moment: &Moment| moment.call == Call::Create && moment.path.ends_with(".parquet.tmp");
    for (command, input, last) in [
        ("waymo", &drives, "segment-drive_9.tfrecord"),
        ("images", &images, "59.jpg"),
    ] {
        let (out, file, elsewhere) = (
            root.join(format!("{command}_out")),
            input.join(last),
            root.join(last),
        );
        // One thread, so that the last file is not yet read.
        let arguments = [
            command.as_ref(),
            input.as_os_str(),
            "--out".as_ref(),
            out.as_os_str(),
        ];
        let arguments: Vec<&OsStr> = arguments
            .into_iter()
            .chain(["--threads".as_ref(), "1".as_ref()])
            .collect();
        let vanish = || fs::rename(&file, &elsewhere).unwrap();
        let Some((code, message)) = disturbed(&arguments, &out, begins, vanish) else {
            return;
        };
        assert_one_line(
            Some(code),
            &message,
            &[last, "No such file or directory", "put it back"],
        );
        assert!(!has_leftovers(&out));
        fs::rename(&elsewhere, &file).unwrap();
        ingest_json(command, input, &out, &[]);
        let undisturbed = root.join(format!("{command}_undisturbed"));
        ingest_json(command, input, &undisturbed, &[]);
        assert_same_tree(&undisturbed, &out);
    }
}

#[test]
fn missing_rights_are_one_line() {
    let dir = tempfile::tempdir().unwrap();
    with_mode(dir.path().to_owned(), 0o777);
    let path = |name: &str| dir.path().join(name);
    write_waymo(&path("in"), 2, 1);
    write_waymo(&path("secret"), 2, 1);
    fs::create_dir(path("closed")).unwrap();
    let closed = with_mode(path("closed"), 0o555);
    with_mode(path("secret/segment-drive_1.tfrecord"), 0o000);
    let run = |input: &str, out: &Path| {
        as_nobody(&[
            "waymo".as_ref(),
            path(input).as_os_str(),
            "--out".as_ref(),
            out.as_os_str(),
        ])
    };
    for (input, out, name) in [
        ("in", closed.clone(), "closed"),
        ("in", closed.join("inner"), "closed"),
    ] {
        let Some(output) = run(input, &out) else {
            return;
        };
        let message = stderr(&output);
        assert_one_line(
            output.status.code(),
            &message,
            &[name, "Permission denied", "check the permissions"],
        );
    }
    // Of two files one cannot be read: that is a skip, and too many of three items.
    let Some(output) = run("secret", &path("out")) else {
        return;
    };
    let message = stderr(&output);
    assert_one_line(
        output.status.code(),
        &message,
        &["1 items were skipped", "report.json"],
    );
    assert_eq!(
        skipped_in(&path("out")),
        [(
            "secret/segment-drive_1.tfrecord@0".to_owned(),
            "unreadable-input".to_owned()
        )]
    );
    assert_eq!(frames_of(&path("out")).len(), 2);
    with_mode(path("secret/segment-drive_1.tfrecord"), 0o644);
    let again = ingest_json("waymo", &path("secret"), &path("out"), &[]);
    assert_eq!(
        (&again["frames_written"], &again["frames_kept"]),
        (&2.into(), &2.into())
    );
    with_mode(closed, 0o755);
}

#[test]
fn a_file_that_may_not_be_read_or_is_none_is_one_skipped_image() {
    let dir = tempfile::tempdir().unwrap();
    with_mode(dir.path().to_owned(), 0o777);
    let (input, out) = (dir.path().join("in"), dir.path().join("out"));
    fs::create_dir(&input).unwrap();
    for name in ["good.jpg", "secret.jpg"] {
        fs::write(input.join(name), jpeg(Size::new(300, 200), 1)).unwrap();
    }
    with_mode(input.join("secret.jpg"), 0o000);
    std::os::unix::fs::symlink("nowhere.jpg", input.join("link.jpg")).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(input.join("pipe.jpg"))
            .status()
            .unwrap()
            .success()
    );
    let arguments = [
        "images".as_ref(),
        input.as_os_str(),
        "--out".as_ref(),
        out.as_os_str(),
        "--json".as_ref(),
    ];
    let Some(output) = as_nobody(&arguments) else {
        return;
    };
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (
            &summary["frames_written"],
            &summary["skipped"]["unreadable-file"]
        ),
        (&1.into(), &3.into())
    );
    assert_eq!(
        output.status.code(),
        Some(1),
        "three of four are more than 1 %"
    );
}

#[test]
fn an_input_that_is_no_file_is_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe.tfrecord");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let output = ingest_to("waymo", &pipe, &dir.path().join("out"), &[]);
    assert_one_line(
        output.status.code(),
        &stderr(&output),
        &["pipe.tfrecord", "neither a file nor a folder"],
    );
}

#[test]
fn without_locks_and_folder_syncs_a_set_is_written_with_a_warning_each() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out, undisturbed) = (
        dir.path().join("in"),
        dir.path().join("out"),
        dir.path().join("undisturbed"),
    );
    write_waymo(&input, 2, 1);
    ingest_json("waymo", &input, &undisturbed, &[]);
    for part in ["0/1", "0/2", "1/2"] {
        let mut command = command([
            "waymo".as_ref(),
            input.as_os_str(),
            "--out".as_ref(),
            out.as_os_str(),
        ]);
        command.args(["--part", part]);
        if !bare_files::give_to(&mut command, dir.path()) {
            return;
        }
        let output = command.output().unwrap();
        let text = stderr(&output);
        assert!(output.status.success(), "{text}");
        let warnings = |what: &str| text.lines().filter(|line| line.contains(what)).count();
        assert_eq!(warnings("has no file locks"), 1, "{text}");
        if part == "0/1" {
            assert_eq!(warnings("has no syncing of folders"), 1, "{text}");
            assert_same_tree(&undisturbed, &out);
        }
    }
}
