//! What the switch of a process does to libtorch.
//!
//! A test program of its own: the switch is the whole process's, and so is the environment.

use native::{is_deterministic, set_deterministic};
use tch::{Device, Kind, TchError, Tensor};

/// `put_` has no deterministic way, on any device.
fn put() -> Result<(), TchError> {
    let mut x = Tensor::zeros([4], (Kind::Float, Device::Cpu));
    let index = Tensor::from_slice(&[1i64, 2]);
    let value = Tensor::from_slice(&[5.0f32, 6.0]);
    x.f_put_(&index, &value, false).map(drop)
}

#[test]
fn determinism_reaches_libtorch_and_can_be_taken_back() {
    assert!(!is_deterministic());
    put().unwrap();
    set_deterministic(true).unwrap();
    assert!(is_deterministic());
    let refused = put().unwrap_err().to_string();
    set_deterministic(false).unwrap();
    assert!(refused.contains("deterministic"), "{refused}");
    assert!(!is_deterministic());
    put().unwrap();
}
