//! What the check at a run's start lets pass, and what it does not.

use native::FusedResults;
use native_emulator::{with_each_flaw, with_kernels};
use tch::Device;

#[test]
fn right_kernels_pass_the_check_of_a_run() {
    let expected = FusedResults::expected(Device::Cpu).unwrap();
    let plain = FusedResults::of(Device::Cpu).unwrap();
    let ours = with_kernels(|| FusedResults::of(Device::Cpu).unwrap());
    assert!(ours != plain, "the kernels ran, and round in another order");
    ours.ensure_like(&expected).unwrap();
}

#[test]
fn every_flaw_is_found() {
    let expected = FusedResults::expected(Device::Cpu).unwrap();
    let mut found = Vec::new();
    with_each_flaw(|flaw| {
        let results = FusedResults::of(Device::Cpu).unwrap();
        match results.ensure_like(&expected) {
            Ok(()) => panic!("{flaw}: it passes"),
            Err(why) => found.push(format!("{flaw}: {why}")),
        }
    });
    println!("{}", found.join("\n"));
    assert!(found.len() >= 9);
}
