//! Which cells the clusters start from (RECIPE 3.5): by rule, or drawn.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tch::{Kind, Tensor};

use super::distance::{comparable, distances, gather_rows};
use super::knobs::{Draw, KMeans, Seeds};

impl Draw {
    /// `k` distinct numbers below `num_points` for each of `n` images, one image after the other: a
    /// partial shuffle of 0, 1, … by a ChaCha8 stream whose key is `seed` and `number`,
    /// little-endian, then zeros. The draws of the images before them are skipped.
    fn distinct(self, n: i64, num_points: i64, k: i64) -> Vec<i64> {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..16].copy_from_slice(&self.number.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        // Two words a draw.
        rng.set_word_pos(2 * u128::from(self.images_before) * k as u128);
        let mut seeds = Vec::with_capacity((n * k) as usize);
        for _ in 0..n {
            let mut points: Vec<i64> = (0..num_points).collect();
            for ix in 0..k as usize {
                // The remainder prefers small numbers by less than 2^-50: maps have few cells.
                let offset = rng.next_u64() % (points.len() - ix) as u64;
                points.swap(ix, ix + offset as usize);
            }
            seeds.extend(&points[..k as usize]);
        }
        seeds
    }
}

/// Seeds as indices of points `[n, p, d]`: `[n, k]`.
pub(super) fn indices(points: &Tensor, knobs: KMeans) -> Tensor {
    let (n, num_points, _) = points.size3().expect("points have three axes");
    let first = || Tensor::arange(knobs.k, (Kind::Int64, points.device())).repeat([n, 1]);
    match knobs.seeds {
        Seeds::First => first(),
        Seeds::Spread => (first() * num_points).floor_divide_scalar(knobs.k),
        Seeds::Farthest => farthest_first(points, knobs),
        Seeds::Random => {
            let drawn = knobs.draw.distinct(n, num_points, knobs.k);
            let drawn = Tensor::from_slice(&drawn).view([n, knobs.k]);
            // A step does not wait for its device.
            native::upload(&drawn, points.device()).expect("memory for a few numbers")
        }
    }
}

fn farthest_first(points: &Tensor, knobs: KMeans) -> Tensor {
    let compared = comparable(points, knobs.metric);
    let centre = compared.mean_dim(1, true, None::<Kind>); // of directions or of points: [n, 1, d]
    let to = |at: &Tensor| distances(&compared, at, knobs.metric).squeeze_dim(-1); // [n, p]
    let mut seeds = vec![to(&centre).argmin(1, true)];
    let mut nearest: Option<Tensor> = None;
    for _ in 1..knobs.k {
        let last = to(&gather_rows(points, &seeds[seeds.len() - 1]));
        let now = match &nearest {
            Some(before) => before.minimum(&last),
            None => last,
        };
        seeds.push(now.argmax(1, true));
        nearest = Some(now);
    }
    Tensor::cat(&seeds, 1)
}

#[cfg(test)]
mod tests {
    use super::super::knobs::{Centroid, Empty, Metric};
    use super::*;
    use tch::Device;

    fn drawn(seed: u64, number: u64) -> Draw {
        Draw {
            seed,
            number,
            ..Draw::default()
        }
    }

    #[test]
    fn ranks_draw_what_one_process_draws() {
        let whole = drawn(5, 3).distinct(12, 7, 3);
        for images_before in [0, 3, 9] {
            let of_rank = Draw {
                images_before,
                ..drawn(5, 3)
            };
            let begin = 3 * images_before as usize;
            assert_eq!(of_rank.distinct(3, 7, 3), whole[begin..begin + 9]);
        }
    }

    #[test]
    fn drawn_seeds_are_distinct_and_every_cell_comes_up_alike() {
        let mut counts = [0; 7];
        for number in 0..300 {
            let draw = drawn(5, number);
            assert_eq!(draw.distinct(10, 7, 3), draw.distinct(10, 7, 3));
            for seeds in draw.distinct(10, 7, 3).chunks(3) {
                assert!(
                    seeds[0] != seeds[1] && seeds[1] != seeds[2] && seeds[0] != seeds[2],
                    "{seeds:?}"
                );
                seeds.iter().for_each(|&cell| counts[cell as usize] += 1);
            }
        }
        // 9000 draws over 7 cells: 1286 each, with a standard deviation of 27.
        assert!(
            counts.iter().all(|count| (1150..1420).contains(count)),
            "{counts:?}"
        );
        let other = |draw: Draw| draw.distinct(10, 7, 3);
        assert_ne!(other(drawn(5, 0)), other(drawn(5, 1)));
        assert_ne!(other(drawn(5, 0)), other(drawn(6, 0)));
    }

    /// Seeds of several steps, queued one after the other.
    fn drawn_on(device: Device) -> Vec<Tensor> {
        let points = Tensor::zeros([10, 7, 2], (Kind::Float, device));
        let of_step = |number| {
            let knobs = KMeans {
                k: 3,
                iters: 1,
                metric: Metric::Cosine,
                seeds: Seeds::Random,
                draw: drawn(5, number),
                centroid: Centroid::Raw,
                empty: Empty::Keep,
            };
            indices(&points, knobs)
        };
        let seeds: Vec<Tensor> = (0..20).map(of_step).collect();
        seeds.iter().map(|t| t.to_device(Device::Cpu)).collect()
    }

    fn drawn_by_the_host() -> Vec<Tensor> {
        let of_step = |number| {
            let drawn = drawn(5, number).distinct(10, 7, 3);
            Tensor::from_slice(&drawn).view([10, 3])
        };
        (0..20).map(of_step).collect()
    }

    #[test]
    fn drawn_seeds_arrive() {
        assert_eq!(drawn_on(Device::Cpu), drawn_by_the_host());
    }

    #[test]
    #[ignore = "needs CUDA"]
    fn drawn_seeds_arrive_on_a_gpu() {
        let gpu = native::cuda_device(0).unwrap();
        assert_eq!(drawn_on(gpu), drawn_by_the_host());
    }

    #[test]
    fn as_many_clusters_as_cells_take_every_cell() {
        let mut seeds = Draw::default().distinct(1, 5, 5);
        seeds.sort_unstable();
        assert_eq!(seeds, [0, 1, 2, 3, 4]);
    }
}
