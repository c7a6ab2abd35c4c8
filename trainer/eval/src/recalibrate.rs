//! Batch-norm statistics made anew for other images than those of training: clean ones, at another
//! size.
//!
//! The statistics of a training run belong to augmented crops. Each batch's own are what one pass
//! adds to zeroed buffers; the mean over all batches becomes the running value ("precise BN" of
//! Detectron2).

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use draw::Canvas;
use model::device::normalised;
use model::files::weights::Backbone;
use model::{MOMENTUM, Registry, Role};
use sampler::FrameError;
use sampler::frames::Frames;
use sampler::pixels::decode::Decoder;
use tch::{Device, Kind, Tensor, no_grad};

use crate::frames::shown_size;

/// Frames that [`on_frames`] looks at, and how many together.
const NUM_FRAMES: usize = 512;
const BATCH: usize = 32;

/// Replaces the running means and variances of `registry` by those over all `inputs`, each one
/// batch (of more than one value a channel). `forward` runs the network in training mode. Without
/// inputs, nothing changes.
pub fn recalibrate(
    registry: &Registry,
    inputs: impl Iterator<Item = Tensor>,
    forward: impl Fn(&Tensor),
) {
    let is_statistic = |tensor: &Tensor| tensor.kind() != Kind::Int64; // the other buffers count batches
    let entries = registry
        .entries()
        .iter()
        .filter(|entry| entry.role == Role::Buffer && is_statistic(&entry.tensor));
    let buffers: Vec<Tensor> = entries.map(|entry| entry.tensor.shallow_clone()).collect();
    no_grad(|| {
        let mut sums: Vec<Tensor> = buffers.iter().map(Tensor::zeros_like).collect();
        let mut batches = 0;
        for input in inputs {
            buffers
                .iter()
                .for_each(|buffer| drop(buffer.shallow_clone().zero_()));
            forward(&input);
            sums.iter_mut()
                .zip(&buffers)
                .for_each(|(sum, buffer)| *sum += buffer);
            batches += 1;
        }
        if batches > 0 {
            let scale = 1.0 / (MOMENTUM * f64::from(batches));
            buffers
                .iter()
                .zip(sums)
                .for_each(|(buffer, sum)| buffer.shallow_clone().copy_(&(sum * scale)));
        }
    });
}

/// Gives `backbone` the statistics of whole frames, evenly spread over a set, about `height` pixels
/// high. Frames pass in batches of one size; broken ones, and sizes that only one frame has, are
/// left out. Returns how many frames passed.
///
/// # Errors
/// If no batch comes together, or the set cannot be read.
pub fn on_frames(
    backbone: &Backbone,
    cell_px: i64,
    frames: &Frames,
    height: i64,
    device: Device,
) -> Result<usize> {
    let mut decoder = Decoder::new()?;
    let mut by_size: BTreeMap<(u32, u32), Vec<Canvas>> = BTreeMap::new();
    for frame in frames.spread(NUM_FRAMES) {
        let frame = frames.stored(frame);
        let size = shown_size(frame.size(), height, cell_px);
        let picture = match frame.picture(&mut decoder, size.min_side()) {
            Ok(picture) => picture,
            Err(FrameError::Broken(_)) => continue,
            Err(FrameError::Set(error)) => return Err(error.into()),
        };
        by_size
            .entry((size.height, size.width))
            .or_default()
            .push(Canvas::from(picture).resized(size));
    }
    let batches: Vec<&[Canvas]> = by_size
        .values()
        .flat_map(|pictures| pictures.chunks(BATCH))
        .filter(|batch| batch.len() > 1)
        .collect();
    ensure!(
        !batches.is_empty(),
        "no two whole frames of one size to recalibrate the batch norms with"
    );
    let inputs = batches.iter().map(|batch| {
        let size = batch[0].size();
        let rgb: Vec<u8> = batch.iter().flat_map(Canvas::rgb).copied().collect();
        let bytes =
            Tensor::from_slice(&rgb).view([-1, i64::from(size.height), i64::from(size.width), 3]);
        normalised(&bytes, device)
    });
    recalibrate(&backbone.registry, inputs, |input| {
        drop(backbone.net.forward(input, true))
    });
    Ok(batches.iter().map(|batch| batch.len()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{BatchNorm, Scope};
    use native::After;

    #[test]
    fn statistics_become_those_of_the_inputs() {
        let mut registry = Registry::default();
        let norm = BatchNorm::new(
            Scope::root(&mut registry, 1, Kind::Double, Device::Cpu),
            2,
            1.0,
        );
        let values: Vec<f64> = (0..48).map(|i| f64::from(i * i % 17)).collect();
        let all = Tensor::from_slice(&values).view([3, 8, 2]);
        let batches = || (0..3).map(|i| all.select(0, i));
        recalibrate(&registry, batches(), |x| {
            drop(norm.forward(x, After::Nothing, true))
        });
        let mean = all.mean_dim([0, 1].as_slice(), false, None::<Kind>);
        let variances: Vec<Tensor> = batches()
            .map(|x| x.var_dim([0].as_slice(), true, false))
            .collect();
        let variance = Tensor::stack(&variances, 0).mean_dim([0].as_slice(), false, None::<Kind>);
        for (name, expected) in [("running_mean", mean), ("running_var", variance)] {
            let off = (registry.get(name).unwrap() - expected)
                .abs()
                .max()
                .double_value(&[]);
            assert!(off < 1e-12, "{name} is off by {off}");
        }
    }
}
