//! RoI Align against torchvision, and batch norm on parts of a batch against as many of PyTorch's.

use std::collections::BTreeMap;

use model::align::{Sampling, roi_align};
use model::{BatchNorm, Registry, Scope};
use native::After;
use tch::{Device, Kind, Tensor};

use super::golden::{arrays, assert_close, fixture, formula};

/// y's gradient in x for the loss (y * formula).sum().
fn gradient(x: &Tensor, y: &Tensor, salt: i64) -> Tensor {
    (y * formula(&y.size(), salt)).sum(Kind::Double).backward();
    x.grad()
}

#[test]
fn roi_align_and_its_gradient_are_torchvisions() {
    let arrays = arrays(&fixture("layers.npz"));
    let boxes = &arrays["roi.boxes"];
    for (h, w) in [(7, 7), (5, 4)] {
        for aligned in [true, false] {
            for points in [1, 2, 3] {
                let maps = (formula(&[boxes.size()[0], 3, h, w], h) * 4.0).set_requires_grad(true);
                let found = roi_align(&maps, boxes, Sampling { points, aligned });
                let key = format!("roi.{h}x{w}.{}.{points}", i64::from(aligned));
                assert_close(&key, &found.detach(), &arrays[&key], 1e-12);
                let key = format!("{key}.grad");
                assert_close(&key, &gradient(&maps, &found, 77), &arrays[&key], 1e-12);
            }
        }
    }
}

#[test]
fn a_split_batch_norm_is_one_norm_for_each_part() {
    let golden = arrays(&fixture("layers.npz"));
    for parts in [2, 3] {
        let mut registry = Registry::default();
        let mut norm = BatchNorm::new(
            Scope::root(&mut registry, 0, Kind::Double, Device::Cpu),
            5,
            1.0,
        );
        norm.split(parts);
        let set = |name: &str, value: Tensor| {
            tch::no_grad(|| registry.get(name).unwrap().shallow_clone().copy_(&value));
        };
        set("weight", formula(&[5], 32) + 1.5);
        set("bias", formula(&[5], 33));
        let x = (formula(&[12, 5, 3, 2], 31) * 4.0).set_requires_grad(true);
        let y = norm.forward(&x, After::Nothing, true);
        let x_grad = gradient(&x, &y, 34);
        let entry = |name: &str| registry.get(name).unwrap();
        let found = BTreeMap::from([
            ("y", y.detach()),
            ("x_grad", x_grad),
            ("weight_grad", entry("weight").grad()),
            ("bias_grad", entry("bias").grad()),
            ("running_mean", entry("running_mean").copy()),
            ("running_var", entry("running_var").copy()),
        ]);
        for (name, found) in found {
            assert_close(
                &format!("{parts} parts, {name}"),
                &found,
                &golden[&format!("split.{parts}.{name}")],
                1e-12,
            );
        }
        assert_eq!(entry("num_batches_tracked").int64_value(&[]), 1);
        let together = norm.forward(&x, After::Nothing, false);
        let mean = entry("running_mean").view([1, 5, 1, 1]);
        let (scale, shift) = (
            entry("weight").view([1, 5, 1, 1]),
            entry("bias").view([1, 5, 1, 1]),
        );
        let by_hand =
            (&x - mean) / (entry("running_var").view([1, 5, 1, 1]) + 1e-5).sqrt() * scale + shift;
        assert_close(
            "evaluation knows no parts",
            &together.detach(),
            &by_hand.detach(),
            1e-12,
        );
    }
}
