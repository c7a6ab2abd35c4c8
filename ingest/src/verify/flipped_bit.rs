//! Where the one bit lies that tells two checksums apart.
//!
//! CRC32C is linear: flipping a bit changes it by a value that depends on nothing but the bit's
//! distance to the end of the data. It is the remainder of that bit alone, moved on by one zero
//! byte for each byte behind it. So the difference of two checksums, moved back byte by byte,
//! becomes such a remainder exactly where a single flipped bit explains it. The remainders repeat
//! after 2^31 - 1 bits: longer data have one place in each 256 MiB.

/// Remainders of all bytes: one step of the checksum, without the inversions at its beginning and
/// end.
struct Steps {
    table: [u32; 256],
    /// Which byte has a remainder with these top eight bits; each has another.
    by_top: [u8; 256],
}

impl Steps {
    fn new() -> Self {
        let table: [u32; 256] =
            std::array::from_fn(|byte| !crc32c::crc32c_append(!0, &[byte as u8]));
        let mut by_top = [0; 256];
        for (byte, remainder) in table.iter().enumerate() {
            by_top[(remainder >> 24) as usize] = byte as u8;
        }
        Self { table, by_top }
    }

    /// What becomes `remainder` by one more zero byte.
    fn back(&self, remainder: u32) -> u32 {
        let byte = self.by_top[(remainder >> 24) as usize];
        (remainder ^ self.table[byte as usize]) << 8 | u32::from(byte)
    }

    fn is_one_bit(&self, remainder: u32) -> bool {
        self.by_top[(remainder >> 24) as usize].is_power_of_two()
            && self.table[self.by_top[(remainder >> 24) as usize] as usize] == remainder
    }
}

/// The bytes of data of `len` bytes, last first, in which one flipped bit makes checksum `found` of
/// `expected`.
pub(super) fn places(expected: u32, found: u32, len: u64) -> impl Iterator<Item = u64> {
    let steps = Steps::new();
    let mut remainder = expected ^ found;
    (0..len).rev().filter(move |_| {
        let is_here = steps.is_one_bit(remainder);
        remainder = steps.back(remainder);
        is_here
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_flipped_bit_is_found_where_it_is(
            mut data in prop::collection::vec(any::<u8>(), 1..2000),
            at in any::<prop::sample::Index>(),
            bit in 0..8,
        ) {
            let (at, expected) = (at.index(data.len()), crc32c::crc32c(&data));
            data[at] ^= 1u8 << bit;
            let found = places(expected, crc32c::crc32c(&data), data.len() as u64);
            prop_assert_eq!(found.collect::<Vec<_>>(), [at as u64]);
        }

        #[test]
        fn two_flipped_bits_are_not_taken_for_one(data in prop::collection::vec(any::<u8>(), 2..500), first in 0..8) {
            let mut changed = data.clone();
            changed[0] ^= 1u8 << first;
            changed[data.len() - 1] ^= 1;
            let found = places(crc32c::crc32c(&data), crc32c::crc32c(&changed), data.len() as u64);
            prop_assert_eq!(found.count(), 0);
        }
    }

    #[test]
    fn equal_checksums_have_no_place() {
        assert_eq!(places(7, 7, 1000).count(), 0);
    }
}
