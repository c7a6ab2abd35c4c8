//! Killed with SIGKILL at chosen moments, a run ends bit for bit as an undisturbed one does.

use std::path::Path;

use super::resume::assert_same_as_undisturbed;
use super::{Bench, assert_success};
use testkit::traced::{Call, Moment, Traced};

/// The run's checkpoints.
const STEPS: [u64; 3] = [3, 6, 8];

fn newest(run: &Path) -> Option<u64> {
    Some(model::files::checkpoint::list(run).unwrap().last()?.0)
}

/// Of each checkpoint: at one of its writes, before its rename, after it; and a row of the metrics
/// before the last. With each the newest checkpoint that has to be there then.
fn ten() -> Vec<(Moment, Option<u64>)> {
    let mut chosen = Vec::new();
    let mut before = None;
    for (step, nth) in STEPS.into_iter().zip([2, 40, 21]) {
        let name = format!("checkpoints/step_{step:010}.safetensors");
        let partial = format!("{name}.partial");
        if step == STEPS[2] {
            let row = Moment {
                call: Call::Write,
                path: "metrics.jsonl".to_owned(),
                nth: 0,
                is_done: true,
            };
            chosen.push((row, before));
        }
        chosen.push((
            Moment {
                call: Call::Write,
                path: partial,
                nth,
                is_done: true,
            },
            before,
        ));
        let rename = |is_done| Moment {
            call: Call::Rename,
            path: name.clone(),
            nth: 0,
            is_done,
        };
        chosen.push((rename(false), before));
        chosen.push((rename(true), Some(step)));
        before = Some(step);
    }
    chosen
}

#[test]
fn killed_at_ten_moments_a_run_ends_the_same() {
    let bench = Bench::new();
    let out = bench.path("killed");
    for (moment, expected) in ten() {
        let mut command = bench.command(&out, &[]);
        // Otherwise the program starts itself anew with it, which tracing takes for a trap.
        let Some(mut run) = Traced::spawn(command.env("OMP_WAIT_POLICY", "PASSIVE"), &out) else {
            return;
        };
        assert!(
            run.any(|reached| reached == moment),
            "{moment:?} was not reached"
        );
        drop(run);
        assert_eq!(newest(&out), expected, "after {moment:?}");
    }
    assert_success(&bench.run(&out, &[]));
    assert_same_as_undisturbed(&out);
}
