//! Every pixel operation against the obvious slow version of it, and against pictures that Pillow
//! made.
//!
//! All of it is exact: the bound on the whole chain is 0 grey levels. Each test runs for every
//! instruction set that the CPU has, so it also shows that they agree.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod golden;
mod oracle;
mod resize;
mod views;

use oracle::Image;

/// A small generator of its own (SplitMix64), so that the inputs are the same on every machine and
/// for ever.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// Uniform in `0.0..1.0`.
    fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.bits() % bound as u64) as usize
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Noise, waves, extremes, few levels, or one flat colour.
    fn image(&mut self, width: usize, height: usize) -> Image {
        let kind = self.below(5);
        let flat = [self.bits() as u8, self.bits() as u8, self.bits() as u8];
        let wave = [
            self.between(0.02, 0.6),
            self.between(0.02, 0.6),
            self.between(0.0, 3.0),
        ];
        let mut rgb = Vec::with_capacity(3 * width * height);
        for pixel in 0..width * height {
            let (x, y) = ((pixel % width) as f64, (pixel / width) as f64);
            for (channel, &level) in flat.iter().enumerate() {
                let angle = x * wave[0] + y * wave[1] + channel as f64 * wave[2];
                rgb.push(match kind {
                    0 => self.bits() as u8,
                    1 => (angle.sin() * 127.0 + 128.0) as u8,
                    2 => [0, 1, 127, 128, 254, 255][self.below(6)],
                    3 => level.saturating_add(self.below(3) as u8),
                    _ => level,
                });
            }
        }
        Image { width, height, rgb }
    }
}
