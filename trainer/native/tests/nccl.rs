//! A group of one process makes its collectives all the same: over NCCL on a GPU, over Gloo on the
//! CPU, where the same checks run on any machine.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use native::{After, Gradients, Lane, NormTensors, Ranks, batch_norm};
use tch::{Device, Kind, Tensor};

fn scattered(shape: &[i64], salt: f64, device: Device) -> Tensor {
    let index = Tensor::arange(shape.iter().product::<i64>(), (Kind::Double, Device::Cpu));
    let values = (index * (1.7 + salt)).sin().view(shape);
    values.to_kind(Kind::Float).to_device(device)
}

#[track_caller]
fn assert_near(found: &Tensor, expected: &Tensor) {
    let gap = (found - expected).abs().max().double_value(&[]);
    assert!(gap < 1e-5, "{gap:e}");
}

/// Output, running variance and gradient of a norm over the ranks, or by this process's own batch.
fn norm(ranks: &Ranks, device: Device) -> [Tensor; 3] {
    let x = scattered(&[4, 16, 6, 6], 0.1, device).set_requires_grad(true);
    let [weight, bias, mean] = [0.2, 0.3, 0.4].map(|salt| scattered(&[16], salt, device));
    let [weight, bias] = [weight, bias].map(|t| t.set_requires_grad(true));
    let var = Tensor::ones([16], (Kind::Float, device));
    let team = ranks.team(ranks.size());
    let tensors = NormTensors {
        weight: &weight,
        bias: &bias,
        running_mean: &mean,
        running_var: &var,
        team: team.as_ref(),
    };
    let lane = Lane {
        x: &x,
        norm: tensors,
        after: After::Relu,
    };
    let y = batch_norm(lane, 0.1, 1e-5);
    let dy = scattered(&[4, 16, 6, 6], 0.5, device);
    (&y * dy).sum(Kind::Float).backward();
    [y.detach(), var, x.grad()]
}

fn check(device: Device) {
    let ranks = Ranks::one_on(device).unwrap();
    let x = scattered(&[6, 3], 0.6, device);
    let sum = x.copy();
    ranks.sum_(&sum);
    ranks.broadcast_(&sum);
    assert_eq!(sum, x);
    assert_eq!(ranks.gather(&x), x);
    assert_eq!(ranks.permute(&x, |row| 5 - row), x.flip([0]));
    assert_eq!(ranks.largest(4).unwrap(), 4);

    ranks.time_collectives(true);
    for (found, expected) in norm(&ranks, device)
        .iter()
        .zip(norm(&Ranks::alone(), device))
    {
        assert_near(found, &expected);
    }
    assert!(ranks.collective_seconds().unwrap() > 0.0);
    ranks.time_collectives(false);

    let param = scattered(&[5, 5], 0.7, device).set_requires_grad(true);
    for bucket_bytes in [None, Some(64)] {
        let params = [param.shallow_clone()];
        let mut gradients = Gradients::new(&ranks, &params, &[], bucket_bytes);
        native::drop_grads(&params);
        gradients.arm();
        param.square().sum(Kind::Float).backward();
        gradients.finish();
        assert_near(&param.grad(), &(&param * 2.0));
    }
    let [sums, gathers, broadcasts, exchanges] = ranks.counted().calls;
    // By hand one of each, and the largest; the norm's two; one of each way to the gradients.
    assert_eq!([sums, gathers, broadcasts, exchanges], [5, 2, 1, 1]);
    ranks.leave().unwrap();
}

#[test]
fn a_group_of_one_computes_what_a_process_alone_does() {
    check(Device::Cpu);
}

#[test]
#[ignore = "needs CUDA"]
fn a_group_of_one_computes_what_a_process_alone_does_on_a_gpu() {
    let gpu = native::cuda_device(0).unwrap();
    check(gpu);
    native::load_kernels(gpu).unwrap();
    check(gpu);
}

#[test]
fn without_a_gpu_nccl_is_refused_in_one_line() {
    if native::cuda_device(0).is_ok() {
        return;
    }
    let refusal = Ranks::one_on(Device::Cuda(0)).unwrap_err().to_string();
    assert!(!refusal.is_empty() && !refusal.contains('\n'), "{refusal}");
}
