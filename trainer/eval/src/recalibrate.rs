//! Batch-norm statistics made anew for other images than those of training: clean ones, at another
//! size.
//!
//! The statistics of a training run belong to augmented crops. Each batch's own are what one pass
//! adds to zeroed buffers; the mean over all batches becomes the running value ("precise BN" of
//! Detectron2). Several ranks share the batches, and add in the order in which one would.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use draw::Canvas;
use model::device::normalised;
use model::files::weights::Backbone;
use model::{MOMENTUM, Registry, Role};
use native::Ranks;
use sampler::FrameError;
use sampler::frames::Frames;
use sampler::pixels::decode::Decoder;
use tch::{Device, Kind, Tensor, no_grad};

use crate::frames::shown_size;

/// Frames that [`on_frames`] looks at, and how many together.
const NUM_FRAMES: usize = 512;
const BATCH: usize = 32;

/// Replaces the running means and variances of `registry` by those over `num_batches`, each of more
/// than one value a channel. Batch `ix` is an input of rank `ix` modulo the number of ranks:
/// `inputs` are this rank's, in order. `forward` runs the network in training mode, whose batch norms
/// look at one rank's batch. Without batches, nothing changes.
pub fn recalibrate(
    registry: &Registry,
    (ranks, num_batches): (&Ranks, usize),
    mut inputs: impl Iterator<Item = Tensor>,
    forward: impl Fn(&Tensor),
) {
    let is_statistic = |tensor: &Tensor| tensor.kind() != Kind::Int64; // the other buffers count batches
    let entries = registry
        .entries()
        .iter()
        .filter(|entry| entry.role == Role::Buffer && is_statistic(&entry.tensor));
    let buffers: Vec<Tensor> = entries.map(|entry| entry.tensor.shallow_clone()).collect();
    if num_batches == 0 {
        return;
    }
    // Adds the statistics of `input`, or nothing, to those of no batch.
    let own = |input: Option<Tensor>| {
        buffers
            .iter()
            .for_each(|buffer| drop(buffer.shallow_clone().zero_()));
        input.iter().for_each(&forward);
        flat(&buffers)
    };
    no_grad(|| {
        let mut sum = flat(&buffers).zeros_like(); // [values of all buffers]
        for _ in 0..num_batches.div_ceil(ranks.size()) {
            let of_ranks = ranks.gather(&own(inputs.next()).unsqueeze(0)); // [ranks, values]
            of_ranks.unbind(0).iter().for_each(|of_rank| sum += of_rank);
        }
        let mean = sum * (1.0 / (MOMENTUM * num_batches as f64));
        let sizes: Vec<i64> = buffers.iter().map(|buffer| buffer.numel() as i64).collect();
        let means = mean.split_with_sizes(&sizes, 0);
        for (buffer, mean) in buffers.iter().zip(means) {
            buffer.shallow_clone().copy_(&mean.view_as(buffer));
        }
    });
}

/// All values in one row.
fn flat(buffers: &[Tensor]) -> Tensor {
    let rows: Vec<Tensor> = buffers.iter().map(|buffer| buffer.view([-1])).collect();
    Tensor::cat(&rows, 0)
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
    let all = (&Ranks::alone(), batches.len());
    recalibrate(&backbone.registry, all, inputs, |input| {
        drop(backbone.net.forward(input, true))
    });
    Ok(batches.iter().map(|batch| batch.len()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{BatchNorm, Scope};
    use native::After;

    /// Three batches of eight rows of two channels.
    fn batches() -> Vec<Tensor> {
        let values: Vec<f64> = (0..48).map(|i| f64::from(i * i % 17)).collect();
        Tensor::from_slice(&values).view([3, 8, 2]).unbind(0)
    }

    /// Running mean and variance of a batch norm whose statistics are made anew by `ranks`.
    fn statistics(ranks: &Ranks) -> [Tensor; 2] {
        let mut registry = Registry::default();
        let norm = BatchNorm::new(
            Scope::root(&mut registry, 1, Kind::Double, Device::Cpu),
            2,
            1.0,
        );
        let all = batches();
        let mine = all.iter().skip(ranks.rank()).step_by(ranks.size());
        let inputs = mine.map(Tensor::shallow_clone);
        recalibrate(&registry, (ranks, all.len()), inputs, |x| {
            drop(norm.forward(x, After::Nothing, true))
        });
        ["running_mean", "running_var"].map(|name| registry.get(name).unwrap().shallow_clone())
    }

    #[test]
    fn statistics_become_those_of_the_inputs() {
        let stacked = Tensor::stack(&batches(), 0);
        let mean = stacked.mean_dim([0, 1].as_slice(), false, None::<Kind>);
        let variances: Vec<Tensor> = batches()
            .iter()
            .map(|x| x.var_dim([0].as_slice(), true, false))
            .collect();
        let variance = Tensor::stack(&variances, 0).mean_dim([0].as_slice(), false, None::<Kind>);
        let found = statistics(&Ranks::alone());
        for (found, expected) in found.into_iter().zip([mean, variance]) {
            let off = (found - expected).abs().max().double_value(&[]);
            assert!(off < 1e-12, "off by {off}");
        }
    }

    #[test]
    fn several_ranks_make_the_statistics_of_one() {
        let expected = statistics(&Ranks::alone());
        for size in [1, 2, 4] {
            for (rank, found) in Ranks::in_threads(size, statistics).iter().enumerate() {
                assert_eq!(found, &expected, "rank {rank} of {size}");
            }
        }
    }
}
