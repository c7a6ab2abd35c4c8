//! Randomness of the scenes: a seeded stream for what stands where, and hashed noise for what a
//! surface looks like.
//!
//! Integer arithmetic and exactly rounded `f32` operations only, so a seed gives the same picture
//! on any machine.

/// A stream of random numbers (SplitMix64, <https://prng.di.unimi.it/splitmix64.c>).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The stream named `seed`.
    pub fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// An independent stream named `tag`; drawing from one never moves the other.
    pub fn fork(&self, tag: u64) -> Self {
        Self(mix(self.0 ^ mix(tag.wrapping_add(0x9E37_79B9))))
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A seed for the hashed noise below.
    pub(crate) fn seed(&mut self) -> u32 {
        (self.bits() >> 32) as u32
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 24) as f32
    }

    /// Uniform in `[low, high)`.
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// True with `probability`.
    pub fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// One of `items`, each as likely.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[(self.bits() % items.len() as u64) as usize]
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// 32 well-mixed bits of a lattice cell.
#[inline]
pub(crate) fn hash(x: i32, y: i32, seed: u32) -> u32 {
    let mut h = (x as u32).wrapping_mul(0x8DA6_B343) ^ (y as u32).wrapping_mul(0xD816_3841) ^ seed;
    h = (h ^ (h >> 15)).wrapping_mul(0x2C1B_3C6D);
    h = (h ^ (h >> 12)).wrapping_mul(0x297A_2D39);
    h ^ (h >> 15)
}

/// A value in `[0, 1)` that is constant over a lattice cell.
#[inline]
pub(crate) fn cell(x: i32, y: i32, seed: u32) -> f32 {
    (hash(x, y, seed) >> 8) as f32 / (1 << 24) as f32
}

/// Smooth noise in `[0, 1)`: lattice values, interpolated with a cubic ease.
#[inline]
pub(crate) fn smooth(x: f32, y: f32, seed: u32) -> f32 {
    let (ix, iy) = (floor(x), floor(y));
    let (fx, fy) = (ease(x - ix as f32), ease(y - iy as f32));
    let top = lerp(cell(ix, iy, seed), cell(ix + 1, iy, seed), fx);
    let bottom = lerp(cell(ix, iy + 1, seed), cell(ix + 1, iy + 1, seed), fx);
    lerp(top, bottom, fy)
}

/// Smooth noise in `[0, 1)` summed over octaves of halving size and weight.
pub(crate) fn fractal(x: f32, y: f32, seed: u32, octaves: u32) -> f32 {
    let (mut sum, mut weight, mut scale) = (0.0, 0.5, 1.0);
    for octave in 0..octaves {
        sum += weight * smooth(x * scale, y * scale, seed.wrapping_add(octave));
        weight *= 0.5;
        scale *= 2.0;
    }
    sum / (1.0 - 2.0 * weight)
}

/// `f32::floor` as an integer, without the library call that baseline x86-64 makes of it.
/// Saturates.
#[inline]
pub(crate) fn floor(x: f32) -> i32 {
    let truncated = x as i32;
    truncated.saturating_sub(i32::from(x < truncated as f32))
}

#[inline]
pub(crate) fn lerp(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// 0 below `low`, 1 above `high`, cubic between.
#[inline]
pub(crate) fn smoothstep(low: f32, high: f32, x: f32) -> f32 {
    ease(((x - low) / (high - low)).clamp(0.0, 1.0))
}

#[inline]
fn ease(t: f32) -> f32 {
    t * t * (3.0 - 2.0 * t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_stays_in_the_unit_interval_and_floor_agrees_with_the_library() {
        let mut rng = Rng::new(3);
        for _ in 0..2_000 {
            let (x, y) = (rng.range(-900.0, 900.0), rng.range(-900.0, 900.0));
            assert!((0.0..1.0).contains(&smooth(x, y, 7)));
            assert!((0.0..1.0).contains(&fractal(x, y, 7, 4)));
            assert_eq!(floor(x), x.floor() as i32);
        }
    }

    #[test]
    fn a_fork_does_not_depend_on_what_was_drawn_from_its_sibling() {
        let root = Rng::new(1);
        let mut used = root.fork(1);
        used.bits();
        assert_eq!(root.fork(2).bits(), root.fork(2).bits());
        assert_ne!(root.fork(1).bits(), root.fork(2).bits());
    }
}
