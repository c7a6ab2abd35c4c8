//! Some pixels as numbers, on their way through the colour operations.

/// Pixels that a pass works on at a time.
pub(super) const BLOCK: usize = 64;

/// Neighbouring pixels; whole numbers in `0.0..=255.0`. Aligned, so that no vector straddles two
/// cache lines.
#[repr(align(64))]
pub(super) struct Block {
    pub(super) red: [f32; BLOCK],
    pub(super) green: [f32; BLOCK],
    pub(super) blue: [f32; BLOCK],
}

impl Block {
    #[inline(always)]
    pub(super) fn from_bytes(red: &[u8; BLOCK], green: &[u8; BLOCK], blue: &[u8; BLOCK]) -> Self {
        let mut block = Self {
            red: [0.0; BLOCK],
            green: [0.0; BLOCK],
            blue: [0.0; BLOCK],
        };
        for (values, bytes) in [
            (&mut block.red, red),
            (&mut block.green, green),
            (&mut block.blue, blue),
        ] {
            for (value, &byte) in values.iter_mut().zip(bytes) {
                *value = f32::from(byte);
            }
        }
        block
    }

    #[inline(always)]
    pub(super) fn write_bytes(
        &self,
        red: &mut [u8; BLOCK],
        green: &mut [u8; BLOCK],
        blue: &mut [u8; BLOCK],
    ) {
        for (values, bytes) in [(&self.red, red), (&self.green, green), (&self.blue, blue)] {
            for (&value, byte) in values.iter().zip(bytes) {
                *byte = byte_from_whole(value);
            }
        }
    }
}

/// The byte of a whole number in `0.0..=255.0`: adding 2²³ leaves it in the low bits of the
/// mantissa.
#[inline(always)]
pub(super) fn byte_from_whole(value: f32) -> u8 {
    (value + 8_388_608.0).to_bits() as u8
}
