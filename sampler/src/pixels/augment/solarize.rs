//! Inverts bright values, as Pillow's `ImageOps.solarize` with threshold 128.

use crate::pixels::simd::kernel;

kernel! {
    /// `255 - value` for every value of 128 and more.
    pub(super) fn solarize(plane: &mut [u8]) = solarize_body
}

#[inline(always)]
fn solarize_body(plane: &mut [u8]) {
    for value in plane {
        *value = if *value < 128 { *value } else { 255 - *value };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::simd::Simd;

    #[test]
    fn every_byte() {
        for simd in Simd::available() {
            let mut plane: Vec<u8> = (0..=255).collect();
            solarize(simd, &mut plane);
            assert!((0..=127).all(|i| plane[i] == i as u8));
            assert!((128..=255).all(|i| plane[i] == 255 - i as u8));
        }
    }
}
