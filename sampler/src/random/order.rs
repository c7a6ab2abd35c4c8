//! Which frame comes when.
//!
//! An epoch is a permutation of the frames, different for every (seed, epoch), computed position by
//! position: it takes no memory and no time to set up, for ten frames or ten billion. Step `s` of
//! an epoch takes the positions `s · batch · world ..` of it, rank after rank, so ranks are
//! disjoint and have equally many steps. What is left over at the end is dropped: other frames in
//! every epoch.
//!
//! The permutation is a Feistel network on the next power of four, walked until it lands below `n`
//! again (cycle walking: Black and Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002).

use serde::{Deserialize, Serialize};

use crate::random::rng::{Purpose, Stream};

/// How an epoch runs through the set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderKind {
    /// One permutation of all frames: for sets in memory or on flash.
    #[default]
    Full,
    /// Blocks of 1,024 neighbours in random order, mixed within a window of 16 blocks: for sets on
    /// rotating disks or network storage, which then read long stretches.
    Block,
}

/// Frames of a block in [`OrderKind::Block`]: about 1 GB of Waymo.
pub(crate) const BLOCK_FRAMES: u64 = 1024;
/// Blocks among which [`OrderKind::Block`] mixes.
pub(crate) const WINDOW_BLOCKS: u64 = 16;

const ROUNDS: usize = 8;

/// A permutation of `0..len`, evaluated one element at a time.
#[derive(Clone, Debug)]
pub(crate) struct Permutation {
    len: u64,
    half_bits: u32,
    round_keys: [u64; ROUNDS],
}

impl Permutation {
    /// The permutation of `0..len` that `stream` names.
    pub(crate) fn new(len: u64, stream: &mut Stream) -> Self {
        let bits = u64::BITS - len.saturating_sub(1).leading_zeros();
        Self {
            len,
            half_bits: bits.div_ceil(2).max(1),
            round_keys: std::array::from_fn(|_| stream.bits()),
        }
    }

    /// Element at `position`, which must be below the length.
    pub(crate) fn at(&self, position: u64) -> u64 {
        assert!(
            position < self.len,
            "position {position} of a permutation of {}",
            self.len
        );
        let mut value = position;
        loop {
            value = self.encrypt(value);
            if value < self.len {
                return value;
            }
        }
    }

    fn encrypt(&self, value: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (value >> self.half_bits, value & mask);
        for key in self.round_keys {
            (left, right) = (right, left ^ (mix(right ^ key) & mask));
        }
        left << self.half_bits | right
    }
}

/// A good 64-bit hash of a number (the finaliser of SplitMix64).
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

/// The order of the frames in one epoch.
#[derive(Clone, Debug)]
pub(crate) struct EpochOrder {
    seed: u64,
    epoch: u64,
    num_frames: u64,
    layout: Layout,
}

#[derive(Clone, Debug)]
enum Layout {
    Full(Permutation),
    /// Blocks start at `rotation`, so that the short rest, which always comes last, is another one
    /// each epoch.
    Block {
        blocks: Permutation,
        num_blocks: u64,
        rotation: u64,
        window: (u64, Permutation),
    },
}

impl EpochOrder {
    /// The order of `num_frames` frames in `epoch`; `num_frames` must not be 0.
    pub(crate) fn new(kind: OrderKind, seed: u64, epoch: u64, num_frames: u64) -> Self {
        let mut stream = Stream::new(seed, epoch, Purpose::Order, 0, 0);
        let layout = match kind {
            OrderKind::Full => Layout::Full(Permutation::new(num_frames, &mut stream)),
            OrderKind::Block => {
                let num_blocks = num_frames / BLOCK_FRAMES;
                Layout::Block {
                    rotation: stream.below(num_frames),
                    blocks: Permutation::new(num_blocks, &mut stream),
                    num_blocks,
                    window: (0, window_permutation(seed, epoch, 0, num_frames)),
                }
            }
        };
        Self {
            seed,
            epoch,
            num_frames,
            layout,
        }
    }

    /// The frame at `position`; positions from `num_frames` on start over at the front.
    ///
    /// `&mut`: block order remembers its current window.
    pub(crate) fn frame_at(&mut self, position: u64) -> u64 {
        let position = position % self.num_frames;
        match &mut self.layout {
            Layout::Full(permutation) => permutation.at(position),
            Layout::Block {
                blocks,
                num_blocks,
                rotation,
                window,
            } => {
                let window_frames = WINDOW_BLOCKS * BLOCK_FRAMES;
                let window_ix = position / window_frames;
                if window.0 != window_ix {
                    *window = (
                        window_ix,
                        window_permutation(self.seed, self.epoch, window_ix, self.num_frames),
                    );
                }
                let mixed = window_ix * window_frames + window.1.at(position % window_frames);
                let (place, inside) = (mixed / BLOCK_FRAMES, mixed % BLOCK_FRAMES);
                let block = if place < *num_blocks {
                    blocks.at(place)
                } else {
                    place
                };
                (block * BLOCK_FRAMES + inside + *rotation) % self.num_frames
            }
        }
    }

    /// The epoch it is the order of.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }
}

fn window_permutation(seed: u64, epoch: u64, window_ix: u64, num_frames: u64) -> Permutation {
    let window_frames = WINDOW_BLOCKS * BLOCK_FRAMES;
    let len = window_frames.min(num_frames - window_ix * window_frames);
    Permutation::new(
        len,
        &mut Stream::new(seed, epoch, Purpose::Window, 0, window_ix),
    )
}

/// Which positions of an epoch a rank takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// Pairs in a batch of one rank.
    pub batch: u64,
    /// This rank, below `world`.
    pub rank: u64,
    /// Number of ranks.
    pub world: u64,
}

impl Share {
    /// Whole steps in an epoch of `num_frames` frames; equal on all ranks.
    pub(crate) fn steps(self, num_frames: u64) -> u64 {
        num_frames / (self.batch * self.world)
    }

    /// Position in the epoch's order of sample `index` of the batch of `step`.
    pub(crate) fn position(self, step: u64, index: u64) -> u64 {
        (step * self.world + self.rank) * self.batch + index
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::goodness::chi_square;
    use proptest::prelude::*;

    fn is_permutation(kind: OrderKind, seed: u64, epoch: u64, len: u64) -> bool {
        let mut order = EpochOrder::new(kind, seed, epoch, len);
        let mut seen = vec![false; len as usize];
        (0..len)
            .all(|position| !std::mem::replace(&mut seen[order.frame_at(position) as usize], true))
    }

    proptest! {
        #[test]
        fn order_is_a_permutation(len in 1u64..3000, seed: u64, epoch in 0u64..100) {
            prop_assert!(is_permutation(OrderKind::Full, seed, epoch, len));
            prop_assert!(is_permutation(OrderKind::Block, seed, epoch, len));
        }

        #[test]
        fn ranks_are_disjoint_and_have_equal_steps(
            frames in 1u64..500, batch in 1u64..9, world in 1u64..5, seed: u64,
        ) {
            let mut seen = vec![false; frames as usize];
            let mut order = EpochOrder::new(OrderKind::Full, seed, 0, frames);
            for rank in 0..world {
                let share = Share { batch, rank, world };
                for step in 0..share.steps(frames) {
                    for index in 0..batch {
                        let frame = order.frame_at(share.position(step, index)) as usize;
                        prop_assert!(!std::mem::replace(&mut seen[frame], true));
                    }
                }
            }
            let dropped = seen.iter().filter(|&&seen| !seen).count() as u64;
            prop_assert!(dropped < batch * world);
        }
    }

    #[test]
    fn block_order_is_a_permutation_over_many_windows() {
        for len in [
            BLOCK_FRAMES * WINDOW_BLOCKS * 3 + 517,
            BLOCK_FRAMES * WINDOW_BLOCKS,
            BLOCK_FRAMES - 1,
        ] {
            assert!(is_permutation(OrderKind::Block, 3, 4, len));
        }
    }

    #[test]
    fn block_order_reads_few_blocks_at_a_time() {
        let len = BLOCK_FRAMES * WINDOW_BLOCKS * 4;
        let mut order = EpochOrder::new(OrderKind::Block, 3, 4, len);
        let mut blocks: Vec<u64> = (0..BLOCK_FRAMES * WINDOW_BLOCKS)
            .map(|position| order.frame_at(position) / BLOCK_FRAMES)
            .collect();
        blocks.sort_unstable();
        blocks.dedup();
        // A rotated block touches two aligned ones.
        assert!(
            blocks.len() as u64 <= 2 * WINDOW_BLOCKS,
            "{} blocks",
            blocks.len()
        );
    }

    #[test]
    fn epochs_and_seeds_differ_and_so_does_the_dropped_tail() {
        for kind in [OrderKind::Full, OrderKind::Block] {
            let tail = |seed, epoch| {
                let mut order = EpochOrder::new(kind, seed, epoch, 1003);
                (1000..1003)
                    .map(|position| order.frame_at(position))
                    .collect::<Vec<_>>()
            };
            assert_ne!(tail(1, 0), tail(1, 1));
            assert_ne!(tail(1, 0), tail(2, 0));
        }
    }

    /// Every frame is equally likely at every place: 25 cells of a 5-frame set, 16 degrees of
    /// freedom (39.3 = 99.9 %).
    #[test]
    fn small_permutations_are_uniform() {
        let mut counts = [[0u32; 5]; 5];
        for epoch in 0..10_000 {
            let mut order = EpochOrder::new(OrderKind::Full, 9, epoch, 5);
            for position in 0..5 {
                counts[position as usize][order.frame_at(position) as usize] += 1;
            }
        }
        let statistic = chi_square(counts.as_flattened());
        assert!(statistic < 39.3, "{statistic}");
    }

    #[test]
    fn ten_billion_frames_need_no_set_up() {
        let mut order = EpochOrder::new(OrderKind::Full, 0, 0, 10_000_000_000);
        assert!(order.frame_at(9_999_999_999) < 10_000_000_000);
    }
}
