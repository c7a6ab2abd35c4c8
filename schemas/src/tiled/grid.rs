//! Which tile width a JPEG gets.

/// Tile widths in pixels that are worth having: narrower costs bytes, wider decodes too much.
const TILE_WIDTH_PX: std::ops::RangeInclusive<u32> = 48..=256;
/// The best of them (DESIGN, "Tile-addressable JPEG").
const BEST_TILE_PX: u32 = 128;

/// The restart interval, in MCUs, for rows of `mcus_per_row` MCUs of `mcu_width` pixels: the
/// divisor of the row whose tile is 48 to 256 pixels wide and nearest 128 (the wider of two
/// equals); the whole row if there is none.
pub fn restart_interval(mcus_per_row: u32, mcu_width: u32) -> u32 {
    good_divisor(mcus_per_row, mcu_width).unwrap_or(mcus_per_row)
}

/// The smallest width of whole MCUs, at least `width` pixels, whose rows divide into good tiles;
/// the next whole MCU if the image is narrower than two of the narrowest tiles.
pub fn padded_width(width: u32, mcu_width: u32) -> u32 {
    let mcus = width.div_ceil(mcu_width);
    let worth_it = width >= 2 * TILE_WIDTH_PX.start();
    let padded = (mcus..).find(|&m| !worth_it || good_divisor(m, mcu_width).is_some());
    padded.expect("every multiple of a good tile qualifies") * mcu_width
}

fn good_divisor(mcus_per_row: u32, mcu_width: u32) -> Option<u32> {
    (1..=mcus_per_row)
        .filter(|n| mcus_per_row.is_multiple_of(*n) && TILE_WIDTH_PX.contains(&(n * mcu_width)))
        .min_by_key(|n| ((n * mcu_width).abs_diff(BEST_TILE_PX), u32::MAX - n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_widths_get_tiles_near_128_px() {
        assert_eq!(restart_interval(1920 / 16, 16), 8);
        // 60 MCUs: 6 (96 px) and 10 (160 px) are equally near; the wider wins.
        assert_eq!(restart_interval(960 / 16, 16), 10);
    }

    #[test]
    fn odd_widths_are_padded_to_a_row_that_divides() {
        assert_eq!(padded_width(1936, 16), 1936);
        assert_eq!(padded_width(968, 16), 63 * 16);
        assert_eq!(padded_width(50, 16), 64);
    }

    #[test]
    fn a_prime_row_is_one_tile() {
        assert_eq!(restart_interval(61, 16), 61);
    }
}
