//! Whether the kernels do on a GPU what libtorch's operations do there.
//!
//! The tests run their source on a CPU; what the driver makes of it for the GPU at hand is seen by
//! running it. That takes milliseconds, when a run starts.
//!
//! The inputs are chosen so that rounding cannot take what a ReLU sees across zero: nothing of it
//! lies nearer to zero than [`MARGIN`]. One element on the other side would move a gradient further
//! than all rounding together. In bfloat16 the kernels round once, at the end. So they are held
//! against libtorch in float32 on the same inputs, rounded once.

use anyhow::{Context, Result, ensure};
use tch::{Device, Kind, Tensor};

use crate::error::torch;
use crate::fused::{After, Lane, NormTensors, Restore, f_batch_norms, f_normalise};

const KINDS: [Kind; 2] = [Kind::Float, Kind::BFloat16];
/// Largest [`difference`] of float32: sums in another order.
const FLOAT_LIMIT: f64 = 1e-5;
/// Of bfloat16: the same, seldom over the edge between two roundings.
const BFLOAT16_LIMIT: f64 = 5e-4;
/// More rows than one block takes, and more channels.
const SHAPE: [i64; 4] = [5, 320, 13, 9];
/// Large beside the variance's own rounding, so that a norm without it is another one.
const EPS: f64 = 0.1;
/// The least distance from zero of what a ReLU sees. bfloat16 rounds the largest number here by
/// less than a thirtieth of it.
#[cfg(test)]
const MARGIN: f64 = 0.4;

/// Results of every kernel on one device.
#[derive(PartialEq)]
pub struct FusedResults(Vec<(&'static str, Kind, Tensor)>);

impl FusedResults {
    /// Computes them the way in which fused operations are computed now. Draws no random numbers.
    ///
    /// # Errors
    /// An operation that the device refuses.
    pub fn of(device: Device) -> Result<Self> {
        Self::computed(device, |kind| kind)
    }

    /// Computes in float32 what they should be; for a device without kernels.
    ///
    /// # Errors
    /// An operation that the device refuses.
    pub fn expected(device: Device) -> Result<Self> {
        Self::computed(device, |_| Kind::Float)
    }

    /// Inputs and results of each kind, computed in another.
    fn computed(device: Device, compute: impl Fn(Kind) -> Kind) -> Result<Self> {
        let mut all = Vec::new();
        for kind in KINDS {
            let views = views(device, compute(kind))?.to_kind(kind);
            all.push(("views", kind, views));
            for with_residual in [false, true] {
                let inputs = Inputs::new(device, kind);
                let results = inputs.norm(compute(kind), with_residual)?;
                all.extend(results.map(|(name, kind, tensor)| (name, kind, tensor.to_kind(kind))));
            }
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
            let limit = match kind {
                Kind::BFloat16 => BFLOAT16_LIMIT,
                _ => FLOAT_LIMIT,
            };
            // A NaN is within no limit.
            ensure!(
                difference <= limit,
                "{name} in {kind:?} is {difference:.1e} off libtorch's"
            );
        }
        Ok(())
    }
}

/// ‖a − b‖ / ‖b‖.
fn difference(a: &Tensor, b: &Tensor) -> Result<f64> {
    let (a, b) = (a.to_kind(Kind::Double), b.to_kind(Kind::Double));
    let relative = (a - &b).norm() / b.norm();
    f64::try_from(relative).map_err(torch).context("comparing")
}

/// Numbers in −1..1 that look random.
fn values(shape: &[i64], salt: f64, device: Device) -> Tensor {
    // Not from 0, whose sine has no sign.
    let index = Tensor::arange(shape.iter().product::<i64>(), (Kind::Double, device)) + 1.0;
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

/// What a norm gets, forward and backward. Maps are `[n, c, h, w]` with channels innermost in
/// memory, of numbers that `kind` knows; the rest is float32.
struct Inputs {
    kind: Kind,
    /// 0.5 ± 1..1.5: normalised, neither sign comes near zero.
    x: Tensor,
    /// Up to 0.2: added, it does not reach zero.
    residual: Tensor,
    /// The gradient of the output.
    dy: Tensor,
    /// 1..2.
    weight: Tensor,
    /// Up to 0.2, as the residual.
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
}

impl Inputs {
    fn new(device: Device, kind: Kind) -> Self {
        let map = |salt| {
            let [n, c, h, w] = SHAPE;
            values(&[n, h, w, c], salt, device).permute([0, 3, 1, 2])
        };
        let channel = |salt| values(&[SHAPE[1]], salt, device).to_kind(Kind::Float);
        let parted: Tensor = map(0.1).sign() * (map(0.1).abs() * 0.5 + 1.0) + 0.5;
        Inputs {
            kind,
            x: parted.to_kind(kind),
            residual: (map(0.2) * 0.2).to_kind(kind),
            dy: map(0.7).to_kind(kind),
            weight: channel(0.3) * 0.5 + 1.5,
            bias: channel(0.4) * 0.2,
            running_mean: channel(0.5),
            running_var: channel(0.6).abs() + 0.5,
        }
    }

    /// Output, running statistics and gradients, each with the kind that it is to be rounded to;
    /// with a residual and a ReLU, or a ReLU alone. Computed in the kind `compute`.
    fn norm(
        &self,
        compute: Kind,
        with_residual: bool,
    ) -> Result<[(&'static str, Kind, Tensor); 6]> {
        let leaf = |t: &Tensor, kind: Kind| t.detach().to_kind(kind).set_requires_grad(true);
        let (x, residual) = (leaf(&self.x, compute), leaf(&self.residual, compute));
        let (weight, bias) = (
            leaf(&self.weight, Kind::Float),
            leaf(&self.bias, Kind::Float),
        );
        let (running_mean, running_var) = (self.running_mean.copy(), self.running_var.copy());
        let norm = NormTensors {
            weight: &weight,
            bias: &bias,
            running_mean: &running_mean,
            running_var: &running_var,
            team: None,
        };
        let after = if with_residual {
            After::AddRelu(&residual)
        } else {
            After::Relu
        };
        let [y] = f_batch_norms([Lane { x: &x, norm, after }], 0.1, EPS)?;
        (&y * self.dy.to_kind(compute))
            .sum(Kind::Float)
            .f_backward()
            .map_err(torch)?;
        let (map, float) = (self.kind, Kind::Float);
        Ok([
            ("a norm's output", map, y.detach()),
            ("a running mean", float, running_mean),
            ("a running variance", float, running_var),
            ("a norm's gradient", map, x.grad()),
            ("a scale's gradient", float, weight.grad()),
            ("a shift's gradient", float, bias.grad()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_results_are_named() {
        let expected = FusedResults::expected(Device::Cpu).unwrap();
        for bad in [0.0, f64::NAN] {
            let wrong = FusedResults::of(Device::Cpu).unwrap();
            let _ = wrong.0[4].2.get(0).get(7).fill_(bad);
            let line = wrong.ensure_like(&expected).unwrap_err().to_string();
            assert!(line.contains("a norm's gradient in Float"), "{line}");
        }
    }

    #[test]
    fn no_rounding_takes_what_a_relu_sees_across_zero() {
        for kind in KINDS {
            let Inputs {
                x,
                residual,
                weight,
                bias,
                ..
            } = Inputs::new(Device::Cpu, kind);
            let x = x.to_kind(Kind::Double);
            let of_channel = |t: &Tensor| t.to_kind(Kind::Double).view([1, -1, 1, 1]);
            let axes = [0, 2, 3];
            let centred = &x - x.mean_dim(&axes[..], true, Kind::Double);
            let var = centred.square().mean_dim(&axes[..], true, Kind::Double);
            let y = centred / (var + EPS).sqrt() * of_channel(&weight) + of_channel(&bias);
            for seen in [y.shallow_clone(), y + residual.to_kind(Kind::Double)] {
                let least = seen.abs().min().double_value(&[]);
                assert!(least > MARGIN, "{kind:?}: {least}");
                let positive = seen.gt(0.0).to_kind(Kind::Double).mean(Kind::Double);
                assert!(
                    (0.4..0.6).contains(&positive.double_value(&[])),
                    "both signs"
                );
                // Half a unit of the last of 8 bits, at the largest number.
                let most = seen.abs().max().double_value(&[]) / 256.0;
                assert!(most < MARGIN / 30.0, "{kind:?}: {most}");
            }
        }
    }
}
