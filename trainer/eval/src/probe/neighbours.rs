//! Nearest neighbours of pooled features: which classes does an image show?
//!
//! Nothing is trained. The pooled C5 features of training and test images are standardised and
//! compared by cosine; each test image asks its neighbours, weighted by exp(cos / T), whether a
//! class is there. The score is mean average precision over the classes that some test images show
//! and others do not.

use tch::{Kind, Tensor};

/// Neighbours that vote, and how much closer ones count (Wu et al., 2018: T = 0.07).
const NEIGHBOURS: i64 = 20;
const TEMPERATURE: f64 = 0.07;

/// A class is there when it covers this share of an image.
const PRESENT: f64 = 0.005;

/// Mean average precision in percent, of the pooled features `[n, c]` of both splits and the class
/// shares `[n, 19, rows, columns]` of their images; `None` if no class tells the test images apart.
pub(crate) fn mean_average_precision(
    train: &Tensor,
    train_shares: &Tensor,
    test: &Tensor,
    test_shares: &Tensor,
) -> Option<f64> {
    let cpu = |t: &Tensor| t.to_device(tch::Device::Cpu);
    let (reference, asked) = (cpu(train), cpu(test));
    let mean = reference.mean_dim([0].as_slice(), true, None::<Kind>);
    let std = reference
        .std_dim([0].as_slice(), false, true)
        .clamp_min(1e-12);
    let unit = |t: Tensor| {
        let t = (t - &mean) / &std;
        &t / t
            .norm_scalaropt_dim(2.0, [1].as_slice(), true)
            .clamp_min(1e-12)
    };
    let cosines = unit(asked).matmul(&unit(reference).transpose(0, 1)); // [test, train]
    let (cosines, nearest) = cosines.topk(NEIGHBOURS.min(train_shares.size()[0]), 1, true, true);
    let weights = (cosines / TEMPERATURE).softmax(1, Kind::Float);
    let neighbours = present(train_shares).index_select(0, &nearest.view([-1]));
    let (n, k) = nearest.size2().expect("neighbours of each image");
    let votes = (neighbours.view([n, k, -1]) * weights.unsqueeze(2)).sum_dim_intlist(
        [1].as_slice(),
        false,
        Kind::Float,
    );

    let truth = present(test_shares);
    let precisions: Vec<f64> = (0..truth.size()[1])
        .filter_map(|class| {
            let values = |t: &Tensor| Vec::<f32>::try_from(t.select(1, class)).expect("floats");
            average_precision(&values(&votes), &values(&truth))
        })
        .collect();
    let num = precisions.len();
    (num > 0).then(|| 100.0 * precisions.iter().sum::<f64>() / num as f64)
}

/// 1 where a class covers enough of an image, else 0: `[n, 19]`.
fn present(shares: &Tensor) -> Tensor {
    shares
        .mean_dim([2, 3].as_slice(), false, None::<Kind>)
        .ge(PRESENT)
        .to_kind(Kind::Float)
}

/// Mean precision at the rank of every positive, best votes first; `None` if all or none are
/// positive.
fn average_precision(votes: &[f32], truth: &[f32]) -> Option<f64> {
    let mut order: Vec<usize> = (0..votes.len()).collect();
    order.sort_by(|&a, &b| votes[b].total_cmp(&votes[a]));
    let positives = truth.iter().filter(|&&t| t > 0.5).count();
    if positives == 0 || positives == truth.len() {
        return None;
    }
    let (mut hits, mut sum) = (0, 0.0);
    for (rank, &ix) in (1..).zip(&order) {
        if truth[ix] > 0.5 {
            hits += 1;
            sum += f64::from(hits) / f64::from(rank);
        }
    }
    Some(sum / positives as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn average_precision_is_the_textbook_one() {
        // Ranks 1 and 3 are hits: (1/1 + 2/3) / 2.
        assert_eq!(
            average_precision(&[0.9, 0.8, 0.7, 0.1], &[1.0, 0.0, 1.0, 0.0]),
            Some((1.0 + 2.0 / 3.0) / 2.0)
        );
        assert_eq!(average_precision(&[0.9, 0.8], &[1.0, 1.0]), None);
        assert_eq!(average_precision(&[0.9, 0.8], &[0.0, 0.0]), None);
    }

    /// Shares of images of one cell, in which a class covers just enough of the pixels or just too few.
    fn images(classes: &[&[i64]]) -> Tensor {
        let shape = [classes.len() as i64, 19, 1, 1];
        let shares = Tensor::full(shape, 0.0049, (Kind::Float, tch::Device::Cpu));
        for (ix, shown) in classes.iter().enumerate() {
            for &class in *shown {
                let _ = shares.get(ix as i64).get(class).fill_(0.0051);
            }
        }
        shares
    }

    fn features(rows: &[[f32; 2]]) -> Tensor {
        Tensor::from_slice2(rows)
    }

    #[test]
    fn neighbours_vote_in_standardised_directions() {
        // Around (10, 0), a hundred times as far down as across: right, left, up, down.
        let train = features(&[[13.0, 0.0], [7.0, 0.0], [10.0, 100.0], [10.0, -100.0]]);
        let shown = images(&[&[0], &[1], &[2], &[]]);
        // Right; up and a little right; left.
        let test = features(&[[12.0, 10.0], [11.0, 60.0], [8.0, -5.0]]);
        // Votes for class 0 rank the images 0, 1, 2; for 1 the last is first; for 2 they are 1, 0, 2.
        let truth = images(&[&[0, 2], &[], &[0, 1]]);
        let found = mean_average_precision(&train, &shown, &test, &truth).unwrap();
        let expected = 100.0 * ((1.0 + 2.0 / 3.0) / 2.0 + 1.0 + 1.0 / 2.0) / 3.0;
        assert!((found - expected).abs() < 1e-9, "{found}, {expected}");
        let alike = images(&[&[0], &[0], &[0]]);
        let none = mean_average_precision(&train, &shown, &test, &alike);
        assert_eq!(none, None, "no class tells them apart");
    }
}
