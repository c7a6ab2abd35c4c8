//! A process that computes on the second GPU leaves the first one alone.
//!
//! A test program of its own: a context that another test made would hide one that this makes.
#![expect(
    unsafe_code,
    reason = "the driver's question whether a context is active"
)]
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use cudarc::driver::{result, sys};
use native::{Event, FusedResults, Stream, cuda_device, load_kernels, pinned, upload};
use tch::{Cuda, Device, Kind, Tensor};

/// Whether this process has made the context of a GPU in which the CUDA runtime computes.
fn has_context(ordinal: i32) -> bool {
    let gpu = result::device::get(ordinal).unwrap();
    let (mut flags, mut is_active) = (0, 0);
    // SAFETY: `gpu` is a device of the driver; both pointers are those of live integers.
    unsafe { sys::cuDevicePrimaryCtxGetState(gpu, &mut flags, &mut is_active) }
        .result()
        .unwrap();
    is_active != 0
}

/// A little of all that a run does with a device.
fn use_everything(device: Device) {
    let host = pinned_if_cuda(&Tensor::ones([1000], (Kind::Float, Device::Cpu)), device);
    let there = upload(&host, device).unwrap().set_requires_grad(true);
    let stream = Stream::beside(device).unwrap();
    let (made, event) = stream
        .run(|| (there.detach() * 2.0, Event::record(device).unwrap()))
        .unwrap();
    event.block_stream().unwrap();
    stream.keep(&[made.shallow_clone()]).unwrap();
    (&there * made).sum(Kind::Float).backward();
    assert_eq!(there.grad().sum(Kind::Double).double_value(&[]), 2000.0);
    event.wait().unwrap();
    drop(event);
    load_kernels(device).unwrap();
    let _ = FusedResults::of(device).unwrap();
}

/// Page-locked before anything else has made a context, which is when the wrong one would be made.
fn pinned_if_cuda(host: &Tensor, device: Device) -> Tensor {
    match device {
        Device::Cuda(_) => pinned(host).unwrap(),
        _ => host.shallow_clone(),
    }
}

#[test]
fn a_cpu_takes_all_of_it() {
    use_everything(Device::Cpu);
}

#[test]
#[ignore = "needs CUDA"]
fn a_run_on_the_second_gpu_makes_no_context_on_the_first() {
    let Ok(second) = cuda_device(1) else {
        return testkit::skip(&format!("{} GPUs: it takes two", Cuda::device_count()));
    };
    assert!(!has_context(0), "choosing a GPU");
    use_everything(second);
    assert!(has_context(1) && !has_context(0), "using it");
}
