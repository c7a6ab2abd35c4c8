//! What one box pass does to neighbouring values: Pillow's weights, and two ways to apply them.
//!
//! A blur of a standard deviation below √2 (most of BYOL's) has three taps, which 16-bit arithmetic
//! can do exactly (but for the few radii that [`Narrow::new`] refuses). All else takes 32-bit
//! products.

/// Passes along each axis.
pub(super) const PASSES: usize = 3;

/// Weights are in units of 2⁻²⁴.
pub(super) const PRECISION_BITS: u32 = 24;

/// What rounds a shift by [`PRECISION_BITS`] to nearest.
pub(super) const HALF: u32 = 1 << (PRECISION_BITS - 1);

/// Lanes of one step; rows are padded to a multiple of it.
pub(super) const LANES: usize = 32;

/// Neighbouring values, 0 to 255.
pub(super) type Lanes = [i16; LANES];

/// One box filter in Pillow's fixed point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct BoxFilter {
    /// Whole part of the radius in pixels.
    pub(super) radius: usize,
    /// Weight of the taps `-radius ..= radius`.
    pub(super) inner: u32,
    /// Weight of the two taps at `radius + 1`.
    pub(super) outer: u32,
}

impl BoxFilter {
    /// The box whose three-fold application has the variance of a Gaussian of `sigma` pixels; C's
    /// `float` where Pillow has `float`.
    pub(super) fn from_sigma(sigma: f32) -> Self {
        let variance = sigma * sigma / PASSES as f32;
        let length = (12.0 * f64::from(variance) + 1.0).sqrt() as f32;
        let whole = ((f64::from(length) - 1.0) / 2.0).floor() as f32;
        let mut part = (2.0 * whole + 1.0) * (whole * (whole + 1.0) - 3.0 * variance);
        part /= 6.0 * (variance - (whole + 1.0) * (whole + 1.0));
        Self::from_radius(whole + part)
    }

    fn from_radius(radius: f32) -> Self {
        let whole = radius as u32;
        let one = 1u32 << PRECISION_BITS;
        let inner = (one as f32 / (radius * 2.0 + 1.0)) as u32;
        let outer = (one - (2 * whole + 1) * inner) / 2;
        Self {
            radius: whole as usize,
            inner,
            outer,
        }
    }
}

/// How a pass combines `TAPS` neighbours of each lane.
pub(super) trait Weigh<const TAPS: usize>: Copy {
    fn weigh(self, taps: [&Lanes; TAPS]) -> Lanes;
}

/// Any number of taps in 32 bits, as Pillow writes it. The sum stays below 2³².
impl<const TAPS: usize> Weigh<TAPS> for BoxFilter {
    #[inline(always)]
    fn weigh(self, taps: [&Lanes; TAPS]) -> Lanes {
        let mut out = [0; LANES];
        for (lane, out) in out.iter_mut().enumerate() {
            let mut inner = 0;
            for tap in &taps[1..TAPS - 1] {
                inner += tap[lane];
            }
            let outer = taps[0][lane] + taps[TAPS - 1][lane];
            let sum = inner as u32 * self.inner + outer as u32 * self.outer + HALF;
            *out = (sum >> PRECISION_BITS) as i16;
        }
        out
    }
}

/// Three taps in 16-bit arithmetic.
///
/// With `inner = 2²⁴ - 2 outer`, Pillow's `(x·inner + (a + b)·outer + 2²³) >> 24` is
/// `x + ((d·outer + 2²³) >> 24)` where `d = a + b - 2x` has ten bits. With `outer = 2⁸ high + low`,
/// that shift is `(d·high + ((d·low) >> 8) + 2¹⁵) >> 16`, for which the two halves of a 16-bit
/// product and one carry suffice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Narrow {
    high: i16,
    low_shifted: i16,
}

impl Narrow {
    /// `None` where the result would differ from Pillow's for some neighbours (1 % of all radii).
    ///
    /// Pillow truncates both weights; when 1/2²⁴ is lost, `x` of it is missing above, which shows
    /// only if `d·outer + 2²³` lies less than that above a multiple of 2²⁴.
    pub(super) fn new(filter: BoxFilter) -> Option<Self> {
        let one = 1u32 << PRECISION_BITS;
        let lost = one - filter.inner - 2 * filter.outer;
        let harmless = |d: i64| {
            (d * i64::from(filter.outer) + i64::from(one / 2)).rem_euclid(one.into()) >= 255
        };
        (filter.radius == 0 && (lost == 0 || (-510..=510).all(harmless)))
            .then(|| Self::split(filter.outer))
    }

    /// The two halves of a weight below 2²⁴ / 3, the low one made ready for a product that drops 16
    /// bits.
    pub(super) fn split(outer: u32) -> Self {
        Self {
            high: (outer >> 8) as i16,
            low_shifted: ((outer & 0xff) << 4) as i16,
        }
    }
}

impl Weigh<3> for Narrow {
    #[inline(always)]
    fn weigh(self, [a, x, b]: [&Lanes; 3]) -> Lanes {
        let mut out = [0; LANES];
        for (lane, out) in out.iter_mut().enumerate() {
            let difference = a[lane] + b[lane] - 2 * x[lane];
            let below = high_half(difference << 4, self.low_shifted);
            let low = difference.wrapping_mul(self.high) ^ i16::MIN; // unsigned, as signed with the half added
            let borrow = low.saturating_add(below) >> 15;
            *out = x[lane] + high_half(difference, self.high) + 1 + borrow;
        }
        out
    }
}

/// The upper 16 bits of a product.
#[inline(always)]
fn high_half(a: i16, b: i16) -> i16 {
    ((i32::from(a) * i32::from(b)) >> 16) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn box_radii_are_those_of_the_recipe() {
        for (sigma, radius, part) in [
            (0.5f32, 0, 0.0455),
            (1.0, 0, 0.25),
            (1.5, 1, 0.0385),
            (2.0, 1, 0.375),
        ] {
            let filter = BoxFilter::from_sigma(sigma);
            assert_eq!(filter.radius, radius);
            let expected = f64::from(1 << PRECISION_BITS) / (2.0 * (radius as f64 + part) + 1.0);
            assert!(
                (f64::from(filter.inner) / expected - 1.0).abs() < 1e-4,
                "sigma {sigma}"
            );
        }
    }

    #[test]
    fn a_sigma_of_zero_changes_nothing() {
        let filter = BoxFilter::from_sigma(0.0);
        assert_eq!(
            filter,
            BoxFilter {
                radius: 0,
                inner: 1 << PRECISION_BITS,
                outer: 0
            }
        );
    }

    /// Whether [`Narrow`] agrees with [`BoxFilter`] for a middle `x` and all neighbours.
    fn narrow_agrees(filter: BoxFilter, x: i16) -> bool {
        let narrow = Narrow::split(filter.outer);
        (0..=510).step_by(LANES).all(|start| {
            let sums: Lanes = std::array::from_fn(|lane| (start + lane as i16).min(510));
            let (left, right) = (sums.map(|sum| sum / 2), sums.map(|sum| sum - sum / 2));
            let taps = [&left, &[x; LANES], &right];
            narrow.weigh(taps) == filter.weigh(taps)
        })
    }

    #[test]
    fn narrow_arithmetic_is_exact_wherever_it_is_used_and_refused_where_it_is_not() {
        let (mut num_used, mut num_refused, mut num_needed) = (0, 0, 0);
        // Fractions of the golden ratio, and one that makes ties.
        for radius in (1..3000)
            .map(|step| (step as f32 * 0.618_034).fract())
            .chain([0.5])
        {
            let filter = BoxFilter::from_radius(radius);
            let agrees = (0..=255).all(|x| narrow_agrees(filter, x));
            match Narrow::new(filter) {
                Some(_) => {
                    num_used += 1;
                    assert!(agrees, "{filter:?}");
                }
                None => {
                    num_refused += 1;
                    num_needed += usize::from(!agrees);
                }
            }
        }
        assert!(
            num_used > 2800 && num_refused > 0 && num_needed > 0,
            "{num_used} {num_refused} {num_needed}"
        );
    }
}
