//! Where a measured step takes its pairs from: the loader, or memory that holds them already.
//!
//! Made-up pairs are random bytes with random flips and boxes that overlap, in page-locked memory
//! if there is a GPU: a few batches in turns, so that no cache remembers them. They are the same in
//! every process.

use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result};
use model::random::{stream, unit};
use native::Ranks;
use native::torch;
use rand_chacha::rand_core::Rng;
use sampler::{Batches, Cursor};
use tch::{Device, Kind, Tensor};

use crate::config::RunConfig;
use crate::run::{BOX_VALUES, FixedBatch, HostBatch, open_sampler};

/// Made-up batches, in turns.
const TURNS: u64 = 3;
/// Crop of the first view in a frame of the second size: x, y, width, height. The second view's
/// lies up to [`SHIFT`] pixels off in each.
const CROP: [f32; 4] = [200.0, 100.0, 900.0, 800.0];
const FRAME: [f32; 2] = [1920.0, 1280.0];
const SHIFT: f64 = 80.0;

/// An endless sequence of batches.
pub(super) enum Source {
    /// From shards.
    Loader(Batches),
    /// From memory.
    Memory {
        /// What there is.
        batches: Vec<Rc<FixedBatch>>,
        /// Batches taken so far.
        taken: usize,
    },
}

impl Source {
    /// The loader of `config` over the set `shards`, or made-up batches of its sizes.
    ///
    /// # Errors
    /// No such set, or one with fewer frames than a batch has; not enough memory.
    pub(super) fn new(shards: Option<&Path>, config: &RunConfig, device: Device) -> Result<Self> {
        match shards {
            Some(shards) => {
                let sampler = open_sampler(&Ranks::alone(), shards, config, device)?;
                Ok(Source::Loader(sampler.start(Cursor::default())?))
            }
            None => {
                let made = (0..TURNS).map(|turn| made_up(config, turn, device).map(Rc::new));
                Ok(Source::Memory {
                    batches: made.collect::<Result<_>>()?,
                    taken: 0,
                })
            }
        }
    }

    /// `loader` or `memory`.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Source::Loader(_) => "loader",
            Source::Memory { .. } => "memory",
        }
    }

    /// The next batch, waited for.
    ///
    /// # Errors
    /// Those of the loader.
    pub(super) fn next_batch(&mut self) -> Result<Box<dyn HostBatch>> {
        match self {
            Source::Loader(batches) => {
                let batch = batches.next().context("the loader has stopped")?;
                Ok(Box::new(batch.context("loading a batch")?))
            }
            Source::Memory { batches, taken } => {
                *taken += 1;
                Ok(Box::new(Rc::clone(&batches[*taken % batches.len()])))
            }
        }
    }
}

fn made_up(config: &RunConfig, turn: u64, device: Device) -> Result<FixedBatch> {
    let (n, side) = (config.data.batch as i64, i64::from(config.augment.view_px));
    let shape = [2, n, side, side, 3];
    let mut rng = stream(config.seed, turn);
    let mut bytes = vec![0; shape.iter().product::<i64>() as usize];
    rng.fill_bytes(&mut bytes);
    let views = Tensor::f_from_data_size(&bytes, &shape, Kind::Uint8).map_err(torch)?;
    let mut boxes = Vec::with_capacity(n as usize * 2 * BOX_VALUES);
    for view in (0..n).flat_map(|_| 0..2) {
        let shift = if view == 0 { 0.0 } else { SHIFT };
        boxes.extend(CROP.map(|value| value + (shift * unit(&mut rng)) as f32));
        boxes.extend(FRAME);
        boxes.push(f32::from(u8::from(unit(&mut rng) < 0.5)));
    }
    FixedBatch::new(
        &views,
        &Tensor::from_slice(&boxes).view([n, 2, BOX_VALUES as i64]),
        device,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_batches_take_turns_and_differ() {
        let mut config = RunConfig::default();
        (config.data.batch, config.augment.view_px) = (5, 32);
        let mut source = Source::new(None, &config, Device::Cpu).unwrap();
        let drawn = [(); TURNS as usize + 1].map(|()| source.next_batch().unwrap());
        assert!(drawn[0].view(0).as_ptr() == drawn[TURNS as usize].view(0).as_ptr());
        assert!(drawn[0].view(0) != drawn[1].view(0) && drawn[0].view(0) != drawn[0].view(1));
        let boxes = drawn[0].boxes();
        assert_eq!(boxes.len(), 5 * 2 * BOX_VALUES);
        assert!(
            boxes[..4] == CROP
                && boxes[7..11]
                    .iter()
                    .zip(CROP)
                    .all(|(b, c)| (0.0..80.0).contains(&(b - c)))
        );
        assert!(
            boxes
                .iter()
                .skip(6)
                .step_by(BOX_VALUES)
                .any(|flip| *flip == 1.0)
        );
    }
}
