//! What a run will need of memory, before it starts: an estimate within some tens of percent.
//!
//! Two things fill a GPU: the networks with what belongs to them, and the maps that the backward
//! pass needs again. Both views' maps of the online network are alive at once, because the loss is
//! symmetric; the target keeps none.

use model::device::Precision;
use model::{Filters, ModelConfig};
use serde::Serialize;

use crate::config::RunConfig;
use crate::method::Method;

/// Bytes by what they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct MemoryEstimate {
    /// Both networks, queue and momentum, each twice (`gate`), and gradients.
    pub(crate) networks: u64,
    /// Maps of both views that the backward pass reads.
    pub(crate) maps: u64,
    /// Pinned slots of the loader, in main memory.
    pub(crate) slots: u64,
}

impl MemoryEstimate {
    /// Of the run that `config` describes; `method` has been built from it.
    pub(crate) fn of(config: &RunConfig, method: &Method) -> Self {
        let held: usize = method
            .state()
            .iter()
            .map(|(_, tensor)| tensor.numel() * tensor.kind().elt_size_in_bytes())
            .sum();
        let momentum = 4 * method.params().num_parameters();
        let gradients = momentum;
        let element = if config.optim.precision == Precision::Bf16 {
            2
        } else {
            4
        };
        let pairs = config.data.batch;
        let side = u64::from(config.augment.view_px);
        Self {
            // The gate keeps a copy of all that a step changes.
            networks: (2 * (held + momentum) + gradients) as u64,
            maps: 2 * pairs * element * elements_of_view(&config.model, side),
            slots: config.data.depth * pairs * 2 * side * side * 3,
        }
    }
}

/// Elements that the backward pass needs of one view: of every layer what the filters give, which
/// the batch norm reads, and what the ReLU leaves, which the next filters read; of a shortcut the
/// first alone; of the heads the same a cell.
fn elements_of_view(model: &ModelConfig, side: u64) -> u64 {
    let mut side = side.div_ceil(2);
    let mut sum = 2 * 64 * side * side;
    side = side.div_ceil(2);
    // The pooled map, and where its values come from, in 64 bits.
    sum += 64 * side * side * 3;
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
    // and an output each.
    let heads = 2 * (3 * model.hidden + 2 * model.dim) as u64;
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

    #[test]
    fn a_resnet_50_keeps_some_22_million_elements_of_a_view_of_224_pixels() {
        let backbone = ModelConfig {
            hidden: 0,
            dim: 0,
            ..ModelConfig::default()
        };
        let millions = elements_of_view(&backbone, 224) as f64 / 1e6;
        assert!((20.0..26.0).contains(&millions), "{millions}");
        let quarter = elements_of_view(&backbone, 112) as f64 / 1e6;
        assert!((3.9..4.1).contains(&(millions / quarter)), "{quarter}");
    }
}
