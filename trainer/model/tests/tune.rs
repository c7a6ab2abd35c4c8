//! What tuning does to libtorch's switches.
//!
//! A test program of its own, with one test: the switches are the whole process's.

use model::device::{FusedKernels, Precision, Tuning, tune};
use native::{allows_tf32, is_deterministic};
use tch::Device;

#[test]
fn tuning_sets_each_switch_as_it_is_told() {
    for precision in [Precision::Tf32, Precision::Bf16, Precision::Fp32] {
        for (deterministic, fused_kernels) in
            [(true, true), (true, false), (false, true), (false, false)]
        {
            let tuning = Tuning {
                precision,
                fused_kernels,
                deterministic,
            };
            let on_cpu = tune(Device::Cpu, tuning).unwrap();
            let expected = match fused_kernels {
                true => FusedKernels::OnlyForGpus,
                false => FusedKernels::Unwanted,
            };
            assert_eq!(on_cpu, expected);
            assert_eq!(is_deterministic(), deterministic);
            assert_eq!(allows_tf32(), precision == Precision::Tf32);
        }
    }
}
