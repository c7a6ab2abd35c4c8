//! Random numbers that are the same on any machine: ChaCha streams, named by a seed and a number.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The stream `number` of `seed`.
pub fn stream(seed: u64, number: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number);
    rng
}

/// U[0, 1) with 53 bits.
pub fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// The first `len` of 0..n in a random order (Fisher and Yates, from the front).
pub fn shuffled(n: usize, len: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for place in 0..len {
        let other = place as u64 + rng.next_u64() % (n - place) as u64;
        order.swap(place, other as usize);
    }
    order.truncate(len);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_is_a_permutation_and_a_beginning_of_the_whole_one() {
        let whole = shuffled(50, 50, &mut stream(3, 1));
        assert_eq!(shuffled(50, 7, &mut stream(3, 1)), whole[..7]);
        assert_ne!(shuffled(50, 50, &mut stream(3, 2)), whole);
        let mut sorted = whole;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn unit_values_fill_the_interval() {
        let mut rng = stream(1, 1);
        let values: Vec<f64> = (0..10_000).map(|_| unit(&mut rng)).collect();
        assert!(values.iter().all(|v| (0.0..1.0).contains(v)));
        assert!((values.iter().sum::<f64>() / 1e4 - 0.5).abs() < 0.02);
    }
}
