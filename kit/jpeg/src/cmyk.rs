//! CMYK to RGB, without a colour profile.

/// Each ink subtracts its colour, black all of them. Files with an Adobe segment store the light
/// that is left instead of the ink.
pub(crate) fn rgb_from_cmyk(samples: &[u8], is_inverted: bool) -> Vec<u8> {
    let light = |sample: u8| u32::from(if is_inverted { sample } else { 255 - sample });
    let pixels = samples.chunks_exact(4);
    pixels
        .flat_map(|p| [0, 1, 2].map(|i| ((light(p[i]) * light(p[3]) + 127) / 255) as u8))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cmyk_is_light_times_light() {
        assert_eq!(rgb_from_cmyk(&[255, 0, 255, 255], true), [255, 0, 255]);
        assert_eq!(rgb_from_cmyk(&[0, 255, 0, 0], false), [255, 0, 255]);
        assert_eq!(rgb_from_cmyk(&[255, 255, 255, 128], true), [128, 128, 128]);
    }
}
