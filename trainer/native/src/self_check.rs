//! Whether the kernels do on a GPU what libtorch's operations do there.
//!
//! The tests run their source on a CPU; what the driver makes of it for the GPU at hand is seen by
//! running it. That takes milliseconds, when a run starts.

use anyhow::{Context, Result, ensure};
use tch::{Device, Kind, Tensor};

use crate::error::torch;
use crate::fused::{After, NormTensors, Restore, f_batch_norm, f_normalise};

/// Largest [`difference`]: rounding in another order, not another result.
const LIMITS: [(Kind, f64); 2] = [(Kind::Float, 1e-4), (Kind::BFloat16, 6e-2)];
/// More rows than one block takes, and more channels.
const SHAPE: [i64; 4] = [5, 320, 13, 9];

/// FusedResults of every kernel on one device.
#[derive(PartialEq)]
pub struct FusedResults(Vec<(&'static str, Kind, Tensor)>);

impl FusedResults {
    /// Computes them the way in which fused operations are computed now. Draws no random numbers.
    ///
    /// # Errors
    /// An operation that the device refuses.
    pub fn of(device: Device) -> Result<Self> {
        let mut all = Vec::new();
        for (kind, _) in LIMITS {
            all.push(("views", kind, views(device, kind)?));
            all.extend(norm(device, kind, false)?.map(|(name, tensor)| (name, kind, tensor)));
            all.extend(norm(device, kind, true)?.map(|(name, tensor)| (name, kind, tensor)));
        }
        all.push(("what the gate restores", Kind::Float, restored(device)));
        Ok(FusedResults(all))
    }

    /// Compares with what another way of computing has made.
    ///
    /// # Errors
    /// The first result that is another one, or not finite.
    pub fn ensure_like(&self, expected: &FusedResults) -> Result<()> {
        for ((name, kind, ours), (.., theirs)) in self.0.iter().zip(&expected.0) {
            let difference = difference(ours, theirs)?;
            let (_, limit) = LIMITS
                .into_iter()
                .find(|(of, _)| of == kind)
                .expect("every kind has a limit");
            // A NaN is within no limit.
            ensure!(
                difference <= limit,
                "{name} in {kind:?} is {difference:.1e} off libtorch's"
            );
        }
        Ok(())
    }
}

/// ‖a − b‖ / ‖b‖: single elements may differ by all they are, where rounding (in bfloat16 of the
/// norm, before the residual is added) takes what a ReLU sees across zero.
fn difference(a: &Tensor, b: &Tensor) -> Result<f64> {
    let (a, b) = (a.to_kind(Kind::Double), b.to_kind(Kind::Double));
    let relative = (a - &b).norm() / b.norm();
    f64::try_from(relative).map_err(torch).context("comparing")
}

/// Numbers in −1..1 that look random.
fn values(shape: &[i64], salt: f64, device: Device) -> Tensor {
    let index = Tensor::arange(shape.iter().product::<i64>(), (Kind::Double, device));
    ((index * (1.7 + salt)).sin() * 43_758.545_3)
        .frac()
        .view(shape)
}

fn views(device: Device, kind: Kind) -> Result<Tensor> {
    let bytes = (values(&[3, 7, 7, 3], 0.1, device).abs() * 255.0).to_kind(Kind::Uint8);
    let scale_shift = values(&[2, 3], 0.2, device).to_kind(Kind::Float);
    f_normalise(&bytes, &scale_shift, kind)
}

/// A state that was changed and taken back.
fn restored(device: Device) -> Tensor {
    let _guard = tch::no_grad_guard();
    let state = values(&[3, 333], 0.8, device).to_kind(Kind::Float);
    let restore = Restore::new(vec![state.shallow_clone()]);
    restore.remember();
    let _ = state.shallow_clone().fill_(7.0);
    restore.unless(&Tensor::zeros([], (Kind::Bool, device)));
    state
}

/// Output, running statistics and gradients; with a residual and a ReLU, or a ReLU alone.
fn norm(device: Device, kind: Kind, with_residual: bool) -> Result<[(&'static str, Tensor); 6]> {
    let leaf = |t: Tensor, kind: Kind| t.to_kind(kind).set_requires_grad(true);
    let map = |salt| {
        let [n, c, h, w] = SHAPE;
        values(&[n, h, w, c], salt, device).permute([0, 3, 1, 2])
    };
    let channel = |salt| values(&[SHAPE[1]], salt, device).to_kind(Kind::Float);
    let (x, residual) = (leaf(map(0.1) + 0.5, kind), leaf(map(0.2), kind));
    let (weight, bias) = (
        leaf(channel(0.3) + 1.5, Kind::Float),
        leaf(channel(0.4), Kind::Float),
    );
    let (running_mean, running_var) = (channel(0.5), channel(0.6).abs() + 0.5);
    let norm = NormTensors {
        weight: &weight,
        bias: &bias,
        running_mean: &running_mean,
        running_var: &running_var,
    };
    let after = if with_residual {
        After::AddRelu(&residual)
    } else {
        After::Relu
    };
    let y = f_batch_norm(&x, norm, after, 0.1, 1e-5)?;
    (&y * map(0.7).to_kind(kind))
        .sum(Kind::Float)
        .f_backward()
        .map_err(torch)?;
    Ok([
        ("a norm's output", y.detach()),
        ("a running mean", running_mean),
        ("a running variance", running_var),
        ("a norm's gradient", x.grad()),
        ("a scale's gradient", weight.grad()),
        ("a shift's gradient", bias.grad()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_kernels_are_named() {
        let expected = FusedResults::of(Device::Cpu).unwrap();
        for bad in [0.0, f64::NAN] {
            let wrong = FusedResults::of(Device::Cpu).unwrap();
            let _ = wrong.0[4].2.get(0).get(7).fill_(bad);
            let line = wrong.ensure_like(&expected).unwrap_err().to_string();
            assert!(line.contains("a norm's gradient in Float"), "{line}");
        }
    }
}
