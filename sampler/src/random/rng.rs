//! Random numbers that are the same on every machine.
//!
//! A stream is named by what it is for, never by when or where it is read:
//! `(seed, epoch, purpose, number)` gives one ChaCha8 stream, so a sample is drawn alike by any
//! worker of any rank. Uniform numbers are made from the bits by integer shifts and one exact
//! multiplication; no library distribution is used, whose algorithm might change.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a stream is for. Streams of different purposes are independent: another IoU threshold
/// redraws boxes, but leaves flips and colours as they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The order of frames; the number is 0.
    Order = 1,
    /// The two boxes of a frame; the number is the frame's key.
    Pair = 2,
    /// Flips and augmentation of a frame; the number is the frame's key.
    Augment = 3,
    /// The order inside one window of block order; the number is the window.
    Window = 4,
}

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of `purpose` and `number` in an epoch. `attempt` is 0, and n for the n-th
    /// replacement of a broken frame, so that the substitute is not a copy of its other appearance
    /// in the epoch.
    pub fn new(seed: u64, epoch: u64, purpose: Purpose, attempt: u32, number: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&epoch.to_le_bytes());
        key[16..20].copy_from_slice(&(purpose as u32).to_le_bytes());
        key[20..24].copy_from_slice(&attempt.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(number);
        Self(rng)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `[0, 1)`, a multiple of 2⁻⁵³.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in `[low, high)`.
    pub(crate) fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform whole number in `0..bound` (a bias below `bound` / 2⁶⁴ remains).
    ///
    /// `bound` must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// True with probability `p`; never for 0, always for 1. One draw in any case.
    pub(crate) fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Puts `items` into a uniformly random order (Fisher–Yates).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::goodness::chi_square;

    /// Pinned values: a change of the generator, of the key layout or of the arithmetic would
    /// change every run.
    #[test]
    fn streams_are_what_they_always_were() {
        let mut stream = Stream::new(1, 2, Purpose::Pair, 0, 3);
        let seen = [stream.bits(), stream.bits(), stream.below(1000)];
        assert_eq!(
            seen,
            [8_717_253_165_124_381_976, 17_682_382_516_291_709_506, 351]
        );
    }

    #[test]
    fn every_part_of_the_name_matters() {
        let first = |seed, epoch, purpose, attempt, number| {
            Stream::new(seed, epoch, purpose, attempt, number).bits()
        };
        let all = [
            first(0, 0, Purpose::Pair, 0, 0),
            first(1, 0, Purpose::Pair, 0, 0),
            first(0, 1, Purpose::Pair, 0, 0),
            first(0, 0, Purpose::Augment, 0, 0),
            first(0, 0, Purpose::Pair, 1, 0),
            first(0, 0, Purpose::Pair, 0, 1),
        ];
        for (ix, value) in all.iter().enumerate() {
            assert!(!all[..ix].contains(value));
        }
    }

    /// 99 degrees of freedom: 148.2 is the 99.9 % quantile.
    #[test]
    fn numbers_are_uniform() {
        let mut stream = Stream::new(5, 0, Purpose::Pair, 0, 0);
        let (mut reals, mut whole) = ([0; 100], [0; 100]);
        for _ in 0..100_000 {
            reals[((stream.uniform(-3.0, 5.0) + 3.0) / 8.0 * 100.0) as usize] += 1;
            whole[stream.below(100) as usize] += 1;
        }
        assert!(chi_square(&reals) < 148.2);
        assert!(chi_square(&whole) < 148.2);
    }

    #[test]
    fn chance_is_never_for_zero_and_always_for_one() {
        let mut stream = Stream::new(5, 0, Purpose::Augment, 0, 0);
        assert!((0..1000).all(|_| !stream.chance(0.0) && stream.chance(1.0)));
        let hits = (0..10_000).filter(|_| stream.chance(0.2)).count();
        assert!(
            (1880..2120).contains(&hits),
            "{hits} of 10,000 at p = 0.2 (3 sigma = 120)"
        );
    }

    /// 24 orders of four items, 23 degrees of freedom: 49.7 is the 99.9 % quantile.
    #[test]
    fn all_orders_are_equally_likely() {
        let mut stream = Stream::new(5, 0, Purpose::Augment, 0, 1);
        let mut counts = std::collections::BTreeMap::<[u8; 4], u32>::new();
        for _ in 0..24_000 {
            let mut items = [0, 1, 2, 3];
            stream.shuffle(&mut items);
            *counts.entry(items).or_default() += 1;
        }
        assert_eq!(counts.len(), 24);
        assert!(chi_square(&counts.into_values().collect::<Vec<_>>()) < 49.7);
    }
}
