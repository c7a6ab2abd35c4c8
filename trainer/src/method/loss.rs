//! Cosine and contrastive losses, and the watch against collapse. All in float32 at least; targets
//! never get a gradient.

use model::cluster::Clusters;
use model::numeric::{at_least_f32, unit};
use native::Ranks;
use tch::{Kind, Tensor};

/// Global average pooling: `[n, c, h, w]` to `[n, c]`.
pub(crate) fn pool(map: &Tensor) -> Tensor {
    map.mean_dim([2, 3].as_slice(), false, None::<Kind>)
}

/// Equations 1 and 10: mean of −cos(prediction, target) over everything but axis 1; `[n, d]` or
/// `[n, d, h, w]`.
pub(crate) fn neg_cos(prediction: &Tensor, target: &Tensor) -> Tensor {
    let cos = unit(&at_least_f32(prediction), 1) * unit(&at_least_f32(&target.detach()), 1);
    -cos.sum_dim_intlist(1, false, None::<Kind>)
        .mean(None::<Kind>)
}

/// Table 3b, "dense": the mean over cells i of the mean of −cos(Q_i, R'_j) over the cells j in the
/// cluster of i.
pub(crate) fn neg_cos_dense(prediction: &Tensor, target: &Tensor, clusters: &Clusters) -> Tensor {
    let q = unit(&at_least_f32(prediction).flatten(2, -1), 1); // [n, d, p]
    let r = unit(&at_least_f32(&target.detach()).flatten(2, -1), 1); // [n, d, p]
    let members = clusters.membership(q.kind()); // [n, p, k]
    let same = members.bmm(&members.transpose(1, 2)); // [n, p, p]
    let sum = |t: Tensor| t.sum_dim_intlist(-1, false, None::<Kind>);
    let cos = q.transpose(1, 2).bmm(&r);
    -(sum(cos * &same) / sum(same)).mean(None::<Kind>)
}

/// InfoNCE (He et al., "Momentum Contrast", 2020, equation 1), mean over the batch: −log of the
/// share of exp(q·k⁺/T) among that of all keys. Queries and their `positives` are `[n, d]` and
/// L2-normalised here; `negatives` are unit rows `[m, d]`.
pub(crate) fn info_nce(
    queries: &Tensor,
    positives: &Tensor,
    negatives: &Tensor,
    temperature: f64,
) -> Tensor {
    let q = unit(&at_least_f32(queries), 1);
    let k = unit(&at_least_f32(&positives.detach()), 1);
    let positive = (&q * k).sum_dim_intlist(1, true, None::<Kind>); // q·k⁺, [n, 1]
    let negative = q.matmul(&negatives.to_kind(q.kind()).tr()); // [n, m]
    let logits = Tensor::cat(&[&positive, &negative], 1) / temperature; // [n, 1 + m]
    (logits.logsumexp([1].as_slice(), false) - logits.select(1, 0)).mean(None::<Kind>)
}

/// Standard deviation over the rows of L2-normalised `[m, d]` of all ranks, times √d, mean over
/// channels: 1 when uniform on the sphere, 0 when collapsed to a point. Detached.
pub(crate) fn spread(rows: &Tensor, ranks: &Ranks) -> Tensor {
    let rows = unit(&at_least_f32(&rows.detach()), 1);
    let d = rows.size()[1] as f64;
    let std = match ranks.are_several() {
        false => rows.std_correction(0, 0, false),
        true => {
            let dim = [0].as_slice();
            let mean = |x: &Tensor| x.mean_dim(dim, false, None::<Kind>);
            let here = Tensor::stack(&[mean(&rows), rows.var_correction(0, 0, false)], 0);
            let all = ranks.gather(&here.unsqueeze(0)); // [ranks, 2, d]
            // Within the ranks, and between them: all have as many rows.
            let between = all.select(1, 0).var_correction(0, 0, false);
            (mean(&all.select(1, 1)) + between).sqrt()
        }
    };
    std.mean(None::<Kind>) * d.sqrt()
}

/// [`spread`] of the cells of maps `[n, d, h, w]`.
pub(crate) fn spread_of_cells(maps: &Tensor, ranks: &Ranks) -> Tensor {
    let d = maps.size()[1];
    spread(&maps.detach().permute([0, 2, 3, 1]).reshape([-1, d]), ranks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn spread_is_one_on_the_sphere_and_zero_when_collapsed() {
        // 4096 vectors in 64 dimensions, sums of twelve uniform draws of a linear congruential
        // generator
        let mut state = 1u64;
        let mut draw = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / (1u64 << 24) as f64
        };
        let values: Vec<f64> = (0..4096 * 64)
            .map(|_| (0..12).map(|_| draw()).sum::<f64>() - 6.0)
            .collect();
        let rows = Tensor::from_slice(&values).view([4096, 64]);
        let alone = Ranks::alone();
        let whole = spread(&rows, &alone).double_value(&[]);
        assert!((whole - 1.0).abs() < 0.01);
        let parts: Vec<Vec<f64>> = (0..4)
            .map(|part| Vec::try_from(rows.narrow(0, 1024 * part, 1024).reshape([-1])).unwrap())
            .collect();
        let found = Ranks::in_threads(4, |ranks| {
            let mine = Tensor::from_slice(&parts[ranks.rank()]).view([1024, 64]);
            spread(&mine, ranks).double_value(&[])
        });
        assert!(
            found.iter().all(|found| (found - whole).abs() < 1e-12),
            "{found:?}"
        );
        let one_point = Tensor::ones([32, 64], (Kind::Float, Device::Cpu)) * 3.0;
        assert!(spread(&one_point, &alone).double_value(&[]) < 1e-6);
        assert_eq!(
            spread(&Tensor::ones([1, 8], (Kind::Float, Device::Cpu)), &alone).double_value(&[]),
            0.0
        );
    }

    #[test]
    fn infonce_is_the_log_of_the_number_of_keys_when_all_are_alike() {
        let rows = |n| Tensor::from_slice(&[0.6, 0.8]).repeat([n, 1]);
        let alike = info_nce(&rows(3), &rows(3), &rows(9), 0.2).double_value(&[]);
        assert!((alike - 10f64.ln()).abs() < 1e-12, "{alike}");
        let opposite = info_nce(&rows(3), &rows(3), &-rows(9), 0.2).double_value(&[]);
        assert!(
            (opposite - (1.0 + 9.0 * (-10f64).exp()).ln()).abs() < 1e-12,
            "{opposite}"
        );
    }

    #[test]
    fn cosine_loss_reaches_minus_one_and_ignores_scale() {
        let x = Tensor::from_slice(&[1.0, 2.0, -3.0, 0.5]).view([2, 2]);
        assert!((neg_cos(&x, &(&x * 7.0)).double_value(&[]) + 1.0).abs() < 1e-12);
        assert_eq!(neg_cos(&x, &Tensor::zeros_like(&x)).double_value(&[]), 0.0);
    }
}
