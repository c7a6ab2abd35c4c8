//! `ingest fidelity`: what it measures, what it counts, what it refuses.

use std::fs;
use std::path::Path;

use schemas::geom::Size;
use serde_json::Value;

use crate::support::{ingest, ingest_json, jpeg, stderr, write_waymo};
use testkit::real_data;

/// Runs `ingest fidelity SHARDS INPUT --json` with more `options`; it must succeed.
fn fidelity(shards: &Path, input: &Path, options: &[&str]) -> Value {
    let mut args = vec![
        "fidelity".as_ref(),
        shards.as_os_str(),
        input.as_os_str(),
        "--json".as_ref(),
    ];
    args.extend(options.iter().map(std::ffi::OsStr::new));
    let output = ingest(args);
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What `ingest fidelity SHARDS INPUT` says when it fails.
fn refusal(shards: &Path, input: &Path) -> String {
    let output = ingest(["fidelity".as_ref(), shards.as_os_str(), input.as_os_str()]);
    assert_eq!(output.status.code(), Some(1));
    stderr(&output)
}

/// A folder of two pictures that have all three levels, and one that has level 0 only.
fn write_images(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    for (name, size) in [
        ("a.jpg", Size::new(1000, 920)),
        ("b.jpg", Size::new(920, 1001)),
        ("c.jpg", Size::new(300, 300)),
    ] {
        fs::write(dir.join(name), jpeg(size, 7)).unwrap();
    }
}

#[test]
fn real_waymo_frames_lose_little() {
    let Some(input) = real_data("waymo/pvps_data_one_frame.tfrecord") else {
        return;
    };
    let out = tempfile::tempdir().unwrap();
    ingest_json("waymo", &input, out.path(), &[]);
    let report = fidelity(out.path(), &input, &[]);
    assert_eq!(
        (&report["crops"], &report["frames"]),
        (&1000.into(), &5.into())
    );
    let db = |figure: &str| report["psnr_db"][figure].as_f64().unwrap();
    assert!(db("median") >= 42.0 && db("min") >= 34.0, "{report}");
    assert!(report["bytes_ratio"].as_f64().unwrap() <= 1.55, "{report}");
    let crops: Vec<_> = report["levels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|level| &level["crops"])
        .collect();
    assert!(
        crops[0] == 0 && crops[1].as_u64() > Some(300) && crops[2].as_u64() > Some(300),
        "{report}"
    );
}

#[test]
fn the_seed_names_the_crops() {
    let dir = tempfile::tempdir().unwrap();
    let (input, set) = (dir.path().join("images"), dir.path().join("set"));
    write_images(&input);
    ingest_json("images", &input, &set, &[]);
    let first = fidelity(&set, &input, &["--crops", "30", "--seed", "4"]);
    assert_eq!(
        first,
        fidelity(&set, &input, &["--crops", "30", "--seed", "4"])
    );
    assert_ne!(
        first,
        fidelity(&set, &input, &["--crops", "30", "--seed", "5"])
    );
    assert_eq!((&first["crops"], &first["frames"]), (&30.into(), &2.into()));
}

#[test]
fn coarser_encoding_is_measured_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("images");
    write_images(&input);
    let [fine, coarse] = ["95", "30"].map(|quality| {
        let set = dir.path().join(quality);
        ingest_json("images", &input, &set, &["--quality", quality]);
        fidelity(&set, &input, &["--crops", "30"])
    });
    let number = |report: &Value, pointer: &str| report.pointer(pointer).unwrap().as_f64().unwrap();
    assert!(
        number(&fine, "/psnr_db/median") > number(&coarse, "/psnr_db/median") + 3.0,
        "{fine} {coarse}"
    );
    assert!(
        number(&fine, "/bytes_ratio") > number(&coarse, "/bytes_ratio"),
        "{fine} {coarse}"
    );
}

#[test]
fn crops_that_need_level_0_are_counted_and_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let (input, set) = (dir.path().join("waymo"), dir.path().join("set"));
    // 480 x 464: level 1 is stored, but serves only crops of nearly the whole frame.
    write_waymo(&input, 1, 1);
    ingest_json("waymo", &input, &set, &[]);
    let report = fidelity(&set, &input, &["--crops", "10"]);
    let level_0_crops = report["level_0_crops"].as_u64().unwrap();
    assert!(
        level_0_crops > 10 * report["crops"].as_u64().unwrap(),
        "{report}"
    );

    // Without level 0, what there is serves all of them.
    let reduced = dir.path().join("reduced");
    ingest_json("waymo", &input, &reduced, &["--levels", "1,2"]);
    let report = fidelity(&reduced, &input, &["--crops", "10"]);
    assert_eq!(
        (&report["crops"], &report["level_0_crops"]),
        (&10.into(), &0.into())
    );
}

#[test]
fn the_worst_crop_of_each_level_is_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let (input, set, sheet) = (
        dir.path().join("images"),
        dir.path().join("set"),
        dir.path().join("worst.png"),
    );
    write_images(&input);
    ingest_json("images", &input, &set, &[]);
    let report = fidelity(
        &set,
        &input,
        &["--crops", "100", "--out", &sheet.to_string_lossy()],
    );
    let levels_measured = report["levels"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|level| !level["worst"].is_null())
        .count();
    let sheet = image::open(&sheet).unwrap();
    assert_eq!(
        (sheet.width(), sheet.height()),
        (3 * 224, 224 * levels_measured as u32)
    );
    let least = report["levels"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|level| level["worst"]["psnr_db"].as_f64());
    assert_eq!(
        report["psnr_db"]["min"].as_f64(),
        least.min_by(f64::total_cmp)
    );
}

#[test]
fn inputs_that_are_not_those_of_the_set_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (input, set, other) = (
        dir.path().join("images"),
        dir.path().join("set"),
        dir.path().join("other"),
    );
    write_images(&input);
    write_images(&other);
    ingest_json("images", &input, &set, &[]);
    assert!(
        refusal(&set, &other).contains("the set holds nothing of this input"),
        "{}",
        refusal(&set, &other)
    );

    fs::write(input.join("b.jpg"), jpeg(Size::new(640, 480), 7)).unwrap();
    let message = refusal(&set, &input);
    assert!(
        message.contains("images/b.jpg") && message.contains("not what it was"),
        "{message}"
    );

    let only_originals = dir.path().join("only_originals");
    ingest_json("images", &other, &only_originals, &["--levels", "0"]);
    assert!(
        refusal(&only_originals, &other).contains("no frame of the inputs has a level besides 0")
    );
}
