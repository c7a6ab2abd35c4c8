//! Twins of the CPU tests on a GPU.

use tch::{Device, Kind, Tensor};
use trainer::method::{self, Method, MethodConfig, View, Views};

use super::golden::{assert_close, max_abs};
use super::learning::{model, views};

fn to(device: Device, views: Views) -> Views {
    let view = |v: View| View {
        image: v.image.to_device(device),
        crop: v.crop.to_device(device),
        frame: v.frame.to_device(device),
        flip: v.flip.to_device(device),
    };
    Views {
        a: view(views.a),
        b: view(views.b),
    }
}

/// A method on `device`, its total loss on the toy views, and its gradients.
fn run(device: Device, kind: Kind, autocast: bool) -> (Method, Tensor, Vec<(String, Tensor)>) {
    let method = method::build(&MethodConfig::default(), &model(), device, kind, 3).unwrap();
    let views = to(device, views(kind));
    let mut pass = method.pass(&views);
    while let Some(share) = {
        let _autocast = autocast.then(|| native::autocast(device, Kind::BFloat16));
        pass.direction()
    } {
        share.backward();
    }
    let losses = pass.losses();
    let total = losses
        .total
        .detach()
        .to_device(Device::Cpu)
        .to_kind(Kind::Double);
    let grads = method
        .params()
        .trainable()
        .map(|e| {
            (
                e.name.clone(),
                e.tensor.grad().to_device(Device::Cpu).to_kind(Kind::Double),
            )
        })
        .collect();
    (method, total, grads)
}

#[test]
#[ignore = "needs CUDA"]
fn a_gpu_agrees_with_the_cpu_in_float64() {
    let gpu = native::cuda_device(0).unwrap();
    let (_, expected, expected_grads) = run(Device::Cpu, Kind::Double, false);
    let (_method, found, grads) = run(gpu, Kind::Double, false);
    assert_close("loss", &found, &expected, 1e-9);
    for ((name, found), (_, expected)) in grads.iter().zip(&expected_grads) {
        assert_close(name, found, expected, 1e-6);
    }
}

#[test]
#[ignore = "needs CUDA"]
fn bf16_on_a_gpu_stays_near_float32() {
    let gpu = native::cuda_device(0).unwrap();
    native::load_kernels(gpu).unwrap();
    let (_, exact, _) = run(gpu, Kind::Float, false);
    let (mut method, found, grads) = run(gpu, Kind::Float, true);
    assert!(max_abs(&(found - exact)) < 0.1);
    assert!(
        grads
            .iter()
            .all(|(_, g)| g.isfinite().all().int64_value(&[]) == 1)
    );
    method.update_target(0.99);
    assert!(
        method
            .state()
            .iter()
            .all(|(_, t)| t.isfinite().all().int64_value(&[]) == 1)
    );
}
