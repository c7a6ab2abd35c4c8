//! A histogram of JPEG lengths that needs neither their range beforehand nor a second pass.

use serde::Serialize;

/// Lengths are counted by the thousand bytes.
const STEP_BYTES: u64 = 1000;

const MAX_BINS: u64 = 16;

/// One bar of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bin {
    /// Least number of bytes that falls into it.
    pub from_bytes: u64,
    /// Least number of bytes above it.
    pub to_bytes: u64,
    /// How many frames fell into it.
    pub frames: u64,
}

/// Lengths, counted.
#[derive(Default)]
pub(super) struct Lengths {
    pub(super) frames: u64,
    pub(super) bytes: u64,
    /// Frames by thousands of bytes, up to the largest; 4.3 million if that is the largest length
    /// there is.
    steps: Vec<u64>,
}

impl Lengths {
    pub(super) fn add(&mut self, len: u32) {
        let step = (u64::from(len) / STEP_BYTES) as usize;
        if self.steps.len() <= step {
            self.steps.resize(step + 1, 0);
        }
        self.steps[step] += 1;
        self.frames += 1;
        self.bytes += u64::from(len);
    }

    /// Bins of one width that a person would choose (1, 2 or 5 with zeros), from the first to the
    /// last that is not empty, at most `MAX_BINS`.
    pub(super) fn bins(&self) -> Vec<Bin> {
        let Some(first) = self.steps.iter().position(|&frames| frames > 0) else {
            return Vec::new();
        };
        let last = self.steps.len() as u64 - 1;
        let widths = (0..).flat_map(|zeros| [1, 2, 5].map(|digit| digit * 10u64.pow(zeros)));
        let (first, width) = widths
            .map(|width| (first as u64 / width, width))
            .find(|&(first, width)| last / width - first < MAX_BINS)
            .expect("some width is enough for any range");
        let frames_of = |bin: u64| {
            let steps =
                (bin * width) as usize..((bin + 1) * width).min(self.steps.len() as u64) as usize;
            self.steps[steps].iter().sum()
        };
        let bin = |bin: u64| Bin {
            from_bytes: bin * width * STEP_BYTES,
            to_bytes: (bin + 1) * width * STEP_BYTES,
            frames: frames_of(bin),
        };
        (first..=last / width).map(bin).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bins(lens: &[u32]) -> Vec<Bin> {
        let mut lengths = Lengths::default();
        lens.iter().for_each(|&len| lengths.add(len));
        lengths.bins()
    }

    #[test]
    fn bins_have_round_edges() {
        assert!(bins(&[]).is_empty());
        assert_eq!(
            bins(&[999]),
            [Bin {
                from_bytes: 0,
                to_bytes: 1000,
                frames: 1
            }]
        );
        let found = bins(&[120_000, 149_999, 150_000, 700_000]);
        assert_eq!(
            found[0],
            Bin {
                from_bytes: 100_000,
                to_bytes: 150_000,
                frames: 2
            }
        );
        assert_eq!(
            found.last().copied(),
            Some(Bin {
                from_bytes: 700_000,
                to_bytes: 750_000,
                frames: 1
            })
        );
    }

    proptest! {
        #[test]
        fn every_length_lies_in_its_bin(lens in prop::collection::vec(0u32..20_000_000, 1..50)) {
            let found = bins(&lens);
            prop_assert!(found.len() as u64 <= MAX_BINS);
            prop_assert!(found.first().unwrap().frames > 0 && found.last().unwrap().frames > 0);
            prop_assert!(found.windows(2).all(|pair| pair[0].to_bytes == pair[1].from_bytes));
            for bin in found {
                let range = bin.from_bytes..bin.to_bytes;
                let expected = lens.iter().filter(|&&len| range.contains(&u64::from(len))).count();
                prop_assert_eq!(bin.frames, expected as u64);
            }
        }
    }
}
