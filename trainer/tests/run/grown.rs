//! A set that grows while a run on it is stopped: the run goes on with the frames that it began with.

use std::fs;
use std::path::PathBuf;

use schemas::catalog;
use testkit::scenes;
use testkit::set::add_shards;

use super::refusals::assert_refused;
use super::resume::{assert_same, result};
use super::{Bench, assert_success, stderr};

/// Shards of four frames each that a run begins with; others lie before, between and after them.
const BEFORE: [usize; 3] = [1, 2, 4];
const LATER: [usize; 3] = [0, 3, 5];

impl Bench {
    /// A bench whose set has the shards of [`BEFORE`], and the place of all.
    fn growing() -> (Bench, PathBuf) {
        let bench = Bench::new();
        let all = bench.path("all");
        scenes::write_in_shards(&all, &Vec::from_iter(0..24), 4);
        fs::remove_dir_all(bench.path("shards")).unwrap();
        add_shards(&all, &bench.path("shards"), BEFORE);
        catalog::build(&bench.path("shards")).unwrap();
        (bench, all)
    }

    fn grow(&self) {
        add_shards(&self.path("all"), &self.path("shards"), LATER);
        catalog::build(&self.path("shards")).unwrap();
    }
}

#[test]
fn a_resumed_run_goes_on_with_its_own_frames() {
    let (bench, all) = Bench::growing();
    let (whole, parts) = (bench.path("whole"), bench.path("parts"));
    let own = ["--where", "camera = 'FRONT' or camera = 'SIDE'"];
    assert_success(&bench.run(&whole, &own));
    let part = |more: &[&str]| bench.run(&parts, &[&own, more].concat());
    assert_success(&part(&["--steps", "2"]));
    // First, shards that no catalog lists yet.
    add_shards(&all, &bench.path("shards"), LATER);
    assert_success(&part(&["--steps", "4"]));
    bench.grow();
    let grown = "the set has grown from 12 to 24 frames; this run goes on with its own 12; --allow-change shards takes all";
    for more in [&["--steps", "5"][..], &[]] {
        let output = part(more);
        assert_success(&output);
        assert!(stderr(&output).contains(grown), "{}", stderr(&output));
    }
    assert_same(&result(&parts), &result(&whole));
}

#[test]
fn the_grown_set_is_taken_on_request_and_that_says_what_changes() {
    let (bench, _) = Bench::growing();
    let out = bench.path("taken");
    let epochs = [
        "--set",
        "schedule.total_steps=0",
        "--set",
        "schedule.epochs=8",
    ];
    let epochs = [
        &epochs[..],
        &[
            "--set",
            "schedule.warmup_steps=0",
            "--set",
            "schedule.warmup_epochs=1",
        ],
    ]
    .concat();
    assert_success(&bench.run(&out, &[&epochs[..], &["--steps", "2"]].concat()));
    bench.grow();
    let output = bench.run(
        &out,
        &[&epochs[..], &["--steps", "3", "--allow-change", "shards"]].concat(),
    );
    assert_success(&output);
    let change =
        "--allow-change shards: 12 -> 24 frames, 2 -> 4 batches an epoch, 16 -> 32 steps in all";
    assert!(stderr(&output).contains(change), "{}", stderr(&output));
    // From here on these are the run's frames.
    let output = bench.run(&out, &[&epochs[..], &["--steps", "4"]].concat());
    assert_success(&output);
    let text = stderr(&output);
    assert!(
        !text.contains("has grown") && !text.contains("frames"),
        "{text}"
    );
}

#[test]
fn a_shard_of_the_run_that_is_gone_or_another_is_named() {
    let (bench, all) = Bench::growing();
    let out = bench.path("out");
    assert_success(&bench.run(&out, &["--steps", "2"]));
    let shards = bench.path("shards");
    let victim = catalog::shard_paths(&shards).unwrap()[1].clone();
    let name = victim.file_name().unwrap().to_str().unwrap();
    fs::remove_file(&victim).unwrap();
    add_shards(&all, &shards, LATER);
    catalog::build(&shards).unwrap();
    let refused = |detail| {
        assert_refused(
            &bench.run(&out, &[]),
            &[name, detail, "--allow-change shards"],
        )
    };
    refused("is gone");
    fs::rename(
        catalog::shard_paths(&shards).unwrap().pop().unwrap(),
        &victim,
    )
    .unwrap();
    catalog::build(&shards).unwrap();
    refused("has changed (4 frames, ");
    assert_success(&bench.run(&out, &["--steps", "3", "--allow-change", "shards"]));
}
