//! What a run will need of memory, before it starts: an estimate within some tens of percent.
//!
//! Two things fill a GPU: the networks with what belongs to them, and the maps that the backward
//! pass needs again. Those are of one view, since the directions follow one another (`method`'s
//! `Pass`); the target network keeps none.

use model::device::Precision;
use model::{Filters, ModelConfig};
use serde::Serialize;

use crate::config::RunConfig;
use crate::method::Method;

/// What a GPU holds, in GB as its maker counts, and the share of it that this estimate may fill. The
/// rest is for the CUDA context, cuDNN's workspaces, and what lies between the allocator's blocks.
const GPUS_GB: [u64; 4] = [24, 40, 80, 141];
const USABLE: f64 = 0.93;
/// Batches are given in multiples of this.
const BATCH_STEP: u64 = 64;

/// Bytes by what they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct MemoryEstimate {
    /// Both networks, queue and momentum, each twice (`gate`), and gradients, these too twice among
    /// ranks; in bf16 also the weights that autocast has rounded.
    pub(crate) networks: u64,
    /// Both views of a batch, as bytes and normalised, and the next batch's.
    pub(crate) views: u64,
    /// Maps of one view that the backward pass reads.
    pub(crate) maps: u64,
    /// Pinned slots of the loader, in main memory.
    pub(crate) slots: u64,
}

impl MemoryEstimate {
    /// Of one of `ranks` of the run that `config` describes; `method` has been built from it.
    pub(crate) fn of(config: &RunConfig, method: &Method, ranks: u64) -> Self {
        let held: usize = method
            .state()
            .iter()
            .map(|(_, tensor)| tensor.numel() * tensor.kind().elt_size_in_bytes())
            .sum();
        let momentum = 4 * method.params().num_parameters();
        let gradients = if ranks > 1 { 2 * momentum } else { momentum };
        let (element, rounded) = match config.optim.precision {
            Precision::Bf16 => (2, momentum / 2),
            _ => (4, 0),
        };
        let pairs = config.data.batch;
        let side = u64::from(config.augment.view_px);
        let values = 2 * side * side * 3;
        Self {
            // The gate keeps a copy of all that a step changes.
            networks: (2 * (held + momentum) + gradients + rounded) as u64,
            // Those of the next batch come while a step computes.
            views: pairs * values * (1 + 2 * element),
            maps: pairs * element * elements_of_view(&config.model, side, element),
            slots: config.data.depth * pairs * values,
        }
    }

    /// Bytes on the device.
    pub(crate) fn on_device(&self) -> u64 {
        self.networks + self.views + self.maps
    }

    /// GPUs by their memory in GB, and the largest batch that each holds; this estimate is for
    /// batches of `pairs`.
    pub(crate) fn largest_batches(&self, pairs: u64) -> [(u64, u64); GPUS_GB.len()] {
        let of_pair = (self.views + self.maps) / pairs;
        GPUS_GB.map(|gb| {
            let free = (gb as f64 * 1e9 * USABLE) as u64;
            let batch = free.saturating_sub(self.networks) / of_pair;
            (gb, batch / BATCH_STEP * BATCH_STEP)
        })
    }
}

/// Elements, of `element` bytes, that the backward pass needs of one view: of every layer what the filters give, which
/// the batch norm reads, and what the ReLU leaves, which the next filters read; of a shortcut the
/// first alone; of the heads the same a cell.
fn elements_of_view(model: &ModelConfig, side: u64, element: u64) -> u64 {
    let mut side = side.div_ceil(2);
    let mut sum = 2 * 64 * side * side;
    side = side.div_ceil(2);
    // The pooled map, and where its values come from, in 64 bits.
    sum += 64 * side * side * (1 + 8 / element);
    let mut channels_in = 64;
    let strides = [1, 2, model.layer3_stride as u64, model.layer4_stride as u64];
    for (stage, (blocks, stride)) in model.arch.blocks().into_iter().zip(strides).enumerate() {
        let channels_out = model.arch.channels_of(stage);
        for block in 0..blocks {
            let before = side * side;
            side = if block == 0 {
                side.div_ceil(stride)
            } else {
                side
            };
            let after = side * side;
            sum += elements_of_block(&model.arch.layers(stage, channels_in), before, after);
            if channels_in != channels_out || before != after {
                sum += channels_out as u64 * after;
            }
            channels_in = channels_out;
        }
    }
    // Projector and predictor, for the pooled vector and every cell: two maps of the hidden width
    // each, and an output that the loss takes in 32 bits.
    let heads = 2 * (2 * model.hidden as u64 + model.dim as u64 * (1 + 4 / element));
    sum + (side * side + 1) * heads
}

/// What the layers of a block give, twice: `before` the filters that have the stride in as many cells
/// as the block reads, and in `after` cells from them on.
fn elements_of_block(layers: &[Filters], before: u64, after: u64) -> u64 {
    let strided = layers.iter().position(|filters| filters.strided);
    let maps = layers.iter().enumerate().map(|(ix, filters)| {
        let cells = if Some(ix) < strided { before } else { after };
        2 * filters.channels_out as u64 * cells
    });
    maps.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Arch;
    use tch::{Device, Kind};

    fn of_papers_run(precision: Precision) -> MemoryEstimate {
        let mut config = RunConfig::default();
        assert_eq!(
            (config.model.arch, config.data.batch),
            (Arch::Resnet50, 1024)
        );
        config.optim.precision = precision;
        let method =
            crate::method::build(&config.method, &config.model, Device::Cpu, Kind::Float, 0);
        MemoryEstimate::of(&config, &method.unwrap(), 1)
    }

    #[test]
    fn the_papers_batch_fits_80_gb_in_bf16() {
        let estimate = of_papers_run(Precision::Bf16);
        let gb = estimate.on_device() as f64 / 1e9;
        assert!((46.0..52.0).contains(&gb), "{gb}");
        let fits = estimate.largest_batches(1024);
        assert_eq!(fits.map(|(gb, _)| gb), [24, 40, 80, 141]);
        let of_80 = fits[2].1;
        assert!((1024..2048).contains(&of_80), "{of_80}");
    }

    #[test]
    fn a_batch_that_fits_needs_less_than_the_gpu_has_and_the_next_more() {
        for precision in [Precision::Bf16, Precision::Fp32] {
            let estimate = of_papers_run(precision);
            let needs =
                |pairs: u64| estimate.networks + (estimate.views + estimate.maps) / 1024 * pairs;
            for (gb, batch) in estimate.largest_batches(1024) {
                let usable = (gb as f64 * 1e9 * USABLE) as u64;
                assert!(needs(batch) <= usable && usable < needs(batch + 64));
            }
        }
    }

    #[test]
    fn a_resnet_50_keeps_some_22_million_elements_of_a_view_of_224_pixels() {
        let backbone = ModelConfig {
            hidden: 0,
            dim: 0,
            ..ModelConfig::default()
        };
        let millions = elements_of_view(&backbone, 224, 4) as f64 / 1e6;
        assert!((20.0..26.0).contains(&millions), "{millions}");
        let quarter = elements_of_view(&backbone, 112, 4) as f64 / 1e6;
        assert!((3.9..4.1).contains(&(millions / quarter)), "{quarter}");
    }
}
