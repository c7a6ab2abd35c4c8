//! Deterministic, resumable, verified.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::support::{
    assert_same_tree, ingest, ingest_json, ingest_to, jpeg, stderr, tree, write_waymo,
};
use schemas::geom::Size;
use testkit::real_data;

#[test]
fn bytes_do_not_depend_on_threads() {
    let dir = tempfile::tempdir().unwrap();
    let input = real_data("odd").unwrap_or_else(|| {
        write_waymo(&dir.path().join("in"), 3, 8);
        dir.path().join("in")
    });
    let command = if input.ends_with("odd") {
        "images"
    } else {
        "waymo"
    };
    for threads in ["1", "2", "8"] {
        ingest_json(
            command,
            &input,
            &dir.path().join(threads),
            &["--threads", threads, "--max-bad", "99"],
        );
    }
    assert_same_tree(&dir.path().join("1"), &dir.path().join("2"));
    assert_same_tree(&dir.path().join("1"), &dir.path().join("8"));
}

#[test]
fn parts_join_to_what_one_run_writes() {
    let dir = tempfile::tempdir().unwrap();
    let (input, whole, parts) = (
        dir.path().join("in"),
        dir.path().join("whole"),
        dir.path().join("parts"),
    );
    write_waymo(&input, 5, 2);
    ingest_json("waymo", &input, &whole, &[]);
    let written: u64 = ["0/3", "1/3", "2/3"]
        .map(|part| {
            ingest_json("waymo", &input, &parts, &["--part", part])["frames_written"]
                .as_u64()
                .unwrap()
        })
        .iter()
        .sum();
    assert_eq!(written, 20);
    let output = ingest(["catalog".as_ref(), parts.as_os_str(), "--json".as_ref()]);
    assert_eq!(
        serde_json::from_slice::<Value>(&output.stdout).unwrap(),
        json!({ "frames": 20, "shards": 5, "frames_left_out": 0, "shards_gone": 0, "frames_gone": 0 })
    );
    assert_same_tree(&whole, &parts);
}

#[test]
fn finished_shards_are_kept_and_leftovers_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (dir.path().join("in"), dir.path().join("out"));
    write_waymo(&input, 3, 2);
    ingest_json("waymo", &input, &out, &[]);
    let before = tree(&out);
    let again = ingest_json("waymo", &input, &out, &[]);
    assert_eq!(
        (&again["frames_written"], &again["frames_kept"]),
        (&json!(0), &json!(12))
    );
    assert_eq!(tree(&out), before);

    // As if killed while the second shard was written: it is missing, a torn temporary file lies
    // there.
    let mut shards: Vec<_> = fs::read_dir(out.join("frames"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    shards.sort();
    let modified = fs::metadata(&shards[0]).unwrap().modified().unwrap();
    fs::write(shards[1].with_extension("parquet.tmp"), b"torn").unwrap();
    fs::remove_file(&shards[1]).unwrap();
    fs::remove_file(out.join("catalog.parquet")).unwrap();
    let resumed = ingest_json("waymo", &input, &out, &[]);
    assert_eq!(
        (&resumed["shards_written"], &resumed["shards_kept"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(
        fs::metadata(&shards[0]).unwrap().modified().unwrap(),
        modified
    );
    assert_eq!(tree(&out), before);
}

#[test]
fn new_inputs_are_added_and_old_ones_are_not_added_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second, out) = (
        dir.path().join("first"),
        dir.path().join("second"),
        dir.path().join("out"),
    );
    write_waymo(&first, 1, 2);
    fs::create_dir_all(&second).unwrap();
    for ix in 0..3 {
        fs::write(
            second.join(format!("{ix}.jpg")),
            jpeg(Size::new(300, 200), ix),
        )
        .unwrap();
    }
    ingest_json("waymo", &first, &out, &[]);
    let added = ingest_json("images", &second, &out, &[]);
    assert_eq!(added["frames_written"], 3);
    // The same file by other paths.
    let (link, folder_link) = (dir.path().join("link.tfrecord"), dir.path().join("by_link"));
    symlink(first.join("segment-drive_0.tfrecord"), &link).unwrap();
    symlink(&first, &folder_link).unwrap();
    for path in [
        first.join("../first/segment-drive_0.tfrecord"),
        link,
        folder_link,
    ] {
        let again = ingest_json("waymo", &path, &out, &[]);
        assert_eq!(
            (&again["frames_kept"], &again["frames_written"]),
            (&json!(4), &json!(0)),
            "{path:?}"
        );
    }
    let output = ingest(["inspect".as_ref(), out.as_os_str(), "--json".as_ref()]);
    let inspection: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&inspection["frames"], &inspection["shards"]),
        (&json!(7), &json!(2))
    );

    fs::write(second.join("3.jpg"), jpeg(Size::new(300, 200), 3)).unwrap();
    let output = ingest_to("images", &second, &out, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("added to or removed from"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn inspect_counts_and_filters() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (dir.path().join("in"), dir.path().join("out"));
    write_waymo(&input, 2, 3);
    ingest_json("waymo", &input, &out, &[]);
    let inspect = |filter: &str| -> Value {
        let output = ingest([
            "inspect".as_ref(),
            out.as_os_str(),
            "--json".as_ref(),
            "--where".as_ref(),
            filter.as_ref(),
        ]);
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let all = inspect("width > 0");
    assert_eq!(all["by_camera"], json!({ "FRONT": 6, "SIDE_LEFT": 6 }));
    assert_eq!(all["by_split"], json!({ "(none)": 12 }));
    assert_eq!(all["levels"][0]["frames"], 12);
    let some = inspect("camera = 'FRONT' and segment = 'drive_1' and time_of_day = 'Night'");
    assert_eq!((&some["frames"], &some["shards"]), (&json!(3), &json!(1)));
}
