//! Curves of runs are drawn from what the runs have logged, whole or not.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use draw::palette;

use super::refusals::assert_refused;
use super::{Bench, assert_success, stderr, trainer};

/// How many pixels of a PNG have a run's colour.
fn count(picture: &Path, run: usize) -> usize {
    let picture = image::open(picture).unwrap().to_rgb8();
    picture
        .pixels()
        .filter(|pixel| pixel.0 == palette::SERIES[run])
        .count()
}

#[test]
fn runs_are_drawn_in_colours_of_their_own() {
    let bench = Bench::new();
    let (a, b) = (bench.path("a"), bench.path("b"));
    assert_success(&bench.run(&a, &[]));
    assert_success(&bench.run(&b, &["--seed", "6", "--set", "method.name=byol"]));
    // As a run leaves it that is writing a row.
    let mut metrics = OpenOptions::new()
        .append(true)
        .open(b.join("metrics.jsonl"))
        .unwrap();
    metrics.write_all(b"{\"step\": 9, \"epo").unwrap();
    for by in ["step", "epoch", "hour"] {
        let out = bench.path(&format!("{by}.png"));
        let mut command = trainer(&["plot", "--by", by]);
        let output = command
            .arg(&a)
            .arg(&b)
            .arg("--out")
            .arg(&out)
            .output()
            .unwrap();
        assert_success(&output);
        assert!(
            stderr(&output).contains("a: step 8, epoch"),
            "{}",
            stderr(&output)
        );
        // More than the square of the legend.
        assert!(
            count(&out, 0) > 1000 && count(&out, 1) > 1000 && count(&out, 2) == 0,
            "{by}"
        );
    }
    let alone = bench.path("alone.png");
    assert_success(
        &trainer(&["plot"])
            .arg(&a)
            .arg("--out")
            .arg(&alone)
            .output()
            .unwrap(),
    );
    assert_eq!(count(&alone, 1), 0);
}

#[test]
fn folders_without_rows_are_refused() {
    let bench = Bench::new();
    let plot = |run: &Path, out: &str| {
        trainer(&["plot"])
            .arg(run)
            .arg("--out")
            .arg(bench.path(out))
            .output()
            .unwrap()
    };
    assert_refused(
        &plot(&bench.path("shards"), "x.png"),
        &["shards", "metrics.jsonl"],
    );
    assert_refused(
        &plot(&bench.path("nothing"), "x.png"),
        &["nothing", "metrics.jsonl"],
    );
    let empty = bench.path("empty");
    fs::create_dir(&empty).unwrap();
    for torn in ["", "{\"step\": 1, \"ep"] {
        fs::write(empty.join("metrics.jsonl"), torn).unwrap();
        assert_refused(&plot(&empty, "x.png"), &["empty", "no whole row"]);
    }
    assert_refused(&plot(&empty, "x.jpg"), &["--out", ".png"]);
    assert!(!bench.path("x.png").exists());
}
