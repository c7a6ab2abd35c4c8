//! Batch-norm statistics made anew for other images than those of training: clean ones, at another size.
//!
//! The statistics of a training run belong to augmented crops. Each batch's own are what one pass adds to zeroed
//! buffers; the mean over all batches becomes the running value ("precise BN" of Detectron2).

use tch::{Kind, Tensor, no_grad};

use crate::model::norm::MOMENTUM;
use crate::model::params::{Registry, Role};

/// Replaces the running means and variances of `registry` by those over all `inputs`, each one batch (of more than one
/// value a channel). `forward` runs the network in training mode. Without inputs, nothing changes.
pub fn recalibrate(registry: &Registry, inputs: impl Iterator<Item = Tensor>, forward: impl Fn(&Tensor)) {
    let is_statistic = |tensor: &Tensor| tensor.kind() != Kind::Int64; // the other buffers count batches
    let entries = registry.entries().iter().filter(|entry| entry.role == Role::Buffer && is_statistic(&entry.tensor));
    let buffers: Vec<Tensor> = entries.map(|entry| entry.tensor.shallow_clone()).collect();
    no_grad(|| {
        let mut sums: Vec<Tensor> = buffers.iter().map(Tensor::zeros_like).collect();
        let mut batches = 0;
        for input in inputs {
            buffers.iter().for_each(|buffer| drop(buffer.shallow_clone().zero_()));
            forward(&input);
            sums.iter_mut().zip(&buffers).for_each(|(sum, buffer)| *sum += buffer);
            batches += 1;
        }
        if batches > 0 {
            let scale = 1.0 / (MOMENTUM * f64::from(batches));
            buffers.iter().zip(sums).for_each(|(buffer, sum)| buffer.shallow_clone().copy_(&(sum * scale)));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::norm::BatchNorm;
    use crate::model::params::Scope;
    use tch::Device;

    #[test]
    fn statistics_become_those_of_the_inputs() {
        let mut registry = Registry::default();
        let norm = BatchNorm::new(Scope::root(&mut registry, 1, Kind::Double, Device::Cpu), 2, 1.0);
        let values: Vec<f64> = (0..48).map(|i| f64::from(i * i % 17)).collect();
        let all = Tensor::from_slice(&values).view([3, 8, 2]);
        let batches = || (0..3).map(|i| all.select(0, i));
        recalibrate(&registry, batches(), |x| drop(norm.forward(x, true)));
        let mean = all.mean_dim([0, 1].as_slice(), false, None::<Kind>);
        let variances: Vec<Tensor> = batches().map(|x| x.var_dim([0].as_slice(), true, false)).collect();
        let variance = Tensor::stack(&variances, 0).mean_dim([0].as_slice(), false, None::<Kind>);
        for (name, expected) in [("running_mean", mean), ("running_var", variance)] {
            let off = (registry.get(name).unwrap() - expected).abs().max().double_value(&[]);
            assert!(off < 1e-12, "{name} is off by {off}");
        }
    }
}
