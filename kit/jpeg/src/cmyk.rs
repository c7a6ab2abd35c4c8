//! CMYK to RGB, without a colour profile.

/// Each ink subtracts its colour, black all of them. Samples are the light that is left instead of
/// the ink: Adobe's programs store them so, and other decoders read every file so.
pub(crate) fn rgb_from_cmyk(samples: &[u8]) -> Vec<u8> {
    let pixels = samples.chunks_exact(4);
    pixels
        .flat_map(|p| [0, 1, 2].map(|i| ((u32::from(p[i]) * u32::from(p[3]) + 127) / 255) as u8))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cmyk_is_light_times_light() {
        assert_eq!(rgb_from_cmyk(&[255, 0, 255, 255]), [255, 0, 255]);
        assert_eq!(rgb_from_cmyk(&[255, 255, 255, 128]), [128, 128, 128]);
        assert_eq!(rgb_from_cmyk(&[100, 200, 0, 51]), [20, 40, 0]);
    }
}
