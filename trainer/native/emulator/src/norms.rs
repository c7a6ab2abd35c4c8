//! One norm, computed in any kind: tests hold two ways of computing it against each other.

use native::{After, Lane, NormTensors, Team, batch_norm};
use tch::{Device, Kind, Tensor};

const MOMENTUM: f64 = 0.1;

/// Named tensors that a norm has computed.
pub type Passed = Vec<(&'static str, Tensor)>;

/// What a norm gets, forward and backward. A pass rounds it to the kind that it computes in.
pub struct NormInputs {
    /// `[n, c, h, w]` or `[n, c]`.
    pub x: Tensor,
    /// As `x`; what is added behind the norm.
    pub residual: Tensor,
    /// As `x`; the gradient of the output.
    pub dy: Tensor,
    /// `[c]` each: weight, bias, running mean and running variance.
    pub channels: [Tensor; 4],
    /// Added to the variance.
    pub eps: f64,
}

impl NormInputs {
    /// Output, running statistics and gradients, computed in `kind`. `after`: 0 nothing, 1 a ReLU,
    /// 2 the addition and a ReLU follow the norm.
    ///
    /// # Panics
    /// If libtorch refuses, or for another `after`.
    pub fn pass(&self, kind: Kind, after: usize) -> Passed {
        self.pass_among(None, kind, after)
    }

    /// The same for a rank of a team, which has these inputs.
    ///
    /// # Panics
    /// As [`pass`](Self::pass).
    pub fn pass_among(&self, team: Option<&Team>, kind: Kind, after: usize) -> Passed {
        let parameter = match kind {
            Kind::Double => Kind::Double,
            _ => Kind::Float,
        };
        let leaf = |t: &Tensor, kind| t.detach().to_kind(kind).copy().set_requires_grad(true);
        let (x, residual) = (leaf(&self.x, kind), leaf(&self.residual, kind));
        let [weight, bias] = [0, 1].map(|ix| leaf(&self.channels[ix], parameter));
        let [running_mean, running_var] =
            [2, 3].map(|ix| self.channels[ix].to_kind(parameter).copy());
        let norm = NormTensors {
            weight: &weight,
            bias: &bias,
            running_mean: &running_mean,
            running_var: &running_var,
            team,
        };
        let afters = [After::Nothing, After::Relu, After::AddRelu(&residual)];
        let lane = Lane {
            x: &x,
            norm,
            after: afters[after],
        };
        let y = batch_norm(lane, MOMENTUM, self.eps);
        let mut leaves = vec![
            ("gradient of x", &x),
            ("gradient of the weight", &weight),
            ("gradient of the bias", &bias),
        ];
        if after == 2 {
            leaves.push(("gradient of the residual", &residual));
        }
        let (names, leaves): (Vec<_>, Vec<_>) = leaves.into_iter().unzip();
        let loss = (&y * self.dy.to_kind(kind)).sum(parameter);
        let grads = Tensor::run_backward(&[loss], &leaves, false, false);
        let forward = [
            ("y", y.detach()),
            ("running mean", running_mean),
            ("running variance", running_var),
        ];
        forward
            .into_iter()
            .chain(names.into_iter().zip(grads))
            .collect()
    }
}

/// Numbers in −1..1 that look random, float64, the same on every device.
pub fn values(shape: &[i64], salt: f64, device: Device) -> Tensor {
    // Not from 0, whose sine has no sign.
    let index = Tensor::arange(shape.iter().product::<i64>(), (Kind::Double, Device::Cpu)) + 1.0;
    ((index * (1.7 + salt)).sin() * 43_758.545_3)
        .frac()
        .view(shape)
        .to_device(device)
}

/// [`values`] that bfloat16 knows. `[n, c, h, w]` has channels innermost in memory; other shapes are
/// vectors.
pub fn map(shape: &[i64], salt: f64, device: Device) -> Tensor {
    let values = match *shape {
        [n, c, h, w] => values(&[n, h, w, c], salt, device).permute([0, 3, 1, 2]),
        _ => values(shape, salt, device),
    };
    values.to_kind(Kind::BFloat16)
}

/// max |a − b| relative to max |b|.
pub fn difference(a: &Tensor, b: &Tensor) -> f64 {
    let (a, b) = (a.to_kind(Kind::Double), b.to_kind(Kind::Double));
    ((a - &b).abs().max() / b.abs().max()).double_value(&[])
}
